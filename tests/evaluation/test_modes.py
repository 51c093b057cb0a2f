"""Test-time modes: what each sample is conditioned on, how many there are, and that a killed evaluation goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from igrpo.evaluation.samples import SampleKey
from igrpo.evaluation.test_time.base import Mode, budgets_of
from igrpo.generation.base import SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.types import Completion, Question
from tests.evaluation.fakes import DRAFT_MARK, QUESTIONS, SAMPLING, DigitEngine
from tests.evaluation.modes import MAJORITY, MODES, PDR, REFINE, RSA, Store, run_modes

#: The shared answers to the bare question: two are those of the single-shot evaluation.
SINGLE_SHOT, MORE = "single_shot", "test_time/answer"


def bare(count: int) -> list[SampleKey]:
    """The keys of the first shared answers."""
    return [(SINGLE_SHOT, i) if i < 2 else (MORE, i) for i in range(count)]


def drawn(mode: Mode, name: str = "mode", **changes: Any) -> tuple[DigitEngine, Store]:
    engine, store = DigitEngine(), Store()
    run_modes({name: mode}, engine=engine, store=store, **changes)
    return engine, store


def check_prompts(engine: DigitEngine, store: Store) -> None:
    """Every sample was drawn from the prompt that shows exactly the samples of its context, in their order."""
    asked = {seed: call for call in engine.calls for seed in call.seeds}
    assert sorted(asked) == sorted(sample.seed for sample in store.kept.values())
    for (name, _), sample in store.kept.items():
        question = next(one for one in QUESTIONS if one.id == name)
        shown = [store.kept[name, key] for key in sample.context]
        ids = [int(question.problem), *(token for draft in shown for token in (DRAFT_MARK, *draft.token_ids))]
        assert asked[sample.seed].prompt == tuple(ids)


def test_refinements_see_the_one_that_was_picked_and_nothing_else() -> None:
    engine, store = drawn(REFINE)
    check_prompts(engine, store)
    for question in QUESTIONS:
        first, second = (store.of(question.id, f"mode/round_{number}") for number in (1, 2))
        assert [sample.index for sample in (*first, *second)] == [0, 1, 2, 0, 1, 2]
        ((draft,),) = {sample.context for sample in first}
        ((refined,),) = {sample.context for sample in second}
        assert draft in bare(4)
        assert refined in [sample.key for sample in first]
        assert most_frequent(store, question, bare(4), draft)
        assert most_frequent(store, question, [sample.key for sample in first], refined)
    assert {call.params for call in engine.calls} == {SAMPLING}


def most_frequent(store: Store, question: Question, among: Sequence[SampleKey], picked: SampleKey) -> bool:
    texts = [store.kept[question.id, key].text for key in among]
    return texts.count(store.kept[question.id, picked].text) == max(map(texts.count, texts))


def test_among_all_samples_an_early_answer_may_stay() -> None:
    _, store = drawn(REFINE.model_copy(update={"among": "all", "rounds": 6, "refinements": 1}))
    shown = [sample.context[0] for sample in store.kept.values() if sample.context]
    assert any(key in bare(4) for key in shown[len(QUESTIONS) :])  # a draft again, after a round


def test_self_aggregation_sees_different_samples_of_the_population_before() -> None:
    engine, store = drawn(RSA)
    check_prompts(engine, store)
    for question in QUESTIONS:
        population = bare(3)
        for number in (1, 2):
            samples = store.of(question.id, f"mode/round_{number}")
            assert len(samples) == 3
            for sample in samples:
                assert len(set(sample.context)) == 2
                assert set(sample.context) <= set(population)
            population = [sample.key for sample in samples]


def test_pdr_refines_a_summary_of_all_drafts() -> None:
    engine, store = drawn(PDR)
    check_prompts(engine, store)
    for question in QUESTIONS:
        (first,), (second,) = (store.of(question.id, f"mode/summary_{number}") for number in (1, 2))
        drafts, (answer,) = (store.of(question.id, f"mode/round_{number}") for number in (1, 2))
        assert first.context == tuple(bare(3))
        assert [draft.context for draft in drafts] == [(first.key,)] * 3
        assert second.context == tuple(draft.key for draft in drafts)
        assert answer.context == (second.key,)
    summaries = {sample.seed for sample in store.kept.values() if "/summary_" in sample.kind}
    for call in engine.calls:
        assert call.params.max_new_tokens == (5 if summaries & set(call.seeds) else SAMPLING.max_new_tokens)


def test_pdr_keeps_random_drafts() -> None:
    engine, store = drawn(PDR.model_copy(update={"distil": "random"}))
    check_prompts(engine, store)
    for question in QUESTIONS:
        drafts, (answer,) = (store.of(question.id, f"mode/round_{number}") for number in (1, 2))
        ((one, other),) = {draft.context for draft in drafts}
        assert one != other
        assert {one, other} <= set(bare(3))
        assert set(answer.context) < {draft.key for draft in drafts}


def test_modes_share_the_answers_to_the_bare_question() -> None:
    _, store = drawn(MAJORITY.model_copy(update={"samples": 5}))
    _, together = Store(), Store()
    run_modes(MODES, store=together)
    for question in QUESTIONS:
        assert len(store.of(question.id, MORE)) == 3
        assert len(together.of(question.id, MORE)) == 10 - 2  # the vote of as many samples as refine draws
        assert store.of(question.id, MORE) == together.of(question.id, MORE)[:3]


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("changes", [{}, {"distil": "random"}, {"among": "all"}, {"rounds": 1}])
def test_as_many_samples_as_planned(name: str, repeats: int, changes: dict[str, Any]) -> None:
    known = {key: value for key, value in changes.items() if key in type(MODES[name]).model_fields}
    mode = MODES[name].model_copy(update={**known, "repeats": repeats})
    modes = {"other": REFINE, "mode": mode} if mode.follows else {"mode": mode}
    plan = mode.plan(budgets_of(list(modes.values())))
    store = Store()
    result = run_modes(modes, store=store, samples=1)
    assert result.test_time is not None
    curve = next(curve for curve in result.test_time.curves if curve.name == "mode")
    assert [(point.step, point.samples) for point in curve.points] == [(step.name, step.samples) for step in plan]
    assert [point.tokens for point in curve.points] == [2 * step.samples for step in plan]  # 2 tokens per sample
    assert len(store.of("a", SINGLE_SHOT)) == 1
    contexts = [len(sample.context) for sample in store.kept.values() if sample.kind.startswith("mode/")]
    assert max(contexts, default=0) == max(step.shown for step in plan)
    if not mode.follows:  # alone: every sample is spent, and none is shared between repetitions
        assert len(store.kept) == len(QUESTIONS) * repeats * plan[-1].samples
        assert result.generated_tokens == 2 * len(store.kept)


def test_repetitions_have_blocks_of_their_own() -> None:
    _, store = drawn(REFINE.model_copy(update={"repeats": 2}), samples=3)
    for question in QUESTIONS:
        samples = store.of(question.id, "mode/round_1")
        blocks = [{sample.context for sample in samples[start : start + 3]} for start in (0, 3)]
        keys = [(SINGLE_SHOT if i < 3 else MORE, i) for i in range(8)]
        for block, allowed in zip(blocks, (keys[:4], keys[4:]), strict=True):
            ((shown,),) = block
            assert shown in allowed


def test_the_order_of_the_questions_and_other_modes_change_nothing() -> None:
    store, other = Store(), Store()
    run_modes(MODES, store=store)
    run_modes({"refine": REFINE}, store=other, questions=QUESTIONS[::-1])
    assert other.kept.items() <= store.kept.items()


class KilledError(Exception):
    """The death of the process."""


class DyingEngine(DigitEngine):
    """Dies at its n-th call."""

    left = 0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        return await super().sample(prompt_ids, params, seeds)


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("calls", [0, 1, 3, 8, 13, 20])
def test_a_killed_evaluation_draws_only_what_is_missing(calls: int, barrier: bool) -> None:
    settings: dict[str, Any] = {"wrap": BatchBarrier if barrier else None}
    whole, store = run_modes(MODES, **settings), Store()
    first, second = DyingEngine(), DigitEngine()
    first.left = calls
    with pytest.raises(KilledError):
        run_modes(MODES, engine=first, store=store, **settings)
    kept = {sample.seed for sample in store.kept.values()}
    assert run_modes(MODES, engine=second, store=store, **settings) == whole
    again = {seed for call in second.calls for seed in call.seeds}
    assert not kept & again
    assert kept | again == {sample.seed for sample in store.kept.values()}
    third = DigitEngine()
    assert run_modes(MODES, engine=third, store=store, **settings) == whole
    assert third.calls == []


def test_a_barrier_holds_all_questions_back_between_the_steps() -> None:
    engine = DigitEngine()
    run_modes({"mode": REFINE.model_copy(update={"repeats": 2})}, engine=engine, samples=8, wrap=BatchBarrier)
    shows = [DRAFT_MARK in call.prompt for call in engine.calls]
    assert shows == [False] * 2 + [True] * 8  # 2 questions, then 2 repetitions of each in each of two rounds
    assert engine.most_running == 4
