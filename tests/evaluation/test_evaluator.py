"""The evaluation with a scripted engine: what is asked for, on what condition, with which seeds, and what is counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import pytest

from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import EVALUATION_METRIC_DOCS, EvaluationResult
from igrpo.rewards.base import RewardError
from igrpo.rollout.base import Engine, SamplingParams
from igrpo.rollout.lockstep import Lockstep
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Outcome, Prompt, Question, Score

SAMPLING = SamplingParams(temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=8, stop_token_ids=(0,))
QUESTIONS = [Question("a", "3", "3"), Question("b", "4", "4")]
DRAFT_MARK = 99


@dataclass
class Call:
    """One ``sample`` call."""

    prompt: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]


@dataclass
class ScriptedEngine:
    """Answers with one token that depends on the prompt and the seed; remembers its calls."""

    calls: list[Call] = field(default_factory=list)
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    busy_seconds: float = 0.0
    running: int = 0
    most_running: int = 0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.calls.append(Call(tuple(prompt_ids), params, tuple(seeds)))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return tuple(self.answer(tuple(prompt_ids), params, seed) for seed in seeds)

    def answer(self, prompt: tuple[int, ...], params: SamplingParams, seed: int) -> Completion:
        token = prompt[0] if params.temperature == 0 else 1 + seed % 4
        entropy = 2.0 if DRAFT_MARK in prompt else 1.0
        return Completion((token, 0), str(token), (-1.0,) * 2, (0.5,) * 2, (entropy,) * 2, "stop", 0)

    def sync_weights(self, version: int) -> None: ...

    def close(self) -> None: ...


@dataclass
class EqualityReward:
    """Right when the text is the gold answer; a wrong text is worth the more, the larger its digit."""

    name: str = "equality"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        return [self.one(question, c.text) for c in completions]

    def one(self, question: Question, text: str) -> Score:
        right = text == question.answer
        return Score(1.0 if right else int(text) / 100, right, "right" if right else "wrong", answer=text)

    def close(self) -> None: ...


class Prompts:
    """A bare question is its digit; a refinement adds a mark and the draft's tokens. Draft 1 is 'cut'."""

    def question_prompt(self, question: Question) -> Prompt:
        return Prompt((int(question.problem),))

    def refinement_prompt(self, question: Question, draft: Completion | None) -> Prompt:
        assert draft is not None
        ids = (int(question.problem), DRAFT_MARK, *draft.token_ids)
        return Prompt(ids, draft_tokens=2, draft_tokens_cut=int(draft.text == "1"))


def evaluator(engine: Engine, **changes: object) -> Evaluator:
    settings: dict[str, object] = {
        "sampling": SAMPLING,
        "samples": 4,
        "greedy": True,
        "draft_conditioned": True,
        "oracle_drafts": 0,
        "seed": 11,
    }
    reward = changes.pop("reward", EqualityReward())
    questions = changes.pop("questions", QUESTIONS)
    return Evaluator(engine, reward, Prompts(), questions, **(settings | changes))  # type: ignore[arg-type]


def run(engine: Engine, **changes: object) -> EvaluationResult:
    return asyncio.run(evaluator(engine, **changes).run())


def token(question_id: str, stage: int | str, sample: int) -> str:
    """What the scripted engine answers for that seed."""
    return str(1 + derive_seed("evaluation", 11, question_id, stage, sample) % 4)


def test_each_request_is_made_once() -> None:
    engine = ScriptedEngine()
    run(engine)
    by_seeds = sorted((call.prompt[0], DRAFT_MARK in call.prompt, len(call.seeds)) for call in engine.calls)
    # Each question: greedy (1 seed), sampled (4 seeds), and four refinements of one seed each.
    expected = [(q, False, 1) for q in (3, 4)] + [(q, False, 4) for q in (3, 4)] + 4 * [(3, True, 1), (4, True, 1)]
    assert by_seeds == sorted(expected)


def test_draft_j_is_what_refinement_j_sees() -> None:
    engine = ScriptedEngine()
    run(engine)
    for question in QUESTIONS:
        for j in range(4):
            seed = derive_seed("evaluation", 11, question.id, 2, j)
            (call,) = [call for call in engine.calls if call.seeds == (seed,)]
            draft = int(token(question.id, 1, j))
            assert call.prompt == (int(question.problem), DRAFT_MARK, draft, 0)
            assert call.params == SAMPLING


def test_greedy_is_one_sample_at_temperature_zero() -> None:
    engine = ScriptedEngine()
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
    result = run(ScriptedEngine())
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
    first, second = ScriptedEngine(), ScriptedEngine()
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
    engine = ScriptedEngine()
    run(engine, oracle_drafts=2)
    seeds = [seed for call in engine.calls for seed in call.seeds]
    assert len(seeds) == len(set(seeds)) == 2 * (4 + 1 + 4 + 2)


def test_the_order_of_questions_changes_no_verdict() -> None:
    forward, backward = run(ScriptedEngine()), run(ScriptedEngine(), questions=QUESTIONS[::-1])
    assert forward.per_question == backward.per_question[::-1]
    assert forward.metrics() == pytest.approx(backward.metrics())


def test_questions_are_asked_together() -> None:
    engine = ScriptedEngine()
    run(engine)
    assert engine.most_running >= 4, "two questions, each sampled and greedy at the same time"


def test_the_oracle_shows_the_best_of_each_block_and_is_labelled() -> None:
    engine = ScriptedEngine()
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


