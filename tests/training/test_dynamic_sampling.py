"""Dynamic sampling: what is dropped, what takes its place, what it costs, and that a resumed run does the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext
from igrpo.budget import Budget
from igrpo.data.module import QuestionDataModule
from igrpo.metrics.definitions import SECTIONS
from igrpo.training import collect
from igrpo.training.collect import Collector
from igrpo.training.dynamic_sampling import DynamicSampling, dynamic_metrics, why_dropped
from igrpo.types import Completion, Question, Rollout, Score
from tests.algorithms.fakes import Scripted, ScriptedEngine
from tests.rollouts import RIGHT, WRONG, rollout, scored_samples
from tests.training.small_run import SOURCE, fit, fit_and_save, kept, make, same_weights, spread, weights

R, W = RIGHT, WRONG
LOW, HIGH = Score(0.1, None, "unparsable"), Score(0.2, None, "unparsable")


def of(*rounds: tuple[Score, ...], trained: tuple[int, ...] = (0, 1)) -> Rollout:
    """Rounds with these scores, of which those with these indices are trained."""
    made = [scored_samples("answer", *scores, number=number) for number, scores in enumerate(rounds, 1)]
    return rollout(*made, trained=[each for i, each in enumerate(made) if i in trained])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (of((R, W, W)), None),
        (of((R, R, R)), "all_right"),
        (of((W, W)), "all_wrong"),
        # a penalty or a format reward gives right answers a variance, which is not what the filter looks at
        (of((R, Score(0.4, True, "right"))), "all_right"),
        (of((W, Score(0.4, False, "wrong"))), "all_wrong"),
        (of((LOW, HIGH)), None),
        (of((LOW, LOW)), "no_variance"),
        (of((LOW, R)), None),
        (of((Score(1.0, None, "crashed"), R)), "no_variance"),
        (of((R, W, LOW)), None),
        (of((R,)), "no_variance"),  # one alone has no baseline
        (of((W, R), (R, R), trained=(1,)), "all_right"),  # iGRPO: refinements decide, drafts do not
        (of((W, W), (R, W), trained=(1,)), None),
        (of((W, R), (R, R)), None),  # both rounds are trained, and one of them teaches
        (of((W, W), (R, R)), "no_variance"),
        (of((W, R), trained=()), "no_variance"),  # nothing is trained
    ],
)
def test_why_a_question_is_dropped(asked: Rollout, expected: str | None) -> None:
    assert why_dropped(asked, 1e-6) == expected


# --- which questions are offered ---------------------------------------------------------------------------------


def test_replacements_differ_and_depend_on_seed_and_step_alone() -> None:
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


def test_replacements_do_not_change_the_order_of_an_epoch() -> None:
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

    def answer(question: Question, context: RolloutContext) -> Rollout:
        asked.setdefault(context.question_index, []).append(question.id)
        return replace(of((R, R)), question=question)

    engine: Any = ScriptedEngine(lambda prompt, seed: "")
    unused: Any = None
    collector = Collector(
        Scripted(answer), 2, engine, unused, unused, unused, run_seed=0, pipeline=True, refill=sampler
    )
    for rank in range(world):
        monkeypatch.setattr(collect, "world", lambda: world)
        monkeypatch.setattr(collect, "rank", lambda rank=rank: rank)
        mine = questions[rank::world]
        rollouts = collector.collect(1, mine, Budget())
        assert [one.attempt for one in rollouts] == [0, 1, 2] * len(mine)
        assert {one.dropped for one in rollouts} == {"all_right"}
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


def asked(module: Any, step: int) -> list[Rollout]:
    return list(kept(module).steps[step])


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_a_step_is_filled_up_and_everything_is_paid_for(algorithm: str, tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(8)))
    module = make(algorithm, reward, max_attempts=4)
    fit(module, 2, tmp_path)
    samples = 0
    for step in (1, 2):
        rollouts = asked(module, step)
        samples += sum(len(one.samples) for one in rollouts)
        assert len(rollouts) > 3
        assert len({one.question.id for one in rollouts}) == len(rollouts)
        trained = [one for one in rollouts if one.dropped is None]
        assert len(trained) == 3
        assert all(number(one.question) >= 8 for one in trained)
        assert {one.dropped for one in rollouts if number(one.question) < 8} == {"all_wrong"}
    assert module.budget.samples == samples == 4 * sum(len(asked(module, step)) for step in (1, 2))
    assert module.budget.generated_tokens == module.collector.engine.generated_tokens
    last = module.latest
    assert last.keys() >= SECTIONS["Dynamic sampling"].keys()
    assert last["dynamic/sampled_questions"] == len(asked(module, 2))
    assert last["dynamic/dropped"] == last["dynamic/dropped_all_wrong"] == len(asked(module, 2)) - 3
    assert (last["dynamic/dropped_all_right"], last["dynamic/missing"]) == (0, 0)
    assert last["dynamic/attempts"] == max(one.attempt for one in asked(module, 2)) >= 1
    role = "answer" if algorithm == "grpo" else "refinement"
    assert last[f"{role}/completions"] == len(asked(module, 2)) * (4 if algorithm == "grpo" else 2)


def test_beyond_the_attempts_questions_stay_missing(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(16)))  # no question of the training split has a signal
    module = make("grpo", reward, max_attempts=2)
    start = weights(module)
    fit(module, 2, tmp_path)
    assert [len(asked(module, step)) for step in (1, 2)] == [3 * (1 + 2)] * 2
    assert module.latest["dynamic/missing"] == 3
    assert module.latest["dynamic/attempts"] == 2
    assert module.latest["train/gradient_norm"] == 0.0
    assert module.budget.trained_tokens == 0
    assert same_weights(start, module)
    assert module.rollout_step == 2  # bounded: the run goes on


def test_a_small_split_runs_out_of_questions_not_of_places(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset(range(16)))
    module = make("grpo", reward, max_attempts=50)
    fit(module, 1, tmp_path)
    assert sorted(number(one.question) for one in asked(module, 1)) == list(range(16))  # each of them once


def test_dynamic_sampling_keeps_a_step_that_drops_nothing(tmp_path: Path) -> None:
    reward: Any = ByQuestion(frozenset())
    plain, filtered = make("igrpo", reward), make("igrpo", reward, max_attempts=3)
    for module in (plain, filtered):
        fit(module, 2, tmp_path)
    assert kept(plain).steps == kept(filtered).steps
    assert same_weights(plain, filtered)
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
    whole = make("igrpo", reward, max_attempts=4, steps=4, pipeline=pipeline)
    file = fit_and_save(whole, 4, tmp_path)
    resumed = make("igrpo", reward, max_attempts=4, steps=4, pipeline=pipeline)
    fit(resumed, 4, tmp_path, checkpoint=file, start_step=2)
    for step in (3, 4):
        names = [[(t.question.id, t.attempt, t.dropped) for t in asked(one, step)] for one in (whole, resumed)]
        assert names[0] == names[1]
    if not pipeline:  # with the barrier, bit by bit
        assert {step: kept(whole).steps[step] for step in (3, 4)} == kept(resumed).steps
        assert same_weights(whole, resumed)
    assert whole.budget.counts() == resumed.budget.counts()


def test_metrics_by_hand() -> None:
    one, two, three = (Question(name, "", "") for name in "abc")
    rollouts = [
        Rollout(one, dropped="all_right"), Rollout(two, attempt=1, dropped="no_variance"), Rollout(three, attempt=2),
        Rollout(one, dropped="all_wrong"), Rollout(two),
    ]  # fmt: skip
    # three places; the second found nothing
    assert dynamic_metrics(rollouts) == {
        "dynamic/sampled_questions": 5, "dynamic/attempts": 2, "dynamic/dropped": 3, "dynamic/dropped_all_right": 1,
        "dynamic/dropped_all_wrong": 1, "dynamic/missing": 1,
    }  # fmt: skip
    assert dynamic_metrics(rollouts).keys() == SECTIONS["Dynamic sampling"].keys()
