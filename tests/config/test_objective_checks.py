"""What an objective may add, and cannot have together: refused in a sentence; its neighbour passes."""

from __future__ import annotations

from typing import Any

import pytest

from igrpo.config import ConfigError, parse_config
from tests.composed import changed, config

TARGET = {"objective.entropy_control.target": 0.5}
VLLM = ("rollout=vllm_colocate",)

REFUSED: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (
        ("objective=dapo",),
        {"objective.overlong_buffer": 4},
        "objective.overlong_buffer=4 cannot go with objective.mask_truncated=true: a truncated completion is either "
        "penalised or left out; set mask_truncated to false, or overlong_buffer to null",
    ),
    (
        (),
        {"objective.overlong_buffer": 25},
        "objective.overlong_buffer=25 is longer than sampling.max_completion_tokens=24, whose last tokens it is; lower",
    ),
    (
        (),
        TARGET | {"objective.entropy_bonus": 0.06},
        "objective.entropy_bonus=0.06 is where objective.entropy_control begins, from 0 to "
        "objective.entropy_control.maximum=0.05; set it to 0",
    ),
    ((), TARGET | {"objective.entropy_bonus": -0.01}, "objective.entropy_bonus=-0.01 is where"),
    (
        VLLM,
        TARGET | {"rollout.entropy_completions": 0},
        "objective.entropy_control.target=0.5 needs entropies, and rollout.entropy_completions=0 measures none; raise",
    ),
    (
        ("objective=best_of_n",),
        {"dynamic_sampling.max_attempts": 3},
        "dynamic_sampling.max_attempts=3 drops questions that are answered all right, which "
        "objective.advantage.select=best would imitate; set it to 0",
    ),
]


@pytest.mark.parametrize(("overrides", "changes", "message"), REFUSED)
def test_contradictions(overrides: tuple[str, ...], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(changes, *overrides))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(message)


@pytest.mark.parametrize(
    ("overrides", "changes"),
    [
        (("objective=dapo",), {"objective.overlong_buffer": 4, "objective.mask_truncated": False}),
        ((), {"objective.overlong_buffer": 24}),
        ((), TARGET | {"objective.entropy_bonus": 0.05}),
        ((), {"objective.entropy_bonus": 0.06}),
        (VLLM, TARGET),
        (VLLM, {"rollout.entropy_completions": 0}),
        ((), {"dynamic_sampling.max_attempts": 3}),
        (("condition=dapo",), {"dynamic_sampling.max_attempts": 1}),
        (("condition=igrpo_dapo",), {"objective.mask_truncated": False, "objective.overlong_buffer": 5}),
    ],
)
def test_neighbours(overrides: tuple[str, ...], changes: dict[str, Any]) -> None:
    assert config(changes, *overrides) == parse_config(changed(changes, *overrides))
