"""Critique-GRPO: which prompt shows what, how many completions there are, and which tokens get gradients given what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from igrpo.seeding import sample_seed
from igrpo.settings.objective import AdvantageConfig
from igrpo.training.rows import question_rows
from igrpo.types import Completion, Question, Rollout, Sample, Score
from tests.algorithms import fakes
from tests.algorithms.fakes import ScriptedEngine, TextReward, context, critique_grpo, score
from tests.rollouts import shape

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
) -> Rollout:
    given = context(engine, answers + 2 * critiques, reward=reward, step=step)
    return fakes.run(critique_grpo(answers, kept), given)


def text(sample: Sample) -> str:
    return sample.completion.text


def test_one_right_answer_and_nothing_else_is_sampled() -> None:
    engine = script(["a", "good", "c", "d"])
    rollout = run(engine)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [(BARE, 4)]
    assert shape(rollout) == [("answer", True, 4)]
    assert [group.prompt for group in rollout.groups] == [None]  # GRPO, to the letter


def test_a_refinement_sees_an_answer_and_its_own_critique() -> None:
    engine = script(["a", "b", "c", "d"], ["x", "y", "z"])
    rollout = run(engine)
    assert len(rollout.samples) == 4 + 2 * 3  # critiques are paid for like all others
    calls = [prompt for prompt, seeds in engine.calls if len(seeds) == 1]
    criticised = [chr(prompt[2]) for prompt in calls[::2]]
    assert len(set(criticised)) == 3  # distinct answers
    assert calls[::2] == [(1, 0, ord(a), -1) for a in criticised]
    assert calls[1::2] == [(1, 0, ord(a), -2, *codes(f"not {a}")) for a in criticised]
    # the round of answers, then two for each pair of a critique and a refinement
    rounds = [(1, 4), *((number, 1) for number in range(2, 8))]
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(0, 3, "q1", number, i) for i in range(n)) for number, n in rounds
    ]
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 10

    assert [role for role, _, _ in shape(rollout)] == ["answer", *["critique", "refinement"] * 3]
    pairs = zip(rollout.of("critique"), rollout.of("refinement"), strict=True)
    for name, (critique, refinement) in zip(criticised, pairs, strict=True):
        answer = rollout.shown(critique)
        assert answer is not None
        assert text(answer) == name
        assert critique.context == (answer.id,)
        assert refinement.context == (answer.id, critique.id)
        assert rollout.candidates(critique) == rollout.candidates(refinement) == rollout.of("answer")
        assert critique.score is None  # it has no reward


def test_one_baseline_covers_answers_and_kept_refinements() -> None:
    rollout = run(script(["a", "b", "c", "d"], ["x", "good", "z"]))
    (group,) = rollout.groups
    assert [text(sample) for sample in group.samples] == ["a", "b", "c", "d", "good", "x"]  # the right one first
    rows = question_rows(rollout, MEAN_ONLY, mask_truncated=False)
    assert [row.prompt_ids for row in rows] == [BARE] * 6
    assert [row.cross_prompt for row in rows] == [False] * 4 + [True] * 2
    # R - mean over the union of n = 4 and k = 2: one of six is right
    assert [row.advantage for row in rows] == pytest.approx([-1 / 6] * 4 + [5 / 6, -1 / 6])


def test_right_refinements_are_kept_first_then_by_reward() -> None:
    class Graded(TextReward):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
            values = {"x": (0.5, False), "y": (0.25, True), "z": (0.75, False)}
            return [score(*values.get(one.text, (0.0, False))) for one in completions]

    def kept(k: int) -> list[str]:
        rollout = run(script(["a", "b", "c", "d"], ["x", "y", "z"]), kept=k, reward=Graded(frozenset()))
        return [text(sample) for sample in rollout.groups[0].samples if sample.role == "refinement"]

    assert [kept(k) for k in (1, 2, 3)] == [["y"], ["y", "z"], ["y", "z", "x"]]


def test_more_critiques_than_answers_begin_anew_with_other_seeds() -> None:
    engine = script(["a", "b"], ["x", "y", "z"])
    run(engine, answers=2, critiques=3, kept=1)
    asked = [(prompt, seeds) for prompt, seeds in engine.calls if prompt[-1] == -1]
    assert asked[0][0] == asked[2][0] != asked[1][0]
    assert asked[0][1] != asked[2][1]


def test_the_choice_of_criticised_answers_depends_on_the_step() -> None:
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
    rollout = run(engine, reward=Mute(frozenset()))
    # of answers without a Score there is nothing to criticise
    assert len(rollout.samples) == (10 if unknown else 4)
    assert len(rollout.groups[0].samples) == (6 if unknown else 0)
