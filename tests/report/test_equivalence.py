"""Controls: settings that give the same gradients are recognised, and no others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from igrpo.config import RunConfig
from igrpo.config.facts import resolved_facts
from igrpo.losses import LossTensors, Objective, batch_normaliser, group_advantages
from igrpo.report.equivalence import identical_by_construction
from tests.composed import changed, config

CONTROLS: dict[str, tuple[str | None, tuple[str, ...], dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "bare": ("no draft is ever shown", ("algorithm=grpo",), {}, (), {"algorithm.drafts": 0}),
    "unseen drafts": (
        "no draft is ever shown",
        ("algorithm=grpo",),
        {"algorithm.answers": 4},
        (),
        {"algorithm.selection": "none", "algorithm.drafts": 4},
    ),
    "unseen drafts cost": (None, ("algorithm=grpo",), {}, (), {"algorithm.selection": "none"}),
    "gspo": ("the ratio is 1", (), {}, ("objective=gspo",), {}),
    "gspo, two updates": (None, (), {"trainer.minibatches": 2}, ("objective=gspo",), {"trainer.minibatches": 2}),
    "cispo": ("the ratio is 1", ("objective=dapo",), {"objective.mask_truncated": False}, ("objective=cispo",), {}),
    "cispo, masked": (None, ("objective=dapo",), {}, ("objective=cispo",), {}),
    "leave one out": ("constant factor", (), {}, (), {"objective.advantage.baseline": "leave_one_out"}),
    "leave one out, KL": (
        None,
        (),
        {"objective.kl_beta": 0.1},
        (),
        {"objective.kl_beta": 0.1, "objective.advantage.baseline": "leave_one_out"},
    ),
    "leave one out, controlled entropy": (
        None,
        (),
        {"objective.entropy_control.target": 0.5},
        (),
        {"objective.entropy_control.target": 0.5, "objective.advantage.baseline": "leave_one_out"},
    ),
    "settings of no control": ("are not used", (), {}, (), {"objective.entropy_control.step": 0.5}),
    "leave one out, a term of a later version": (
        None,
        (),
        {"objective.new_coefficient": 0.1},
        (),
        {"objective.new_coefficient": 0.1, "objective.advantage.baseline": "leave_one_out"},
    ),
    "leave one out, a term of a later version that is off": (
        "constant factor",
        (),
        {"objective.new_coefficient": 0.0},
        (),
        {"objective.new_coefficient": 0.0, "objective.advantage.baseline": "leave_one_out"},
    ),
    "entropy control": (None, (), {}, (), {"objective.entropy_control.target": 0.5}),
    "dynamic sampling": (None, (), {}, ("dynamic_sampling=refill",), {}),
    "rloo": ("constant factor", ("objective=dr_grpo",), {}, ("objective=rloo",), {}),
    "estimator": ("are not used", (), {}, (), {"objective.kl_estimator": "k1"}),
    "two names": ("the same settings under two names", (), {}, (), {}),
    "dapo": (None, (), {}, ("objective=dapo",), {}),
    "unused cap": ("are not used", (), {}, (), {"algorithm.transfer.cap": 2.0}),
    "cap": (
        None,
        ("condition=igrpo_internalize",),
        {},
        ("condition=igrpo_internalize",),
        {"algorithm.transfer.cap": 2.0},
    ),
    "unseen drafts that are trained": (
        None,
        ("algorithm=grpo",),
        {"algorithm.answers": 4},
        (),
        {"algorithm.selection": "none", "algorithm.train_on": ["draft", "refine"]},
    ),
    "unseen drafts, some questions answered once": (
        None,
        ("algorithm=grpo",),
        {"algorithm.answers": 4},
        (),
        {"algorithm.selection": "none", "algorithm.bare_fraction": 0.5},
    ),
    "critiques": (None, ("algorithm=grpo",), {"algorithm.answers": 4}, ("algorithm=critique_grpo",), {}),
    "critiques, leave one out": (
        None,
        ("condition=critique_grpo",),
        {},
        ("condition=critique_grpo",),
        {"objective.advantage.baseline": "leave_one_out"},
    ),
    "leave one out, drafts and refinements of two sizes": (
        None,
        ("condition=igrpo_both",),
        {"algorithm.drafts": 2},
        ("condition=igrpo_both",),
        {"algorithm.drafts": 2, "objective.advantage.baseline": "leave_one_out"},
    ),
    "critiques, another weight": (
        None,
        ("condition=critique_grpo",),
        {},
        ("condition=critique_grpo",),
        {"algorithm.transfer.gamma": 0.5},
    ),
    "verifications": (None, ("algorithm=grpo",), {}, ("algorithm=self_verification",), {}),
    "selection": (None, (), {}, (), {"algorithm.selection": "random"}),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_what_cannot_differ_but_by_chance(name: str) -> None:
    reason, first, first_changes, second, second_changes = CONTROLS[name]
    one = changed({"seed": 1, "condition": "a", **first_changes}, *first)
    other = changed({"seed": 2, "condition": "b", **second_changes}, *second)
    for found in (identical_by_construction(one, other), identical_by_construction(other, one)):
        if reason is None:
            assert found is None
        else:
            assert found is not None
            assert reason in found


JUDGE = ("reward=judge", "reward.base_url=http://a", "reward.model=m")
_PART = "reward.parts.judge.reward"
JUDGE_IN_A_SUM = ("reward=judge_and_rule", f"{_PART}.base_url=http://a", f"{_PART}.model=m")

#: Settings, and whether all groups of a run with them have one size.
SIZES: dict[str, tuple[tuple[str, ...], bool]] = {
    "GRPO": (("algorithm=grpo",), True),
    "iGRPO": ((), True),
    "without drafts": (("condition=bare",), True),
    "as many drafts as refinements": (("condition=igrpo_both",), True),
    "fewer drafts than refinements": (("condition=igrpo_both", "algorithm.drafts=2"), False),
    "fewer drafts, which are not trained": (("condition=igrpo_quarter",), True),
    "one group of drafts and refinements": (("condition=igrpo_answers", "algorithm.drafts=2"), True),
    "some questions answered once": (("condition=igrpo_bare_half",), False),
    "refinements beside their answers": (("algorithm=critique_grpo",), False),
    "as many verifications as answers": (("condition=self_verification",), True),
    "fewer verifications than answers": (("condition=self_verification", "algorithm.answers=6"), False),
    "a judge may leave some without a score": (("algorithm=grpo", *JUDGE), False),
    "a judge in a sum": (("algorithm=grpo", *JUDGE_IN_A_SUM), False),
    "a reward of the user's": (("algorithm=grpo", "reward=python", "reward.target=m:R"), False),
    "a sum of rules": (("algorithm=grpo", "reward=math_verify_format"), True),
}


def loss_gradient(settings: RunConfig, sizes: list[int]) -> torch.Tensor:
    """Return the gradient of the policy loss for groups of these sizes, with three tokens per completion."""
    objective, draw = settings.objective, torch.Generator().manual_seed(0)
    rewards = [torch.rand(size, generator=draw, dtype=torch.float64) for size in sizes]
    logprobs_BT = -torch.rand(sum(sizes), 3, generator=draw, dtype=torch.float64).requires_grad_()
    advantage = objective.advantage
    advantages = [
        group_advantages(
            one, baseline=advantage.baseline, scale=advantage.scale, std=advantage.std, std_eps=advantage.std_eps,
            tolerance=advantage.tolerance,
        )
        for one in rewards
    ]  # fmt: skip
    old_BT, mask_BT = logprobs_BT.detach(), torch.ones_like(logprobs_BT, dtype=torch.bool)
    nobody_B = torch.zeros(sum(sizes), dtype=torch.bool)
    tensors = LossTensors(logprobs_BT, old_BT, old_BT, torch.cat(advantages), mask_BT, nobody_B)
    output = Objective(objective, settings.correction, None)(tensors, batch_normaliser(mask_BT), 0.0)
    (gradient,) = torch.autograd.grad(output.loss, logprobs_BT)
    return gradient.flatten()


@pytest.mark.parametrize("change", [{"baseline": "leave_one_out"}, {"std": "population"}], ids=lambda one: "".join(one))
@pytest.mark.parametrize("name", SIZES)
def test_two_losses_are_one_up_to_a_factor(name: str, change: dict[str, str]) -> None:
    overrides, of_one_size = SIZES[name]
    changes = {"objective.advantage.std_eps": 0.0}
    others = changes | {f"objective.advantage.{key}": value for key, value in change.items()}
    first, second = config(changes, *overrides), config(others, *overrides)
    sizes = sorted(first.plan.group_sizes) * 2
    if not first.reward.scores_all:
        sizes[0] -= 1  # a completion left its group
    assert (len(set(sizes)) == 1) == of_one_size
    cosine = torch.cosine_similarity(loss_gradient(first, sizes), loss_gradient(second, sizes), dim=0).item()
    found = identical_by_construction(changed(changes, *overrides), changed(others, *overrides))
    if of_one_size:
        assert cosine == pytest.approx(1, abs=1e-12)
        assert found is not None
        assert "constant factor" in found
    else:
        assert cosine < 1 - 1e-6
        assert found is None


def test_a_reason_is_named_only_where_it_is_needed() -> None:
    found = identical_by_construction(changed({}, "algorithm=grpo"), changed({"algorithm.drafts": 0}))
    assert found is not None
    assert found.startswith("no draft is ever shown")
    both = identical_by_construction(changed({}, "algorithm=grpo", "objective=gspo"), changed({"algorithm.drafts": 0}))
    assert both is not None
    assert both.startswith(f"{found}; with one update per step")


def test_the_configurations_are_left_as_they_are() -> None:
    one = changed({"algorithm.drafts": 0})
    before = deepcopy(one)
    identical_by_construction(one, changed({}, "algorithm=grpo"))
    assert one == before


@pytest.mark.parametrize(
    ("objective", "other", "words"),
    [
        ("gspo", "grpo", "GSPO and GRPO"),
        ("cispo", "dapo", "CISPO and the DAPO loss"),
        ("rloo", "dr_grpo", "leave-one-out"),
    ],
)
def test_what_a_run_says_at_its_start_is_what_the_report_says(objective: str, other: str, words: str) -> None:
    unmasked = {"objective.mask_truncated": False}
    facts = dict.fromkeys(text for _, text in resolved_facts(config(unmasked, f"objective={objective}")))
    assert any("identical by construction" in fact and words in fact for fact in facts)
    pair = (changed(unmasked, f"objective={name}") for name in (objective, other))
    assert identical_by_construction(*pair) is not None
