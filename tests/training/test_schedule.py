"""The learning rate of each step, with the arithmetic beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.training.schedule import learning_rate
from tests.training.models import trainer


def rates(steps: int, **changes: object) -> list[float]:
    config = trainer(steps=steps, learning_rate=0.01, **changes)
    return [learning_rate(config, step) for step in range(1, steps + 1)]


def test_constant_without_warm_up() -> None:
    assert rates(4) == [0.01] * 4


def test_warm_up_is_linear_and_reaches_the_full_rate() -> None:
    # 0.4 * 10 = 4 steps of warm-up: 1/4, 2/4, 3/4, 4/4 of 0.01, then constant
    assert rates(10, warmup_share=0.4) == pytest.approx([0.0025, 0.005, 0.0075, *[0.01] * 7])


def test_cosine_falls_to_its_floor() -> None:
    # 2 of 10 steps warm up; 8 are left: progress 1/8 ... 8/8, floor 0.1
    found = rates(10, schedule="cosine", warmup_share=0.2, minimum_lr_share=0.1)
    assert found[:2] == pytest.approx([0.005, 0.01])
    # progress 4/8: 0.1 + 0.9 * 0.5 * (1 + cos(pi/2)) = 0.55;  8/8: 0.1 + 0.9 * 0.5 * (1 - 1) = 0.1
    assert found[5] == pytest.approx(0.01 * 0.55)
    assert found[9] == pytest.approx(0.01 * 0.1)
    # progress 2/8: 0.1 + 0.9 * 0.5 * (1 + cos(pi/4)) = 0.1 + 0.45 * 1.70710678 = 0.86819805
    assert found[3] == pytest.approx(0.0086819805, rel=1e-8)


def test_warm_up_alone_and_a_run_of_one_step() -> None:
    assert rates(4, schedule="cosine", warmup_share=1.0) == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates(1, schedule="cosine", minimum_lr_share=0.25) == pytest.approx([0.0025])  # its only step is its last


@given(
    steps=st.integers(1, 60),
    warmup=st.floats(0, 1),
    floor=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "cosine"]),
)
def test_it_rises_to_the_top_then_falls_no_lower_than_the_floor(
    steps: int, warmup: float, floor: float, schedule: str
) -> None:
    found = rates(steps, warmup_share=warmup, minimum_lr_share=floor, schedule=schedule)
    top = round(warmup * steps)
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert all(0 < rate <= 0.01 + 1e-12 for rate in found[:top])
    assert all(0.01 * floor - 1e-12 <= rate <= 0.01 + 1e-12 for rate in found[top:])
