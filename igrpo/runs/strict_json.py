"""Numbers in strict JSON, which knows neither NaN nor infinity: they are written as "nan", "inf" and "-inf"."""

from __future__ import annotations

import json
import math
from typing import Any

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode_number(value: float) -> float | str:
    """The value itself, or its name where JSON has no number for it."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def decode_number(value: Any) -> Any:
    """The reverse of encode_number; everything else comes back as it is."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def compact_json(value: Any) -> str:
    """One line of strict JSON; a NaN that nobody encoded is a ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