def test_an_oracle_tie_goes_to_the_right_draft() -> None:
    class Flat(EqualityReward):
        def one(self, question: Question, text: str) -> Score:
            return replace(super().one(question, text), value=1.0)

    class Alternating(ScriptedEngine):
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
    engine = ScriptedEngine()
    result = run(engine, greedy=False, draft_conditioned=False)
    assert len(engine.calls) == 2
    assert (result.greedy, result.draft_conditioned, result.draft_conditioned_oracle) == (None, None, None)
    assert (result.entropy_stage2, result.draft_cut_share) == (None, None)
    assert result.per_question[0].greedy is None
    assert result.per_question[0].draft_conditioned == ()
    assert not [name for name in result.metrics() if "greedy" in name or "draft" in name or "stage2" in name]


def test_what_is_counted() -> None:
    result = run(ScriptedEngine())
    assert (result.entropy_stage1, result.entropy_stage2) == (1.0, 2.0)
    assert (result.length_mean, result.truncated_share) == (2.0, 0.0)
    assert result.generated_tokens == 2 * 2 * (4 + 1 + 4)  # two tokens an answer, two questions
    assert result.outcomes["right"] == result.single_shot.value
    assert sum(result.outcomes.values()) == pytest.approx(1.0)
    ones = sum(token(q.id, 1, j) == "1" for q in QUESTIONS for j in range(4))
    assert result.draft_cut_share == ones / 8
    passed = [any(q.single_shot) for q in result.per_question]
    assert result.pass_at_k == sum(passed) / 2


def test_metric_names_are_documented_and_fit_mlflow() -> None:
    metrics = run(ScriptedEngine(), oracle_drafts=2).metrics("eval/dev")
    names = {name.removeprefix("eval/dev/") for name in metrics}
    assert names == set(EVALUATION_METRIC_DOCS)
    assert all(re.fullmatch(r"[A-Za-z0-9_\-. /]+", name) for name in metrics)
    assert all(isinstance(value, float) for value in metrics.values())


def test_metrics_carry_each_value_under_its_own_name() -> None:
    result = run(ScriptedEngine(), oracle_drafts=2)
    metrics = result.metrics()
    for name in ("single_shot", "greedy", "draft_conditioned", "draft_conditioned_oracle"):
        estimate = asdict(result)[name]
        got = [metrics[f"eval/{name}/{key}"] for key in ("accuracy", "low", "high")]
        assert got == [estimate["value"], estimate["low"], estimate["high"]]


@dataclass
class FixedReward(EqualityReward):
    """The same word on everything."""

    correct: bool | None = None
    outcome: Outcome = "wrong"

    def one(self, question: Question, text: str) -> Score:
        return Score(0.0, self.correct, self.outcome)


def test_a_failed_check_counts_as_not_right() -> None:
    result = run(ScriptedEngine(), reward=FixedReward(correct=None, outcome="timed_out"))
    assert result.single_shot.value == 0.0
    assert result.metrics()["eval/outcome/timed_out"] == 1.0
    assert result.majority_at_k is None, "no answer was extracted, so nothing could vote"
    assert "eval/single_shot/majority_at_k" not in result.metrics()


def test_a_reward_without_verdicts_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"reward 'equality' left Score\.correct unknown on all 8"):
        run(ScriptedEngine(), reward=FixedReward(correct=None, outcome="wrong"))


def test_a_broken_reward_is_named_and_not_wrapped_in_a_group() -> None:
    class Short(EqualityReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            return []

    with pytest.raises(RewardError, match=r"reward 'equality' on question '[ab]' returned 0 scores"):
        run(ScriptedEngine(), reward=Short())


def test_wrap_is_told_how_many_calls_each_stage_makes() -> None:
    seen: list[tuple[ScriptedEngine, int]] = []

    def wrap(engine: Engine, calls: int) -> Engine:
        seen.append((ScriptedEngine(), calls))
        return seen[-1][0]

    bare = ScriptedEngine()
    run(bare, wrap=wrap, oracle_drafts=2)
    assert bare.calls == [], "all goes through the wrapped engines"
    assert [calls for _, calls in seen] == [2 * 2, 2 * (4 + 2)]
    assert [len(engine.calls) for engine, _ in seen] == [4, 12]


@pytest.mark.parametrize("settings", [{}, {"greedy": False, "draft_conditioned": False}, {"oracle_drafts": 4}])
def test_lockstep_fits_as_wrap_and_changes_nothing(settings: dict[str, object]) -> None:
    """Slow rewards move nothing, the barrier never waits for ever, and the results are those without it."""

    class Dawdling(EqualityReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            for _ in range(5 if question.id == "a" else 0):
                await asyncio.sleep(0)
            return await super().score(question, completions)

    plain, quick, slow = ScriptedEngine(), ScriptedEngine(), ScriptedEngine()
    expected = run(plain, **settings)
    assert run(quick, wrap=Lockstep, **settings) == expected
    assert run(slow, wrap=Lockstep, reward=Dawdling(), **settings) == expected
    assert slow.calls == quick.calls, "the engine hears the same calls in the same order"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"questions": []}, "no questions"),
        ({"questions": [QUESTIONS[0], QUESTIONS[0]]}, "id 'a' is used more than once"),
        ({"samples": 0}, "evaluation.samples=0 must be at least 1"),
        ({"sampling": replace(SAMPLING, temperature=0.0)}, "evaluation.temperature=0.0 is not positive"),
        ({"oracle_drafts": 5}, "oracle_drafts=5 must lie between 0 .* evaluation.samples=4"),
        ({"oracle_drafts": -1}, "oracle_drafts=-1"),
    ],
)
def test_settings_that_cannot_be_evaluated(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluator(ScriptedEngine(), **settings)
