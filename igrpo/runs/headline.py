"""Metrics and parameters that MLflow's pages show first: copies of the accuracies, condition and seed.

MLflow's charts are in sections by the part of a metric's name before the last slash, in alphabetical order. Without the
copies in the section ``accuracy``, the section ``alarm`` is the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

_ACCURACY = re.compile(r"(?P<split>.+)/(?P<kind>single_shot|draft_conditioned)/accuracy")
_FIRST_SETTINGS = ("condition", "seed")

_Value = TypeVar("_Value")


def headline_metrics(metrics: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the accuracies among ``metrics`` under short names.

    ``accuracy/test`` is test/single_shot/accuracy, and ``accuracy/test_draft_conditioned`` is
    test/draft_conditioned/accuracy; likewise for ``development`` and for each benchmark.
    """
    found = [(_ACCURACY.fullmatch(name), value) for name, value in metrics.items()]
    return {_short(match): value for match, value in found if match is not None}


def settings_first(params: Mapping[str, str], swept: Iterable[str] = ()) -> dict[str, str]:
    """Return ``params`` with condition, seed and the ``swept`` names first. Names without a value are left out."""
    order = [name for name in (*_FIRST_SETTINGS, *swept) if name in params]
    return {name: params[name] for name in order} | dict(params)


def _short(match: re.Match[str]) -> str:
    return f"accuracy/{match['split']}" + ("" if match["kind"] == "single_shot" else "_draft_conditioned")
