"""Conversion of a nested config to MLflow parameters, with flat names and text values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from igrpo.runs.metrics_file import check_metric_name

#: MLflow 3 keeps 6,000 characters of a parameter and silently drops the rest.
MAX_LENGTH = 6000


def flatten_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten ``{"a": {"b": 1}}`` to ``{"a.b": "1"}``. Lists, numbers, true, false and null are written as JSON.

    A value of more than 6,000 characters is cut, with a note; the full value is in the run's config.yaml.

    Raises:
        ValueError: a name that MLflow does not accept.
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten_params(value, f"{name}.")
            continue
        check_metric_name(f"config/{name}")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if len(text) > MAX_LENGTH:
            note = f"... [{len(text)} characters, whole in config.yaml]"
            text = text[: MAX_LENGTH - len(note)] + note
        flat[name] = text
    return flat
