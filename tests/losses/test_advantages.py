import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.losses import group_advantages, has_variance, imitation_weights

from . import reference
from .presets import ADVANTAGES, PRESETS

GRPO = ADVANTAGES["grpo"]


def of(rewards: list[float], **keys: object) -> list[float]:
    return group_advantages(torch.tensor(rewards, dtype=torch.float64), **(GRPO | keys)).tolist()


def test_sample_standard_deviation_by_hand() -> None:
    # mean 1/4; sample variance (9/16 + 3 * 1/16) / 3 = 1/4, std 1/2: A = (3/4, -1/4, -1/4, -1/4) / (1/2)
    assert of([1, 0, 0, 0]) == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-15)
    # population variance 3/16
    assert of([1, 0, 0, 0], std="population")[0] == pytest.approx(0.75 / math.sqrt(3 / 16), abs=1e-15)


def test_mean_only_and_leave_one_out_by_hand() -> None:
    assert of([1, 0, 0, 0], scale="none") == [0.75, -0.25, -0.25, -0.25]
    # 1 - 0; 0 - 1/3
    assert of([1, 0, 0, 0], scale="none", baseline="leave_one_out") == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3])


def test_without_a_baseline_the_rewards_are_the_advantages() -> None:
    assert of([1, 0, 0.5], baseline="none", scale="none") == [1, 0, 0.5]
    assert of([1, 1, 1], baseline="none", scale="none") == [1, 1, 1]  # no variance is needed


def weights(rewards: object, accepted: object) -> object:
    return imitation_weights(torch.tensor(rewards, dtype=torch.float64), torch.tensor(accepted)).tolist()


def test_imitation_takes_the_first_of_the_best_accepted_ones() -> None:
    assert weights([0.0, 2.0, 1.0, 2.0], [True] * 4) == [0, 1, 0, 0]
    assert weights([0.0, 2.0, 1.0, 2.0], [True, False, True, False]) == [0, 0, 1, 0]
    assert weights([-3.0, -2.0], [True, True]) == [0, 1]
    assert weights([1.0, 1.0], [True, True]) == [1, 0]
    assert weights([1.0, 0.0], [False, False]) == [0, 0]
    stacked = weights([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[False, True], [True, True], [False, False]])
    assert stacked == [[0, 1], [0, 1], [0, 0]]
    with pytest.raises(ValueError, match="without completions"):
        imitation_weights(torch.zeros(0), torch.zeros(0).bool())


@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_imitation_is_one_accepted_completion_that_none_beats(group: list[tuple[int, bool]]) -> None:
    chosen = [i for i, weight in enumerate(weights(*map(list, zip(*group, strict=True)))) if weight]  # type: ignore[call-overload, arg-type]
    accepted = [(-value, i) for i, (value, fine) in enumerate(group) if fine]
    assert chosen == [min(accepted)[1]] if accepted else chosen == []


def test_std_eps_is_added_to_the_standard_deviation() -> None:
    assert of([1, 0, 0, 0], std_eps=0.25)[0] == pytest.approx(0.75 / (0.5 + 0.25), abs=1e-15)


