"""Controls: settings that give the same gradients are recognised, and no others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from igrpo.analysis.equivalence import identical_by_construction
from igrpo.config.facts import resolved_facts
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
    "settings of no control": ("is not used", (), {}, (), {"objective.entropy_control.step": 0.5}),
    "entropy control": (None, (), {}, (), {"objective.entropy_control.target": 0.5}),
    "dynamic sampling": (None, (), {}, ("dynamic_sampling=refill",), {}),
    "rloo": ("constant factor", ("objective=dr_grpo",), {}, ("objective=rloo",), {}),
    "estimator": ("is not used", (), {}, (), {"objective.kl_estimator": "k1"}),
    "two names": ("the same settings under two names", (), {}, (), {}),
    "dapo": (None, (), {}, ("objective=dapo",), {}),
    "unused cap": ("is not used", (), {}, (), {"algorithm.transfer.cap": 2.0}),
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


def test_a_reason_is_named_only_where_it_is_needed() -> None:
    found = identical_by_construction(changed({}, "algorithm=grpo"), changed({"algorithm.drafts": 0}))
    assert found == "no draft is ever shown, so that iGRPO trains as GRPO does on as many answers"
    both = identical_by_construction(changed({}, "algorithm=grpo", "objective=gspo"), changed({"algorithm.drafts": 0}))
    assert both is not None
    assert both.startswith(f"{found}; with one update a step the ratio is 1")


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
