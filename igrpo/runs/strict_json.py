"""Strict JSON with non-finite numbers, which are written as "nan", "inf" and "-inf"."""

from __future__ import annotations

import json
import math
from typing import Any

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode_number(value: float) -> float | str:
    """Return a finite value unchanged, and the name of a non-finite one."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def decode_number(value: Any) -> Any:
    """Invert ``encode_number``; return anything else unchanged."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def compact_json(value: Any) -> str:
    """Return one line of strict JSON; a non-finite number that was not encoded raises a ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
