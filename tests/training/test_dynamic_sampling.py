"""Dynamic sampling: what is dropped, what takes its place, what it costs, and that a resumed run does the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.algorithms.base import RolloutContext
from igrpo.budget import Budget
from igrpo.data.module import QuestionDataModule
from igrpo.metrics.definitions import DYNAMIC_SAMPLING_DOCS
from igrpo.training import collect
from igrpo.training.collect import Collector
from igrpo.training.dynamic_sampling import DynamicSampling, dynamic_metrics, why_dropped
from igrpo.types import Completion, Group, Lesson, Prompt, Question, Score, Trace
from tests.algorithms.fakes import ScriptedEngine
from tests.training.small_run import SOURCE, SaveAfter, fit, kept, make, spread, weights

PROMPT = Prompt((1,))
COMPLETION = Completion((5, 2), "5", (-1.0, -1.0), (0.5, 0.5), (0.5, 0.5), "stop", 0)
R, W = Score(1.0, True, "right"), Score(0.0, False, "wrong")
LOW, HIGH = Score(0.1, None, "unparsable"), Score(0.2, None, "unparsable")


def group(*scores: Score, trained: bool = True, stage: int = 1) -> Group:
    return Group(stage, PROMPT, (COMPLETION,) * len(scores), scores, trained=trained)


def cohort(*scores: Score) -> tuple[Lesson, ...]:
    return tuple(Lesson(PROMPT, COMPLETION, score, transferred=False) for score in scores)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([group(R, W, W)], None),
        ([group(R, R, R)], "all_right"),
        ([group(W, W)], "all_wrong"),
        # a penalty or a format reward gives right answers a variance, which is not what the filter looks at
        ([group(R, Score(0.4, True, "right"))], "all_right"),
        ([group(W, Score(0.4, False, "wrong"))], "all_wrong"),
        ([group(LOW, HIGH)], None),
        ([group(LOW, LOW)], "no_variance"),
        ([group(LOW, R)], None),
        ([group(Score(1.0, None, "crashed"), R)], "no_variance"),
        ([group(R, W, LOW)], None),
        ([group(R)], "no_variance"),  # one alone has no baseline
        ([group(W, R, trained=False), group(R, R, stage=2)], "all_right"),  # iGRPO: refinements decide, drafts do not
        ([group(W, W, trained=False), group(R, W, stage=2)], None),
        ([group(W, R), group(R, R, stage=2)], None),  # both stages are trained, and one of them teaches
        ([group(W, W), group(R, R, stage=2)], "no_variance"),
    ],
)
def test_why_a_question_is_dropped(groups: list[Group], expected: str | None) -> None:
    assert why_dropped(Trace(Question("q", "", ""), tuple(groups)), 1e-6) == expected


def test_lessons_count_like_groups() -> None:
    dropped = group(R, R)
    assert why_dropped(Trace(Question("q", "", ""), (dropped,), (cohort(R, W),)), 1e-6) is None
    assert why_dropped(Trace(Question("q", "", ""), (dropped,), (cohort(R, R),)), 1e-6) == "all_right"


# --- which questions are offered ---------------------------------------------------------------------------------


def test_replacements_are_distinct_and_a_function_of_seed_and_step() -> None:
    data = QuestionDataModule(SOURCE.train, seed=4, questions=3, steps=9)
    for step in range(9):
        found = data.replacements(step, attempts=3)
        ids = [question.id for question in found]
        assert len(ids) == len(set(ids)) == 9
        assert not set(ids) & {question.id for question in data.cycle(step)[1]}
        assert found == QuestionDataModule(SOURCE.train, seed=4, questions=3, steps=99).replacements(step, attempts=3)
        assert found[:3] == data.replacements(step, attempts=1)  # more attempts change nothing about the first
    assert data.replacements(0, 3) != data.replacements(1, 3)
    assert data.replacements(0, 3) != QuestionDataModule(SOURCE.train, seed=5, questions=3, steps=9).replacements(0, 3)
    # 16 questions to train on: 13 beside the step's own, however many are wanted
    assert len({question.id for question in data.replacements(0, attempts=50)}) == 13


def test_an_epoch_is_walked_through_as_if_nothing_had_been_replaced() -> None:
    data = QuestionDataModule(SOURCE.train, seed=4, questions=4, steps=4)
    walked = []
    for step in range(4):
        data.replacements(step, 3)
        walked += [question.id for question in data.cycle(step)[1]]
    assert sorted(walked) == sorted(question.id for question in SOURCE.train)


def places(world: int, monkeypatch: pytest.MonkeyPatch, count: int = 5, attempts: int = 2) -> dict[int, list[str]]:
    """What each place of a step asks when every question is dropped, shared by ``world`` processes."""
    questions = [Question(f"own{i}", "", "") for i in range(count)]
    spare = [Question(f"spare{i}", "", "") for i in range(count * attempts)]
    sampler = DynamicSampling(count, attempts, 1e-6, lambda step, attempts: spare)

    asked: dict[int, list[str]] = {}

    async def algorithm(question: Question, context: RolloutContext) -> Trace:
        asked.setdefault(context.place, []).append(question.id)
        return Trace(question, (group(R, R),))

    engine: Any = ScriptedEngine(lambda prompt, seed: "")
    unused: Any = None
    collector = Collector(algorithm, engine, unused, unused, unused, run_seed=0, pipeline=True, refill=sampler)
    for rank in range(world):
        monkeypatch.setattr(collect, "world", lambda: world)
        monkeypatch.setattr(collect, "rank", lambda rank=rank: rank)
        mine = questions[rank::world]
        traces = collector.collect(1, mine, Budget())
        assert [trace.attempt for trace in traces] == [0, 1, 2] * len(mine)
        assert {trace.dropped for trace in traces} == {"all_right"}
    return asked


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_ask_what_one_process_asks(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = places(1, monkeypatch)
    assert alone == places(world, monkeypatch)
    everything = [name for asked in alone.values() for name in asked]
    assert len(everything) == len(set(everything)) == 5 * 3  # no question twice in a step
    assert alone[1] == ["own1", "spare1", "spare6"]  # 1, and 1 + 5


# --- a real loop ------------------------------------------------------------------------------------------------


@dataclass
class ByQuestion:
    """Questions whose number is in ``hopeless`` are answered all wrong, others right where the value is over 1/2."""

    hopeless: frozenset[int]
    name: str = "by question"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        if number(question) in self.hopeless:
            return [Score(spread(completion), False, "wrong") for completion in completions]
        # every other one of a group, and at the same reward
        return [Score(float(i % 2), i % 2 == 1, "right" if i % 2 else "wrong") for i in range(len(completions))]

    def close(self) -> None: ...


def number(question: Question) -> int:
    return [one.id for one in SOURCE.train].index(question.id)


def asked(module: Any, step: int) -> list[Trace]:
    return list(kept(module).steps[step])


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_a_step_is_filled_up_and_everything_is_paid_for(algorithm: str, tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(8)))
    module = make(algorithm, reward, max_attempts=4)
    fit(module, 2, tmp_path)
    samples = 0
    for step in (1, 2):
        traces = asked(module, step)
        samples += sum(trace.sampled for trace in traces)
        assert len(traces) > 3
        assert len({trace.question.id for trace in traces}) == len(traces)
        trained = [trace for trace in traces if trace.dropped is None]
        assert len(trained) == 3
        assert all(number(trace.question) >= 8 for trace in trained)
        assert {trace.dropped for trace in traces if number(trace.question) < 8} == {"all_wrong"}
    assert module.budget.samples == samples == 4 * sum(len(asked(module, step)) for step in (1, 2))
    assert module.budget.generated_tokens == module._collector.engine.generated_tokens
    last = module.latest
    assert last.keys() >= DYNAMIC_SAMPLING_DOCS.keys()
    assert last["dynamic/sampled_questions"] == len(asked(module, 2))
    assert last["dynamic/dropped"] == last["dynamic/dropped_all_wrong"] == len(asked(module, 2)) - 3
    assert (last["dynamic/dropped_all_right"], last["dynamic/missing"]) == (0, 0)
    assert last["dynamic/attempts"] == max(trace.attempt for trace in asked(module, 2)) >= 1
    stage = "stage1" if algorithm == "grpo" else "stage2"
    assert last[f"{stage}/completions"] == len(asked(module, 2)) * (4 if algorithm == "grpo" else 2)


def test_nothing_is_asked_beyond_the_attempts_and_what_is_missing_stays_missing(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(16)))  # no question of the training split has a signal
    module = make("grpo", reward, max_attempts=2)
    start = weights(module)
    fit(module, 2, tmp_path)
    assert [len(asked(module, step)) for step in (1, 2)] == [3 * (1 + 2)] * 2
    assert module.latest["dynamic/missing"] == 3
    assert module.latest["dynamic/attempts"] == 2
    assert module.latest["train/gradient_norm"] == 0.0
    assert module.budget.trained_tokens == 0
    assert all(torch.equal(value, start[key]) for key, value in weights(module).items())
    assert module.rollout_step == 2  # bounded: the run goes on


def test_a_small_split_runs_out_of_questions_not_of_places(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(16)))
    module = make("grpo", reward, max_attempts=50)
    fit(module, 1, tmp_path)
    assert sorted(number(trace.question) for trace in asked(module, 1)) == list(range(16))  # each of them once


def test_a_step_that_drops_nothing_is_the_step_without_dynamic_sampling(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset())
    plain, filtered = make("igrpo", reward), make("igrpo", reward, max_attempts=3)
    for module in (plain, filtered):
        fit(module, 2, tmp_path)
    assert kept(plain).steps == kept(filtered).steps
    assert all(torch.equal(value, weights(plain)[key]) for key, value in weights(filtered).items())
    assert not [name for name in plain.latest if name.startswith("dynamic/")]
    assert filtered.latest["dynamic/sampled_questions"] == 3


def test_dropped_questions_are_not_trained_on(tmp_path: Path) -> None:
    """Their rewards differ (``spread``), so an update on them would have a gradient."""
    hopeless: Any = ByQuestion(frozenset(range(16)))
    module, plain = make("grpo", hopeless, max_attempts=1), make("grpo", hopeless)
    for each in (module, plain):
        fit(each, 1, tmp_path)
    assert plain.budget.trained_tokens > module.budget.trained_tokens == 0


@pytest.mark.parametrize("pipeline", [False, True])
def test_a_resumed_run_replaces_the_same_questions(pipeline: bool, tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(8)))
    file = tmp_path / "x.ckpt"
    whole = make("igrpo", reward, max_attempts=4, steps=4, pipeline=pipeline)
    fit(whole, 4, tmp_path, callbacks=[SaveAfter(2, file)])
    resumed = make("igrpo", reward, max_attempts=4, steps=4, pipeline=pipeline)
    fit(resumed, 4, tmp_path, checkpoint=file, start_step=2)
    for step in (3, 4):
        names = [[(t.question.id, t.attempt, t.dropped) for t in asked(one, step)] for one in (whole, resumed)]
        assert names[0] == names[1]
    if not pipeline:  # with the barrier, bit by bit
        assert {step: kept(whole).steps[step] for step in (3, 4)} == kept(resumed).steps
        assert all(torch.equal(value, weights(whole)[key]) for key, value in weights(resumed).items())
    assert whole.budget.counts() == resumed.budget.counts()


def test_metrics_by_hand() -> None:
    one, two, three = (Question(name, "", "") for name in "abc")
    traces = [
        Trace(one, (), attempt=0, dropped="all_right"), Trace(two, (), attempt=1, dropped="no_variance"),
        Trace(three, (), attempt=2), Trace(one, (), attempt=0, dropped="all_wrong"), Trace(two, (), attempt=0),
    ]  # fmt: skip
    # three places; the second found nothing
    assert dynamic_metrics(traces) == {
        "dynamic/sampled_questions": 5, "dynamic/attempts": 2, "dynamic/dropped": 3, "dynamic/dropped_all_right": 1,
        "dynamic/dropped_all_wrong": 1, "dynamic/missing": 1,
    }  # fmt: skip
    assert dynamic_metrics(traces).keys() == DYNAMIC_SAMPLING_DOCS.keys()
