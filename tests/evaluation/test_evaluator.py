"""Evaluation with a fake engine: its requests, their settings and their seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from igrpo.evaluation.result import EvaluationResult
from igrpo.generation.base import Engine, SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Question, Score
from tests.evaluation.fakes import (
    DRAFT_MARK,
    QUESTIONS,
    SAMPLING,
    DigitEngine,
    EqualityReward,
    evaluator,
    run,
    token,
)


def test_each_request_is_made_once() -> None:
    engine = DigitEngine()
    run(engine)
    by_seeds = sorted((call.prompt[0], DRAFT_MARK in call.prompt, len(call.seeds)) for call in engine.calls)
    # Each question: greedy (1 seed), sampled (4 seeds), and four refinements of one seed each.
    expected = [(q, False, 1) for q in (3, 4)] + [(q, False, 4) for q in (3, 4)] + 4 * [(3, True, 1), (4, True, 1)]
    assert by_seeds == sorted(expected)


def test_draft_j_is_what_refinement_j_sees() -> None:
    engine = DigitEngine()
    run(engine)
    for question in QUESTIONS:
        for j in range(4):
            seed = derive_seed("evaluation", 11, question.id, 2, j)
            (call,) = [call for call in engine.calls if call.seeds == (seed,)]
            draft = int(token(question.id, 1, j))
            assert call.prompt == (int(question.problem), DRAFT_MARK, draft, 0)
            assert call.params == SAMPLING


def test_greedy_is_one_sample_at_temperature_zero() -> None:
    engine = DigitEngine()
    result = run(engine)
    greedy = [call for call in engine.calls if call.params.temperature == 0]
    assert [len(call.seeds) for call in greedy] == [1, 1]
    assert all(call.params == replace(SAMPLING, temperature=0.0, top_p=1.0, top_k=0) for call in greedy)
    assert all(DRAFT_MARK not in call.prompt for call in greedy)
    # The scripted greedy answer repeats the question, which is the gold answer.
    assert result.greedy is not None
    assert (result.greedy.value, result.greedy.samples) == (1.0, 1)
    assert [q.greedy for q in result.per_question] == [True, True]


def test_accuracies_are_those_of_the_verdicts() -> None:
    result = run(DigitEngine())
    for q, question in zip(result.per_question, QUESTIONS, strict=True):
        assert q.id == question.id
        assert q.answers == tuple(token(question.id, 1, j) for j in range(4))
        assert q.single_shot == tuple(token(question.id, 1, j) == question.answer for j in range(4))
        assert q.draft_conditioned == tuple(token(question.id, 2, j) == question.answer for j in range(4))
    single = [right for q in result.per_question for right in q.single_shot]
    conditioned = [right for q in result.per_question for right in q.draft_conditioned]
    assert result.single_shot.value == sum(single) / 8
    assert (result.single_shot.questions, result.single_shot.samples) == (2, 4)
    assert result.draft_conditioned is not None
    assert result.draft_conditioned.value == sum(conditioned) / 8
    assert any(single), "the script should hit at least one gold answer, else this shows nothing"
    assert any(conditioned)


def test_two_evaluations_share_their_random_numbers() -> None:
    first, second = DigitEngine(), DigitEngine()
    one = evaluator(first)

    async def twice() -> tuple[EvaluationResult, EvaluationResult]:
        return await one.run(), await one.run()

    before, after = asyncio.run(twice())
    assert before == after
    half = len(first.calls) // 2
    assert sorted(c.seeds for c in first.calls[:half]) == sorted(c.seeds for c in first.calls[half:])
    other = run(second, seed=12)
    assert not {s for c in first.calls for s in c.seeds} & {s for c in second.calls for s in c.seeds}
    assert other != before


def test_no_two_samples_share_a_seed() -> None:
    engine = DigitEngine()
    run(engine, oracle_drafts=2)
    seeds = [seed for call in engine.calls for seed in call.seeds]
    assert len(seeds) == len(set(seeds)) == 2 * (4 + 1 + 4 + 2)


def test_the_order_of_questions_changes_no_verdict() -> None:
    forward, backward = run(DigitEngine()), run(DigitEngine(), questions=QUESTIONS[::-1])
    assert forward.per_question == backward.per_question[::-1]
    assert forward.metrics() == pytest.approx(backward.metrics())


def test_questions_are_asked_together() -> None:
    engine = DigitEngine()
    run(engine)
    assert engine.most_running >= 4, "two questions, each sampled and greedy at the same time"


def test_the_oracle_shows_the_best_of_each_block_and_is_labelled() -> None:
    engine = DigitEngine()
    result = run(engine, samples=5, oracle_drafts=2, draft_conditioned=False)
    reward = EqualityReward()
    for question in QUESTIONS:
        drafts = [token(question.id, 1, j) for j in range(5)]
        for block in range(2):  # the fifth sample fills no block
            seed = derive_seed("evaluation", 11, question.id, "oracle", block)
            (call,) = [call for call in engine.calls if call.seeds == (seed,)]
            best = max(drafts[2 * block : 2 * block + 2], key=lambda text: reward.one(question, text).value)
            assert call.prompt == (int(question.problem), DRAFT_MARK, int(best), 0)
    assert result.draft_conditioned is None
    assert result.draft_conditioned_oracle is not None
    assert result.draft_conditioned_oracle.samples == 2
    metrics = result.metrics()
    assert "eval/draft_conditioned_oracle/accuracy" in metrics
    assert "eval/draft_conditioned/accuracy" not in metrics


@pytest.mark.parametrize("values", [(0.1, 0.9, 0.5, 0.2), (0.9, 0.1, 0.2, 0.5), (-1.0, -0.5, 0.0, -2.0)])
def test_the_oracle_picks_by_value_whatever_the_verdict(values: tuple[float, ...]) -> None:
    """A format reward may put a wrong draft above a right one: what is picked is what training would show."""
    drafts = [str(10 + i) for i in range(4)]

    class Graded(EqualityReward):
        def one(self, question: Question, text: str) -> Score:
            value = values[drafts.index(text)] if text in drafts else 0.0
            right = value == min(values)
            return Score(value, right, "right" if right else "wrong", answer=text)

    class Numbered(DigitEngine):
        async def sample(
            self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
        ) -> tuple[Completion, ...]:
            made = await super().sample(prompt_ids, params, seeds)
            return tuple(replace(c, text=drafts[i], token_ids=(10 + i, 0)) for i, c in enumerate(made))

    engine = Numbered()
    run(engine, reward=Graded(), questions=QUESTIONS[:1], oracle_drafts=4, draft_conditioned=False, greedy=False)
    (shown,) = [call.prompt for call in engine.calls if DRAFT_MARK in call.prompt]
    assert shown == (3, DRAFT_MARK, 10 + values.index(max(values)), 0)


def test_an_oracle_tie_goes_to_the_right_draft() -> None:
    class Flat(EqualityReward):
        def one(self, question: Question, text: str) -> Score:
            return replace(super().one(question, text), value=1.0)

    class Alternating(DigitEngine):
        async def sample(
            self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
        ) -> tuple[Completion, ...]:
            made = await super().sample(prompt_ids, params, seeds)
            return tuple(
                replace(c, text=("1", "3")[i % 2], token_ids=((1, 0), (3, 0))[i % 2]) for i, c in enumerate(made)
            )

    engine = Alternating()
    run(engine, reward=Flat(), questions=QUESTIONS[:1], oracle_drafts=4, draft_conditioned=False, greedy=False)
    assert [call.prompt for call in engine.calls if DRAFT_MARK in call.prompt] == [(3, DRAFT_MARK, 3, 0)]


def test_off_means_not_sampled() -> None:
    engine = DigitEngine()
    result = run(engine, greedy=False, draft_conditioned=False)
    assert len(engine.calls) == 2
    assert (result.greedy, result.draft_conditioned, result.draft_conditioned_oracle) == (None, None, None)
    assert (result.refinement_entropy, result.draft_cut_share) == (None, None)
    assert result.per_question[0].greedy is None
    assert result.per_question[0].draft_conditioned == ()
    assert not [name for name in result.metrics() if "greedy" in name or "draft" in name or "refinement" in name]


def test_wrap_is_told_how_many_calls_each_stage_makes() -> None:
    seen: list[tuple[DigitEngine, int]] = []

    def wrap(engine: Engine, calls: int) -> Engine:
        seen.append((DigitEngine(), calls))
        return seen[-1][0]

    bare = DigitEngine()
    run(bare, wrap=wrap, oracle_drafts=2)
    assert bare.calls == [], "all goes through the wrapped engines"
    assert [calls for _, calls in seen] == [2 * 2, 2 * (4 + 2)]
    assert [len(engine.calls) for engine, _ in seen] == [4, 12]


@pytest.mark.parametrize("settings", [{}, {"greedy": False, "draft_conditioned": False}, {"oracle_drafts": 4}])
def test_the_batch_barrier_as_wrap_changes_nothing(settings: dict[str, object]) -> None:
    """Slow rewards move nothing, the barrier never waits for ever, and the results are those without it."""

    class Dawdling(EqualityReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            for _ in range(5 if question.id == "a" else 0):
                await asyncio.sleep(0)
            return await super().score(question, completions)

    plain, quick, slow = DigitEngine(), DigitEngine(), DigitEngine()
    expected = run(plain, **settings)
    assert run(quick, wrap=BatchBarrier, **settings) == expected
    assert run(slow, wrap=BatchBarrier, reward=Dawdling(), **settings) == expected
    assert slow.calls == quick.calls, "the engine hears the same calls in the same order"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"questions": []}, "no questions"),
        ({"questions": [QUESTIONS[0], QUESTIONS[0]]}, "id 'a' is used more than once"),
        ({"samples": 0}, "evaluation.samples=0 must be at least 1"),
        ({"sampling": replace(SAMPLING, temperature=0.0)}, "evaluation.temperature=0.0 is not positive"),
        ({"oracle_drafts": 5}, "oracle_drafts=5 .* evaluation.samples=4"),
        ({"oracle_drafts": -1}, "oracle_drafts=-1"),
        ({"interval_width": 0.0}, "evaluation.interval_width=0.0 must be between 0 and 1"),
        ({"interval_width": 1.0}, "evaluation.interval_width=1.0 must be between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_evaluated(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluator(DigitEngine(), **settings)