@pytest.mark.parametrize("name", PRESETS)
@given(rewards=st.lists(st.floats(-3, 3), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_equals_the_naive_reference(name: str, rewards: list[float]) -> None:
    keys = ADVANTAGES[name]
    if max(rewards) - min(rewards) < 1e-3:
        return
    naive = {key: keys[key] for key in ("baseline", "scale", "std", "std_eps")}
    actual = group_advantages(torch.tensor(rewards, dtype=torch.float64), **keys).tolist()
    assert actual == pytest.approx(reference.advantages(rewards, **naive), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "rewards", [[0.1, 0.1, 0.1], [0.1 + 0.2, 0.3, 0.3], [1 / 3] * 7, [0.7] * 10, [0.0, -0.0], [5.0]]
)
@pytest.mark.parametrize("scale", ["std", "none"])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_no_variance_is_exactly_zero(rewards: list[float], scale: str, baseline: str) -> None:
    advantages = of(rewards, scale=scale, baseline=baseline, std="population")
    assert advantages == [0.0] * len(rewards)
    assert not has_variance(torch.tensor(rewards, dtype=torch.float64), 1e-9)


def test_the_rounding_error_of_equal_rewards_is_no_signal() -> None:
    # Why the spread decides: with R / std these advantages would be of size one.
    rewards = torch.tensor([0.1, 0.1, 0.1], dtype=torch.float64)
    naive = (rewards - rewards.mean()) / rewards.std()
    assert rewards.std() > 0
    assert naive.abs().max() > 0.5
    assert not has_variance(rewards, 1e-6)


def test_tolerance_is_relative_above_one_and_absolute_below() -> None:
    at = lambda spread, base: bool(has_variance(torch.tensor([base, base + spread], dtype=torch.float64), 1e-6))  # noqa: E731
    assert not at(0.9e-6, 0.0)
    assert at(1.1e-6, 0.0)
    assert not at(0.9e-3, 1000.0)
    assert at(1.1e-3, 1000.0)
    assert not at(0.9e-3, -1000.0)


def test_at_tolerance_zero_equal_rewards_alone_have_no_variance() -> None:
    assert of([0.5, 0.5, 0.5], tolerance=0.0) == [0.0] * 3
    assert of([0.0, 0.0], tolerance=0.0) == [0.0] * 2
    close = [1.0, 1.0 + 2.0**-40]
    assert of(close, tolerance=0.0) == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert of(close, tolerance=1e-9) == [0.0] * 2
    assert has_variance(torch.tensor([close, [2.0, 2.0]], dtype=torch.float64), 0.0).tolist() == [True, False]


def test_stacked_groups_equal_groups_one_by_one() -> None:
    rewards = torch.tensor([[1, 0, 0, 1], [0.1, 0.1, 0.1, 0.1], [2, 0.5, 0, 1]], dtype=torch.float64)
    stacked = group_advantages(rewards, **GRPO)
    assert torch.equal(stacked, torch.stack([group_advantages(row, **GRPO) for row in rewards]))
    assert has_variance(rewards, 1e-9).tolist() == [True, False, True]


@given(rewards=st.lists(st.floats(-2, 2), min_size=2, max_size=8), shift=st.floats(-5, 5), order=st.randoms())
@settings(max_examples=60, deadline=None)
def test_sums_to_zero_and_ignores_shift_and_order(rewards: list[float], shift: float, order: object) -> None:
    if max(rewards) - min(rewards) < 1e-2:
        return
    advantages = of(rewards)
    assert sum(advantages) == pytest.approx(0, abs=1e-9)
    assert of([reward + shift for reward in rewards]) == pytest.approx(advantages, abs=1e-6)
    places = list(range(len(rewards)))
    order.shuffle(places)
    assert of([rewards[i] for i in places]) == pytest.approx([advantages[i] for i in places], abs=1e-9)


@pytest.mark.parametrize("size", range(2, 9))
def test_leave_one_out_is_a_multiple_of_mean_only(size: int) -> None:
    rewards = [float(i % 3) for i in range(size)]
    scaled = [size / (size - 1) * advantage for advantage in of(rewards, scale="none")]
    assert of(rewards, scale="none", baseline="leave_one_out") == pytest.approx(scaled, abs=1e-14)


def test_a_group_of_one() -> None:
    with pytest.raises(ValueError, match="at least 2 completions per group, or set std=population"):
        of([1.0])
    assert of([1.0], std="population") == [0.0]
    assert of([1.0], scale="none", baseline="leave_one_out") == [0.0]


def test_nan_is_not_taken_for_no_variance() -> None:
    assert all(math.isnan(advantage) for advantage in of([1.0, math.nan, 0.0]))


def test_errors_name_the_setting() -> None:
    with pytest.raises(ValueError, match="std_eps is -1"):
        of([1.0, 0.0], std_eps=-1.0)
    with pytest.raises(ValueError, match="tolerance is -1"):
        of([1.0, 0.0], tolerance=-1.0)
    with pytest.raises(ValueError, match="without completions"):
        of([])
    with pytest.raises(ValueError, match="scale=std needs a baseline"):
        of([1.0, 0.0], baseline="none")
