"""Where a run ends: at the first rollout boundary at which a limit is reached, with nothing done beyond it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.budget import Budget
from igrpo.data.module import QuestionDataModule
from igrpo.settings.trainer import BudgetConfig
from igrpo.training.module import IGRPOModule
from igrpo.training.stopping import StoppingRule, first_stop, reached, training_seconds
from tests.training.small_run import NO_LIMITS, SaveAfter, fit, fit_and_save, kept, make, same_weights, weights

SPENT = {
    "budget/samples": 100.0, "budget/generated_tokens": 2000.0, "budget/trained_tokens": 1e9, "budget/flops": 3e12,
    "seconds/generation": 2.0, "seconds/reward_wait": 0.5, "seconds/update": 1.5, "seconds/evaluation": 100.0,
    "seconds/checkpoint": 100.0, "step_seconds/update": 100.0,
}  # fmt: skip


def limits(**given: Any) -> BudgetConfig:
    return BudgetConfig(**(NO_LIMITS | given))


@pytest.mark.parametrize(
    ("name", "at"),
    [("max_samples", 100), ("max_generated_tokens", 2000), ("max_trained_tokens", 10**9), ("max_flops", 3e12),
     ("max_seconds", 4.0)],
)  # fmt: skip
def test_a_limit_is_reached_when_its_own_counter_equals_it(name: str, at: float) -> None:
    above = at + 1 if isinstance(at, int) else at * (1 + 1e-9)
    assert reached(limits(**{name: at}), SPENT) == f"budget.{name}"
    assert reached(limits(**{name: above}), SPENT) is None
    assert reached(limits(**{name: at}), dict.fromkeys(SPENT, 0.0)) is None


def test_seconds_are_those_of_training() -> None:
    assert training_seconds(SPENT) == 2.0 + 0.5 + 1.5  # neither evaluation nor checkpoint, and the cumulative ones


def test_the_last_step_is_no_limit() -> None:
    rule = StoppingRule(5, limits(max_samples=100, max_flops=1e15))
    assert (rule.is_last(4, SPENT), rule.stopped_by(4, SPENT)) == (True, "budget.max_samples")
    assert (rule.is_last(5, SPENT), rule.stopped_by(5, SPENT)) == (True, None)
    free = StoppingRule(5, limits())
    assert [free.is_last(step, SPENT) for step in (0, 4, 5, 6)] == [False, False, True, True]


def test_the_first_stop_is_found_in_the_lines_of_a_run() -> None:
    lines = [{"step": 0, "development/x": 1.0}]
    lines += [{"step": n, **SPENT, "budget/samples": 40.0 * n} for n in (1, 2, 3, 4)]
    assert first_stop(limits(max_samples=100), lines) == (3, "budget.max_samples")  # 40, 80, 120
    assert first_stop(limits(max_samples=161), lines) is None
    assert first_stop(limits(max_samples=100, max_flops=1.0), lines) == (1, "budget.max_flops")
    assert first_stop(limits(max_samples=1), []) is None


def counters(module: IGRPOModule) -> dict[str, Any]:
    return {name: value for name, value in module.budget.state_dict().items() if name != "seconds"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """A run of five steps without a limit: after each, its weights and counters."""
    module, folder = make("igrpo", steps=5), tmp_path_factory.mktemp("whole")
    states: dict[int, dict[str, Any]] = {}

    class Look(SaveAfter):
        def on_train_batch_end(self, _trainer: Any, _module: Any, *_args: Any, **_kwargs: Any) -> None:
            states[module.rollout_step] = {"weights": weights(module), "counters": counters(module)}

    fit(module, 5, folder, callbacks=[Look(0, folder)])
    return states


@pytest.mark.parametrize("name", ["max_samples", "max_generated_tokens", "max_trained_tokens", "max_flops"])
@pytest.mark.parametrize("beyond", [0, 1])
def test_a_run_ends_at_the_first_boundary_that_reached_it(
    name: str, beyond: int, whole: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    """A limit of what two steps spend ends it after two; one more, after three: bit for bit the longer run's state."""
    at = whole[2]["counters"][name.removeprefix("max_")] + beyond
    module = make("igrpo", steps=5, limits={name: at})
    fit(module, 5, tmp_path)
    last = 2 + beyond
    assert module.rollout_step == last
    assert list(kept(module).steps) == list(range(1, last + 1))  # nothing was sampled after it
    assert counters(module) == whole[last]["counters"]
    assert same_weights(whole[last]["weights"], module)
    assert module.is_last


