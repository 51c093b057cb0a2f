"""Contradictions within the correction: refused with the setting and what to do; every shipped choice passes."""

from __future__ import annotations

from typing import Any

import pytest

from igrpo.config.objective_checks import objective_problems
from igrpo.settings.importance_weights import ImportanceWeightsConfig
from tests.composed import config

SHIPPED = ("none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
OFF: dict[str, Any] = {"level": "none", "bound": "truncate", "low": None, "high": None}
TOKEN: dict[str, Any] = {"level": "token", "bound": "mask", "low": 0.5, "high": 2.0}


def problems(values: dict[str, Any]) -> list[str]:
    correction = ImportanceWeightsConfig.model_validate(values)
    return list(objective_problems(config().model_copy(update={"correction": correction})))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_choices_pass(name: str) -> None:
    shipped = config(None, f"correction={name}")
    assert list(objective_problems(shipped)) == []
    level, _, bound = name.partition("_")
    assert shipped.correction.level == level
    assert shipped.correction.bound == (bound or "truncate")


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (OFF, {"high": 2.0}, "correction.high=2.0 is ignored by correction.level=none"),
        (OFF, {"low": 0.5}, "correction.low=0.5 is ignored by correction.level=none"),
        (OFF, {"bound": "mask"}, "correction.bound=mask is ignored by correction.level=none; set it to truncate"),
        (TOKEN, {"high": None}, "correction.high=null: correction.level=token needs an upper bound, such as 2"),
        (TOKEN, {"high": 0.9}, "correction.high=0.9 is below 1"),
        (TOKEN, {"low": 1.1}, "correction.low=1.1 is above 1"),
    ],
)
def test_each_contradiction_is_named_and_its_neighbour_passes(
    base: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    assert problems(base) == []
    (problem,) = problems(base | changes)
    assert problem.startswith(said)


def test_the_bounds_themselves_may_be_one() -> None:
    assert problems(TOKEN | {"low": 1.0, "high": 1.0}) == []
    assert problems(TOKEN | {"low": None}) == []
