"""Evaluations that stop by need: what they draw, when they stop, and that what they have is a prefix of all samples."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.evaluation.draft_worth import draft_worth
from igrpo.evaluation.estimators import AccuracyEstimate, estimate_accuracy, mean_at_k
from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.rounds import is_narrow, round_ends
from igrpo.generation.base import Engine
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Question, Score
from tests.evaluation.fakes import DRAFT_MARK, DigitEngine, EqualityReward, run, widths
from tests.gloo import in_processes

QUESTIONS = [Question(f"q{i}", str(1 + i % 4), str(1 + i % 4)) for i in range(40)]


def evaluated(width: float | None, engine: Engine | None = None, **settings: Any) -> EvaluationResult:
    return run(
        DigitEngine() if engine is None else engine,
        **{"questions": QUESTIONS, "samples": 16, "interval_width": width, **settings},
    )


@pytest.mark.parametrize(
    ("samples", "oracle_drafts", "ends"),
    [
        (1, 0, [1]),
        (2, 0, [2]),
        (3, 0, [2, 3]),
        (4, 0, [2, 4]),
        (16, 0, [2, 4, 8, 16]),
        (20, 0, [2, 4, 8, 16, 20]),
        (20, 3, [3, 6, 12, 20]),
        (4, 4, [4]),
        (4, 1, [2, 4]),
    ],
)
def test_rounds_double_up_to_all_samples(samples: int, oracle_drafts: int, ends: list[int]) -> None:
    assert round_ends(samples, oracle_drafts) == ends


def test_narrow_is_below_the_width_and_known() -> None:
    estimate = AccuracyEstimate(0.5, 0.25, 0.75, 10, 2)
    assert is_narrow(estimate, 0.51)
    assert not is_narrow(estimate, 0.5)
    assert not is_narrow(None, 0.99)


@pytest.mark.parametrize("k", [2, 4, 8])
def test_it_stops_at_the_first_round_that_is_narrow_enough(k: int) -> None:
    whole = evaluated(None)
    found = widths(whole)
    assert found[2] > found[4] > found[8] > found[16]
    engine = DigitEngine()
    stopped = evaluated(found[k] + 1e-9, engine)
    assert [len(question.single_shot) for question in stopped.per_question] == len(QUESTIONS) * [k]
    for part, all_of in zip(stopped.per_question, whole.per_question, strict=True):
        assert part.answers == all_of.answers[:k]
        assert part.single_shot == all_of.single_shot[:k]
        assert part.draft_conditioned == all_of.draft_conditioned[:k]
        assert part.greedy == all_of.greedy
    refined = {call.seeds[0]: call.prompt for call in engine.calls if DRAFT_MARK in call.prompt}
    for question, part in zip(QUESTIONS, stopped.per_question, strict=True):
        for j, draft in enumerate(part.answers):
            seed = derive_seed("evaluation", 11, question.id, 2, j)
            assert refined[seed] == (int(question.problem), DRAFT_MARK, int(str(draft)), 0)
    # Refinements are of the drawn samples alone, and no sample is drawn twice.
    assert sum(len(call.seeds) for call in engine.calls if DRAFT_MARK not in call.prompt) == len(QUESTIONS) * (k + 1)
    assert sum(len(call.seeds) for call in engine.calls if DRAFT_MARK in call.prompt) == len(QUESTIONS) * k


def test_the_result_of_k_samples_is_that_of_an_evaluation_of_k_but_for_what_depends_on_k() -> None:
    whole, found = evaluated(None, samples=4), widths(evaluated(None))
    stopped = evaluated(found[4] + 1e-9)
    assert stopped.single_shot == whole.single_shot
    assert stopped.draft_conditioned == whole.draft_conditioned
    assert stopped.draft_worth == whole.draft_worth
    assert (stopped.pass_at_k, stopped.majority_at_k) == (None, None)
    metrics, expected = stopped.metrics(), whole.metrics()
    assert expected.keys() - metrics.keys() == {"eval/single_shot/pass_at_k", "eval/single_shot/majority_at_k"}
    assert {name: expected[name] for name in metrics} == metrics
    assert metrics["eval/single_shot/samples"] == 4.0


def test_without_a_stop_it_is_the_evaluation_of_all_samples() -> None:
    whole = evaluated(None)
    assert evaluated(widths(whole)[16] / 2) == whole
    assert whole.metrics()["eval/single_shot/samples"] == 16.0
    assert whole.pass_at_k is not None
    assert whole.majority_at_k is not None


def test_the_oracle_has_a_block_in_the_first_round() -> None:
    stopped = evaluated(0.99, oracle_drafts=3)
    assert [len(question.single_shot) for question in stopped.per_question] == len(QUESTIONS) * [3]
    assert stopped.draft_conditioned_oracle is not None
    assert stopped.draft_conditioned_oracle.samples == 1


class Silent(EqualityReward):
    """Reward that scores nothing, so that there is no interval."""

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Any]:
        return [None] * len(completions)


def test_an_interval_that_cannot_be_estimated_does_not_stop_it() -> None:
    result = evaluated(0.99, reward=Silent())
    assert [len(question.answers) for question in result.per_question] == len(QUESTIONS) * [16]
    assert result.single_shot is None
    assert "eval/single_shot/samples" not in result.metrics()


def test_wrap_is_told_how_many_calls_each_round_makes() -> None:
    seen: list[tuple[DigitEngine, int]] = []

    def wrap(engine: Engine, calls: int) -> Engine:
        seen.append((DigitEngine(), calls))
        return seen[-1][0]

    bare, width = DigitEngine(), widths(evaluated(None))[8] + 1e-9
    evaluated(width, bare, wrap=wrap, oracle_drafts=2)
    assert bare.calls == [], "all goes through the wrapped engines"
    q = len(QUESTIONS)
    assert [calls for _, calls in seen] == [2 * q, q, q, q * (8 + 4)]  # greedy is in the first round
    assert [len(engine.calls) for engine, _ in seen] == [calls for _, calls in seen]
    assert [{len(call.seeds) for call in engine.calls} for engine, _ in seen] == [{1, 2}, {2}, {4}, {1}]


class Dawdling(EqualityReward):
    """Reward that takes its time for some questions."""

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        for _ in range(5 if question.id == "q3" else 0):
            await asyncio.sleep(0)
        return await super().score(question, completions)


def test_the_batch_barrier_as_wrap_changes_nothing() -> None:
    width = widths(evaluated(None))[8] + 1e-9
    plain, quick, slow = DigitEngine(), DigitEngine(), DigitEngine()
    expected = evaluated(width, plain)
    assert evaluated(width, quick, wrap=BatchBarrier) == expected
    assert evaluated(width, slow, wrap=BatchBarrier, reward=Dawdling()) == expected
    assert slow.calls == quick.calls, "the engine hears the same calls in the same order"


def both(questions: int, width: float) -> tuple[EvaluationResult, EvaluationResult]:
    """Results with and without the barrier, of this process in its group."""
    of = QUESTIONS[:questions]
    return evaluated(width, questions=of), evaluated(width, questions=of, wrap=BatchBarrier)


@pytest.mark.parametrize(("questions", "k"), [(40, 4), (2, 2)])
def test_all_processes_stop_at_the_same_round(tmp_path: Path, questions: int, k: int) -> None:
    """Also one without a question. The verdicts of all decide: those of a share alone are too few to stop."""
    alone = evaluated(None, questions=QUESTIONS[:questions])
    width = widths(alone)[k] + 1e-9
    expected = evaluated(width, questions=QUESTIONS[:questions])
    assert {len(one.single_shot) for one in expected.per_question} == {k}
    for found in in_processes(3, tmp_path, both, questions, width):
        assert found == (expected, expected)


def test_paired_differences_and_drafts_take_questions_of_any_k() -> None:
    """A share of each question is what is compared, and the gain of a draft has its own number of other answers."""
    rows = [(True, False), (False, True, True, True)]
    worth = draft_worth(rows, rows)
    assert worth is not None
    assert worth.given_right.gain is not None
    assert worth.given_right.gain.value == pytest.approx((1 - 0 + 3 * (1 - 2 / 3)) / 4)


def test_stopping_keeps_the_coverage_and_moves_the_mean_by_less_than_a_quarter_of_its_error() -> None:
    """Simulated at the width that half of the evaluations pass in their first round, the worst case."""
    rng, truth, repeats = random.Random(0), 0.75, 1500
    whole = [[[rng.random() < truth for _ in range(4)] for _ in range(24)] for _ in range(repeats)]
    first = [estimate_accuracy([row[:2] for row in rows]) for rows in whole]
    width = sorted(one.high - one.low for one in first)[repeats // 2]
    ends = [one if is_narrow(one, width) else estimate_accuracy(rows) for one, rows in zip(first, whole, strict=True)]
    assert 0.3 < sum(end.samples == 2 for end in ends) / repeats < 0.6
    assert sum(end.low <= truth <= end.high for end in ends) / repeats > 0.93
    error = (truth * (1 - truth) / (24 * 2)) ** 0.5
    bias = sum(end.value for end in ends) / repeats - truth
    assert 0.05 * error < bias < 0.25 * error  # away from 1/2
    assert abs(sum(mean_at_k(rows) for rows in whole) / repeats - truth) < 0.05 * error
