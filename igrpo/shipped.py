"""YAML folders of the project: their places (beside the package, or inside it in a wheel), and merged values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return the path of the ``conf``, ``experiments`` or ``sweeps`` folder shipped with the project."""
    data = PACKAGE / "_data"  # exists only in a wheel
    return (data if data.is_dir() else PACKAGE.parent) / folder


def merge(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings merged; other values of ``update`` replace those of ``base``."""
    merged = dict(base)
    for key, value in update.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged
