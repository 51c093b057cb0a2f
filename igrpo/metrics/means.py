"""Means that are left out where there is nothing to average."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean


def put_mean(metrics: dict[str, float], name: str, values: Iterable[float]) -> None:
    """Store the mean of the values under ``name``. Store nothing if there are no values."""
    listed = list(values)
    if listed:
        metrics[name] = fmean(listed)
