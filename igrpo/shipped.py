"""Locations of the YAML folders: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return the path of the ``conf``, ``experiments`` or ``sweeps`` folder shipped with the project."""
    data = PACKAGE / "_data"  # exists only in a wheel
    return (data if data.is_dir() else PACKAGE.parent) / folder