def test_the_limit_of_seconds_does_not_count_evaluation(tmp_path: Path) -> None:
    module = make("igrpo", steps=5, limits={"max_seconds": 1000.0})
    module.budget.add_seconds("evaluation", 1e6)
    fit(module, 2, tmp_path)
    assert module.rollout_step == 2
    assert not module.is_last
    slow = make("igrpo", steps=5, limits={"max_seconds": 1000.0})
    slow.budget.add_seconds("update", 1000.0)
    slow.rollout_step = 0
    assert slow.is_last
    soon = make("igrpo", steps=5, limits={"max_seconds": 1e-9})
    fit(soon, 5, tmp_path)
    assert soon.rollout_step == 1  # a step that has begun is finished


@pytest.mark.parametrize("limit", [36, None], ids=["a larger limit", "none"])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    limit: int | None, whole: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    """12 samples a step: 24 end it after step 2; 36 after step 3, and no limit after the fifth."""
    stopped = make("igrpo", steps=5, limits={"max_samples": 24})
    file = fit_and_save(stopped, 5, tmp_path)
    assert stopped.rollout_step == 2
    resumed = make("igrpo", steps=5, limits={"max_samples": limit})
    fit(resumed, 5, tmp_path, checkpoint=file, start_step=2)
    last = 5 if limit is None else 3
    assert list(kept(resumed).steps) == list(range(3, last + 1))
    assert counters(resumed) == whole[last]["counters"]
    assert same_weights(whole[last]["weights"], resumed)


def test_a_run_resumed_at_its_end_trains_no_more(tmp_path: Path) -> None:
    file = fit_and_save(make("igrpo", steps=5), 2, tmp_path)
    resumed = make("igrpo", steps=5, limits={"max_samples": 24})
    before = torch.load(file, weights_only=True)["state_dict"]
    fit(resumed, 5, tmp_path, checkpoint=file, start_step=2)
    assert (resumed.rollout_step, kept(resumed).steps) == (2, {})
    assert all(torch.equal(before[f"policy.{key}"], value) for key, value in weights(resumed).items())


def test_the_next_questions_are_looked_up_but_not_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads one batch ahead, which is a list of questions: the engine hears of no more than two steps."""
    asked: list[int] = []
    cycle = QuestionDataModule.cycle
    monkeypatch.setattr(QuestionDataModule, "cycle", lambda self, step: asked.append(step) or cycle(self, step))
    module = make("igrpo", steps=5, limits={"max_samples": 24})
    fit(module, 5, tmp_path)
    assert max(asked) <= 2
    assert module.collector.engine.generated_tokens == module.budget.generated_tokens


def test_token_limits_match_algorithms_to_within_a_step(tmp_path: Path) -> None:
    """Cut to an unequal number of steps, both have generated the limit and less than one step beyond it."""
    limit = 200
    for algorithm in ("grpo", "igrpo"):
        spent: list[int] = [0]

        class Look(SaveAfter):
            def on_train_batch_end(self, _trainer: Any, module: Any, *_args: Any, **_kwargs: Any) -> None:
                spent.append(module.budget.generated_tokens)  # noqa: B023 (used within this pass of the loop)

        module = make(algorithm, steps=50, limits={"max_generated_tokens": limit})
        fit(module, 50, tmp_path, callbacks=[Look(0, tmp_path)])
        assert spent[-2] < limit <= spent[-1]
        assert spent[-1] - limit < 12 * 6  # 12 completions of at most 6 tokens a step
        assert 2 <= module.rollout_step < 50


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_flops_do_not_depend_on_the_barrier_or_on_micro_batches(algorithm: str, tmp_path: Path) -> None:
    found, tokens = [], []
    for settings in ({}, {"pipeline": True}, {"tokens_per_microbatch": 40}):
        module = make(algorithm, **settings)
        fit(module, 2, tmp_path)
        found.append((module.budget.flops, module.latest["budget/flops"]))
        tokens.append([one.completion.token_ids for rollout in kept(module).steps[1] for one in rollout.samples])
    assert tokens[0] == tokens[1] == tokens[2]
    assert found[0] == found[1] == found[2]
    assert found[0][0] > 0


def test_what_others_sample_is_not_counted(whole: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    """As an evaluation does: through the same engine, between two steps."""
    module = make("igrpo", steps=3)
    engine = module.collector.engine

    class Evaluate(SaveAfter):
        def on_train_batch_end(self, *_args: Any, **_kwargs: Any) -> None:
            before = engine.flops
            asyncio.run(engine.sample([1, 2, 3], module.collector.params, range(50)))
            assert engine.flops > before

    fit(module, 3, tmp_path, callbacks=[Evaluate(0, tmp_path)])
    assert counters(module) == whole[3]["counters"]


def test_an_older_checkpoint_that_counted_no_flops_can_be_read() -> None:
    state = Budget(samples=3).state_dict()
    del state["flops"]
    budget = Budget()
    budget.load_state_dict(json.loads(json.dumps(state)))
    assert (budget.samples, budget.flops) == (3, 0)
