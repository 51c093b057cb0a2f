"""How often the alarms are wrong where nothing passes their limits, and how often they see what does, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from igrpo.evaluation.estimators import accuracy_interval
from igrpo.metrics.alarms import (
    ACCURACY,
    Past,
    Rule,
    answer_differs_from_last_step,
    copying,
    entropy_collapse,
    length_drift,
)
from igrpo.metrics.sampling_error import LEVEL, SamplingError, is_above

WINDOW = 10
Draw = Callable[[Random, float], float]


def share(rng: Random, mean: float) -> float:
    """Of 32 completions."""
    return sum(rng.random() < mean for _ in range(32)) / 32


def skewed(rng: Random, mean: float) -> float:
    """Mean of 16 exponential draws, as lengths scatter; a quarter of the mean is its standard deviation."""
    return rng.gammavariate(16, mean / 16)


def line(step: int, name: str, value: float) -> dict[str, float]:
    return {"step": step, "budget/samples": 1.0, "trained/answer/questions_share": 1.0, f"trained/answer/{name}": value}


def rate(rule: Rule, limit: float, name: str, draw: Draw, *, start: float, now: float, trials: int) -> float:
    """How often it goes off at one look at two windows of these means."""
    rng = Random(3)
    fired = 0
    for _ in range(trials):
        past = Past()
        for step in range(1, 2 * WINDOW + 1):
            past.add(step, line(step, name, draw(rng, start if step <= WINDOW else now)))
        fired += rule(past, WINDOW, limit) is not None
    return fired / trials


DIFFERS = "differ_from_last_step_share"
#: At the limit, and well beyond it.
CASES: list[tuple[Rule, float, str, Draw, float, float, float]] = [
    (entropy_collapse, 0.5, "entropy", skewed, 1.0, 0.5, 0.25),
    (length_drift, 2.0, "length_mean", skewed, 100.0, 200.0, 400.0),
    (length_drift, 2.0, "length_mean", skewed, 100.0, 50.0, 25.0),
    (answer_differs_from_last_step, 0.2, DIFFERS, share, 0.1, 0.3, 0.6),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[2])
def test_rarely_wrong_at_the_limit_and_sure_beyond_it(case: tuple[Rule, float, str, Draw, float, float, float]) -> None:
    *how, start, at, beyond = case
    # The standard error of a rate of .01 in 2000 trials is .002; a rule without an error is wrong in half of them.
    assert rate(*how, start=start, now=at, trials=2000) <= LEVEL + 0.012
    assert rate(*how, start=start, now=start, trials=500) == 0
    assert rate(*how, start=start, now=beyond, trials=300) >= 0.99


def test_a_long_run_in_which_nothing_changes_is_silent() -> None:
    rng = Random(5)
    for _ in range(10):
        past = Past()
        for step in range(1, 101):
            past.add(step, line(step, "entropy", skewed(rng, 1.0)) | line(step, "length_mean", skewed(rng, 100.0)))
            assert entropy_collapse(past, WINDOW, 0.5) is None
            assert length_drift(past, WINDOW, 2.0) is None


def evaluated(rng: Random, step: int, abilities: list[float], samples: int) -> dict[str, float]:
    """An evaluation whose questions are answered right as often as ``abilities`` say."""
    right = [[rng.random() < ability for _ in range(samples)] for ability in abilities]
    low, high = accuracy_interval(right)
    value = sum(map(sum, right)) / (len(abilities) * samples)
    prefix = ACCURACY.removesuffix("accuracy")
    return {"step": step, ACCURACY: value, f"{prefix}low": low, f"{prefix}high": high}


def copying_rate(
    questions: int, samples: int, accuracy: Callable[[float], float], *, looks: int, trials: int, fixed: bool
) -> float:
    """Of runs whose reward rises: how many say at any of their evaluations that they copy.

    ``accuracy``: at a share of the run. ``fixed``: the same questions at each look, some easier than others.
    """
    rng = Random(7)
    fired = 0
    for _ in range(trials):
        past = Past()
        hardness = [rng.uniform(-0.3, 0.3) for _ in range(questions)]
        told = False
        for look in range(looks):
            if look:
                for step in range((look - 1) * WINDOW + 1, look * WINDOW + 1):
                    past.add(step, line(step, "reward_mean", 0.3 + 0.4 * look / looks + rng.gauss(0, 0.02)))
            mean = accuracy(look / max(looks - 1, 1))
            abilities = [min(1.0, max(0.0, mean + (hard if fixed else 0.0))) for hard in hardness]
            past.add(look * WINDOW, evaluated(rng, look * WINDOW, abilities, samples))
            told |= copying(past, WINDOW, 0.05) is not None
        fired += told
    return fired / trials


@pytest.mark.parametrize(("questions", "samples"), [(16, 1), (16, 4), (128, 4)])
def test_copying_is_not_told_of_an_accuracy_that_only_scatters(questions: int, samples: int) -> None:
    """Twenty looks, each compared with the best so far, which is high by chance."""
    found = copying_rate(questions, samples, lambda share: 0.5, looks=20, trials=100, fixed=True)
    assert found <= 0.03


def test_copying_at_its_limit_and_beyond() -> None:
    def falls(by: float) -> Callable[[float], float]:
        return lambda share: 0.6 - by * (share == 1)

    # from the third of three looks: the second has a reward to compare with
    assert copying_rate(128, 4, falls(0.05), looks=3, trials=500, fixed=False) <= 0.03
    assert copying_rate(128, 4, falls(0.3), looks=3, trials=200, fixed=True) >= 0.99


def test_one_answer_of_sixteen_is_no_copying() -> None:
    past = Past()
    for look, right in ((0, 9), (1, 8)):
        past.add(look, {"step": look, "budget/samples": 1, "trained/answer/questions_share": 1.0,
                        "trained/answer/reward_mean": 0.1 + look})  # fmt: skip
        low, high = accuracy_interval([[number < right] for number in range(16)])
        prefix = ACCURACY.removesuffix("accuracy")
        past.add(look, {"step": look, ACCURACY: right / 16, f"{prefix}low": low, f"{prefix}high": high})
    assert copying(past, 1, 0.05) is None
    past.evaluations[-1] = (1, SamplingError.with_interval(0.0, 0.0, 0.05))
    assert copying(past, 1, 0.05) is not None


def test_a_reward_that_only_scatters_has_not_risen() -> None:
    """The accuracy falls for certain: the reward decides."""
    rng = Random(11)
    fired = 0
    for _ in range(500):
        past = Past()
        past.add(0, {"step": 0, ACCURACY: 0.9})
        for step in range(1, 2 * WINDOW + 1):
            past.add(step, line(step, "reward_mean", rng.gauss(0.5, 0.1)))
        past.add(2 * WINDOW, {"step": 2 * WINDOW, ACCURACY: 0.1})
        fired += copying(past, WINDOW, 0.05) is not None
    assert fired / 500 <= LEVEL + 0.02


def test_one_value_says_nothing_of_its_error() -> None:
    low, high = SamplingError.of_steps([0.0], window=10), SamplingError.of_steps([1.0] * 10, window=10)
    assert not is_above(high, low)
    assert is_above(high, SamplingError.of_steps([0.0, 0.0], window=10))
    assert is_above(
        SamplingError.of_steps([0.1], window=1), SamplingError.of_steps([0.0], window=1)
    )  # a window that was asked for
