"""group_advantages against TRL's and verl's own numbers, in float64."""

from typing import Any

import pytest

from igrpo.losses import group_advantages

from .golden import assert_matches, load, tensor


@pytest.mark.parametrize("case", load("trl_advantages")["cases"], ids=lambda case: case["id"])
def test_trl(case: dict[str, Any]) -> None:
    rewards = (tensor(case["rewards_per_func"]) * tensor(case["reward_weights"])).sum(dim=1)
    scale = {"group": "std", "none": "none"}[case["scale_rewards"]]
    advantages = group_advantages(
        rewards.view(-1, case["num_generations"]),
        baseline="mean", scale=scale, std="sample", std_eps=1e-4, tolerance=1e-9,
    )  # fmt: skip
    assert_matches(advantages.flatten(), case["advantages_f64"])


@pytest.mark.parametrize("case", load("verl_advantages")["cases"], ids=lambda case: case["estimator"])
def test_verl(case: dict[str, Any]) -> None:
    golden = load("verl_advantages")
    rewards = tensor(golden["token_level_rewards"]).sum(dim=1)
    mask = tensor(golden["response_mask"])
    rloo = case["estimator"].startswith("rloo")
    scale = "std" if case["kwargs"].get("norm_adv_by_std_in_grpo") else "none"
    groups = [range(4), range(4, 8)]
    if case["estimator"] == "rloo_vectorized":
        groups.append(range(8, 9))  # only here does verl give a group of one the advantage 0
    assert golden["index"] == list("aaaabbbbc")
    for group in groups:
        advantages = group_advantages(
            rewards[list(group)],
            baseline="leave_one_out" if rloo else "mean",
            scale=scale, std="sample", std_eps=1e-6, tolerance=1e-9,
        )  # fmt: skip
        expected = [case["advantages_f64"][row] for row in group]
        atol = 1e-6 if case["estimator"] == "grpo_vectorized" else 1e-12  # its mean and deviation are float32
        assert_matches(advantages.unsqueeze(1) * mask[list(group)], expected, atol)
