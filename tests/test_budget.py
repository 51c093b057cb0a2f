"""The counters of a run: phases, steps, and what a checkpoint keeps of them."""

import json

import pytest

from igrpo.budget import Budget


def test_phases_add_up_even_when_they_fail() -> None:
    budget = Budget()
    with budget.phase("update"):
        pass
    with pytest.raises(KeyError), budget.phase("update"):
        raise KeyError
    assert list(budget.seconds) == ["update"]
    budget.add_seconds("update", 2.0)
    budget.add_seconds("generation", 1.5)
    assert 2.0 <= budget.seconds["update"] < 2.5
    assert budget.metrics()["seconds/generation"] == 1.5


def test_step_seconds_are_those_since_the_step_began() -> None:
    budget = Budget()
    budget.add_seconds("evaluation", 3.0)
    budget.begin_step()
    budget.add_seconds("generation", 1.0)
    budget.add_seconds("evaluation", 0.25)
    metrics = budget.metrics()
    assert metrics["seconds/evaluation"] == 3.25
    assert metrics["step_seconds/evaluation"] == 0.25
    assert metrics["step_seconds/generation"] == metrics["seconds/generation"] == 1.0
    budget.begin_step()
    assert budget.metrics()["step_seconds/generation"] == 0.0


def test_metrics_hold_every_counter() -> None:
    budget = Budget(samples=1, generated_tokens=2, prefilled_tokens=3, trained_tokens=4, skipped_updates=5, flops=6)
    assert budget.metrics() == {
        "budget/samples": 1.0,
        "budget/generated_tokens": 2.0,
        "budget/prefilled_tokens": 3.0,
        "budget/trained_tokens": 4.0,
        "budget/flops": 6.0,
        "budget/skipped_updates": 5.0,
    }


def test_a_checkpoint_keeps_them_all_and_shares_none() -> None:
    budget = Budget(samples=1, generated_tokens=2, prefilled_tokens=3, trained_tokens=4, skipped_updates=5, flops=6)
    budget.add_seconds("update", 1.0)
    state = json.loads(json.dumps(budget.state_dict()))  # plain values: a checkpoint loads without executing code
    other = Budget(samples=100)
    other.load_state_dict(state)
    assert other == budget
    other.samples += 1
    other.add_seconds("update", 1.0)
    assert (budget.samples, budget.seconds, state["seconds"]) == (1, {"update": 1.0}, {"update": 1.0})
    with pytest.raises(AttributeError):
        other.load_state_dict({"colour": 1})
