"""Critique-GRPO: which prompt shows what, how many completions there are, and which tokens get gradients given what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext
from igrpo.algorithms.critique_grpo import CritiqueGRPO
from igrpo.seeding import sample_seed
from igrpo.settings.objective import AdvantageConfig
from igrpo.training.batching import question_rows
from igrpo.types import Completion, Question, Score, Trace
from tests.algorithms.fakes import PARAMS, PlainPrompts, ScriptedEngine, TextReward, score

QUESTION = Question("q1", "1 + 1", "2")
BARE = (1,)
MEAN_ONLY = AdvantageConfig(baseline="mean", scale="none", std="sample", std_eps=0.0, tolerance=1e-6, select="all")


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def script(answers: Sequence[str], refinements: Sequence[str] = ()) -> ScriptedEngine:
    """Answers and refinements in this order; the critique of an answer names it."""
    left, refined = iter(answers), iter(refinements)

    def say(prompt: tuple[int, ...], seed: int) -> str:
        if prompt == BARE:
            return next(left)
        if prompt[-1] == -1:
            return "not " + "".join(map(chr, prompt[2:-1]))
        return next(refined)

    return ScriptedEngine(say)


def run(
    engine: ScriptedEngine, *, answers: int = 4, critiques: int = 3, kept: int = 2, reward: Any = None, step: int = 3
) -> Trace:
    prompts: Any = PlainPrompts()
    context = RolloutContext(engine, reward or TextReward(frozenset({"good"})), prompts, PARAMS, 0, step)
    return asyncio.run(CritiqueGRPO(answers, critiques, kept)(QUESTION, context))


def test_one_right_answer_and_nothing_else_is_sampled() -> None:
    engine = script(["a", "good", "c", "d"])
    trace = run(engine)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [(BARE, 4)]
    (group,) = trace.groups
    assert (group.stage, group.trained, trace.lessons, trace.sampled) == (1, True, (), 4)  # GRPO, to the letter


def test_where_all_fail_each_refinement_sees_an_answer_and_its_own_critique() -> None:
    engine = script(["a", "b", "c", "d"], ["x", "y", "z"])
    trace = run(engine)
    assert trace.sampled == 4 + 2 * 3  # critiques are paid for like all others
    calls = [prompt for prompt, seeds in engine.calls if len(seeds) == 1]
    criticised = [chr(prompt[2]) for prompt in calls[::2]]
    assert len(set(criticised)) == 3  # distinct answers
    assert calls[::2] == [(1, 0, ord(a), -1) for a in criticised]
    assert calls[1::2] == [(1, 0, ord(a), -2, *codes(f"not {a}")) for a in criticised]
    # the answers' turn, then two for each pair of a critique and a refinement
    turns = [(1, 4), *((turn, 1) for turn in range(2, 8))]
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(0, 3, "q1", turn, i) for i in range(n)) for turn, n in turns
    ]
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 10

    assert [(group.stage, group.trained) for group in trace.groups] == [(1, False), *[(3, False), (2, False)] * 3]
    for index, group in enumerate(trace.groups[1:], start=1):
        assert trace.drafts_of(index) is trace.groups[0]
        (shown,) = group.shown
        assert trace.groups[0].completions[shown].text == criticised[(index - 1) // 2]
    for critique in trace.groups[1::2]:
        assert (critique.scores, len(critique.unscored)) == ((), 1)  # it has no reward


def test_all_is_trained_given_the_question_alone_with_one_baseline_and_the_critiques_not_at_all() -> None:
    trace = run(script(["a", "b", "c", "d"], ["x", "good", "z"]))
    (cohort,) = trace.cohorts
    assert [one.completion.text for one in cohort] == ["a", "b", "c", "d", "good", "x"]  # the right one first
    assert [one.transferred for one in cohort] == [False] * 4 + [True] * 2
    rows = question_rows(trace, MEAN_ONLY, mask_truncated=False)
    assert [row.prompt_ids for row in rows] == [BARE] * 6
    assert [row.transferred for row in rows] == [False] * 4 + [True] * 2
    # R - mean over the union of n = 4 and k = 2: one of six is right
    assert [row.advantage for row in rows] == pytest.approx([-1 / 6] * 4 + [5 / 6, -1 / 6])


def test_fewer_refinements_are_kept_than_there_are_right_ones_first_then_by_reward() -> None:
    class Graded(TextReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            values = {"x": (0.5, False), "y": (0.25, True), "z": (0.75, False)}
            return [score(*values.get(one.text, (0.0, False))) for one in completions]

    def kept(k: int) -> list[str]:
        trace = run(script(["a", "b", "c", "d"], ["x", "y", "z"]), kept=k, reward=Graded(frozenset()))
        return [one.completion.text for one in trace.lessons[0] if one.transferred]

    assert [kept(k) for k in (1, 2, 3)] == [["y"], ["y", "z"], ["y", "z", "x"]]


def test_more_critiques_than_answers_begin_anew_with_other_seeds() -> None:
    engine = script(["a", "b"], ["x", "y", "z"])
    run(engine, answers=2, critiques=3, kept=1)
    asked = [(prompt, seeds) for prompt, seeds in engine.calls if prompt[-1] == -1]
    assert asked[0][0] == asked[2][0] != asked[1][0]
    assert asked[0][1] != asked[2][1]


def test_which_answers_are_criticised_repeats_and_changes_with_the_step() -> None:
    def criticised(step: int) -> list[int]:
        engine = script(["a", "b", "c", "d"], ["x"])
        run(engine, critiques=1, kept=1, step=step)
        return [prompt[2] for prompt, _ in engine.calls if prompt[-1] == -1]

    found = [criticised(step) for step in range(20)]
    assert found == [criticised(step) for step in range(20)]
    assert {one for each in found for one in each} == set(map(ord, "abcd"))


@pytest.mark.parametrize("unknown", [True, False], ids=["no verdict", "no score"])
def test_an_answer_that_is_not_known_to_be_right_has_failed(unknown: bool) -> None:
    class Mute(TextReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> Any:
            return [Score(0.0, None, "refused") if unknown else None for _ in completions]

    engine = script(["a", "b", "c", "d"], ["x", "y", "z"])
    trace = run(engine, reward=Mute(frozenset()))
    # an answer without a Score is in no group: there is nothing to criticise
    assert trace.sampled == (10 if unknown else 4)
    assert len(trace.cohorts[0]) == (6 if unknown else 0)
