"""For every algorithm and any valid settings, what is sampled and trained is what its plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from igrpo.algorithms.base import Algorithm
from igrpo.algorithms.plan import PlannedSamples
from igrpo.algorithms.registry import AlgorithmConfig
from igrpo.config.composing.folders import choices
from igrpo.types import Completion, Prompt, Question, Role, Rollout
from tests.algorithms import fakes
from tests.algorithms.fakes import ScriptedEngine, context
from tests.rollouts import values

QUESTIONS = 5  # per step


class CountingPrompts:
    """Prompts that say which layout was filled with how many texts."""

    verdicts = {"Yes": True, "No": False}  # noqa: RUF012
    layouts = ("question", "refinement", "critique", "revision", "verification")

    def made(self, layout: str, texts: int) -> Prompt:
        return Prompt((self.layouts.index(layout), texts))

    def asked(self, prompt: Prompt) -> tuple[str, int]:
        """Return the layout, and the number of texts that the prompt shows."""
        layout, texts = prompt.token_ids
        return self.layouts[layout], texts

    def question_prompt(self, question: Question) -> Prompt:
        return self.made("question", 0)

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        return self.made("refinement", len(drafts)) if drafts else self.question_prompt(question)

    def critique_prompt(self, question: Question, answer: Completion) -> Prompt:
        return self.made("critique", 1)

    def revision_prompt(self, question: Question, answer: Completion, critique: Completion) -> Prompt:
        return self.made("revision", 2)

    def verification_prompt(self, question: Question, answer: Completion) -> Prompt:
        return self.made("verification", 1)


PROMPTS = CountingPrompts()
COUNTS = st.integers(1, 6)


@st.composite
def grpos(draw: st.DrawFn) -> tuple[Algorithm, int]:
    answers = draw(st.integers(2, 8))
    return fakes.grpo(answers), answers + draw(st.integers(0, 3))


@st.composite
def igrpos(draw: st.DrawFn) -> tuple[Algorithm, int]:
    drafts, rounds, size = draw(st.integers(0, 5)), draw(st.integers(1, 3)), draw(st.integers(2, 5))
    if not drafts:
        return fakes.igrpo(0), size
    joint = drafts > 1 and draw(st.booleans())
    known = ["draft", "refine", "internalize"] if drafts > 1 else ["refine", "internalize"]
    ways = draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    algorithm = fakes.igrpo(
        drafts,
        rounds=rounds,
        show=draw(st.integers(1, min(drafts, size) if rounds > 1 else drafts)),
        selection=draw(st.sampled_from(["best", "random", "worst", "first", "wrong", "none"])),
        ties=draw(st.sampled_from(["random", "first", "shortest", "longest"])),
        all_failed=draw(st.sampled_from(["show", "skip"])),
        joint_baseline=joint,
        train_on=("draft", "internalize") if joint else tuple(ways),
        bare_fraction=draw(st.sampled_from([0.0, 0.0, 0.29, 0.5, 1.0])),
    )
    return algorithm, drafts + rounds * size


@st.composite
def critique_grpos(draw: st.DrawFn) -> tuple[Algorithm, int]:
    answers, critiques = draw(st.integers(2, 6)), draw(COUNTS)
    return fakes.critique_grpo(answers, draw(st.integers(1, min(critiques, answers - 1)))), answers + 2 * critiques


@st.composite
def self_verifications(draw: st.DrawFn) -> tuple[Algorithm, int]:
    answers = draw(st.integers(2, 6))
    algorithm = fakes.self_verification(answers, draw(COUNTS), balanced=draw(st.booleans()))
    return algorithm, answers + draw(st.integers(2, 5))


#: By name, so that an algorithm without settings to draw is noticed.
DRAWN = {
    "grpo": grpos(),
    "igrpo": igrpos(),
    "critique_grpo": critique_grpos(),
    "self_verification": self_verifications(),
}


def test_every_algorithm_has_settings_to_draw() -> None:
    union, _ = get_args(AlgorithmConfig)
    names = {get_args(one.model_fields["name"].annotation)[0] for one in get_args(union)}
    assert names == DRAWN.keys() == {choice.name for choice in choices("algorithm")}
    assert len({one.title for one in get_args(union)}) == len(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_sampled_and_trained_is_what_the_plan_says(name: str, data: st.DataObject) -> None:
    algorithm, total = data.draw(DRAWN[name])
    assert list(algorithm.problems(total)) == [], "only valid settings are drawn"
    plan, right = algorithm.plan(total), data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    assert 0 < plan.least_samples <= plan.samples <= total
    rollouts = list(two_steps(algorithm, total, right, data.draw(st.integers(0, 99))))
    others = [rollout for rollout in rollouts if plan.other and rollout.samples[0].role == plan.other[0].role]
    # the share of a step is rounded down or up, and what is left over is carried over to the next step
    assert len(others) == int(plan.other_share * len(rollouts))
    for rollout in rollouts:
        skipped = skipped_rounds(rollout) if getattr(algorithm, "all_failed", "show") == "skip" else 0
        parts = plan.other if rollout in others else plan.parts
        if len(rollout.samples) <= plan.least_samples:
            parts = tuple(part for part in parts if part.always)
        assert (asked(rollout), trained(rollout)) == expected(parts, skipped)
        assert {len(group.samples) for group in rollout.groups} <= plan.group_sizes
        if (answers := algorithm.plain_answers(total)) is not None:  # the report calls it GRPO
            assert [len(group.samples) for group in rollout.groups] == [answers]
            assert {texts for _, texts in trained(rollout)} == {0}
        assert plan.rows >= sum(len(group.samples) for group in rollout.groups) or rollout in others
        texts = [PROMPTS.asked(one.prompt)[1] for one in rollout.samples if one.verified is None]
        assert texts == [len(one.context) for one in rollout.samples if one.verified is None]


def two_steps(algorithm: Algorithm, total: int, right: float, run_seed: int) -> Iterator[Rollout]:
    """The rollouts of two steps, whose answers are right with probability ``right``."""
    state, reward = algorithm.new_state(), fakes.TextReward(frozenset({"good"}))
    engine = ScriptedEngine(lambda prompt, seed: "good" if seed % 1000 < 1000 * right else "bad")
    for step in (1, 2):
        rollouts = []
        for index in range(QUESTIONS):
            where = context(
                engine, total, reward=reward, prompts=PROMPTS, run_seed=run_seed, step=step, question_index=index,
                questions=QUESTIONS, state=state,
            )  # fmt: skip
            rollouts.append(fakes.run(algorithm, where, Question(f"q{index}", "", "")))
        yield from rollouts
        if state is not None:
            state.update_state([state.extract_state(rollout) for rollout in rollouts])


def skipped_rounds(rollout: Rollout) -> int:
    """Refinements that were asked the bare question because everything that they could have been shown has failed."""
    rounds = [each for each in rollout.rounds if each[0].role == "refinement" and not each[0].context]
    return sum(sum(values(rollout.candidates(each[0]))) == 0 for each in rounds)


#: Numbers of prompts by role, layout, texts and samples per prompt; numbers of rows by role and texts of the prompt that
#: they are trained as answers to.
Asked = Counter[tuple[Role, str, int, int]]
Trained = Counter[tuple[Role, int]]


def asked(rollout: Rollout) -> Asked:
    return Counter((each[0].role, *PROMPTS.asked(each[0].prompt), len(each)) for each in rollout.rounds)


def trained(rollout: Rollout) -> Trained:
    return Counter(
        (sample.role, PROMPTS.asked(group.trained_prompt(sample))[1])
        for group in rollout.groups
        for sample in group.samples
    )


def expected(parts: Sequence[PlannedSamples], skipped: int) -> tuple[Asked, Trained]:
    """What the parts say, with ``skipped`` rounds of refinements that are asked the bare question."""
    prompts: Asked = Counter()
    rows: Trained = Counter()
    for part in parts:
        bare = skipped if part.layout == "refinement" else 0
        for layout, shown, count in ((part.layout, part.shown, part.prompts - bare), ("question", 0, bare)):
            prompts[part.role, layout, shown, part.per_prompt] += count
            for texts in part.trained:
                rows[part.role, min(texts, shown)] += count * part.per_prompt
    return +prompts, +rows
