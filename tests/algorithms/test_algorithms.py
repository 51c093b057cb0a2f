"""What each algorithm samples, shows and trains on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.igrpo import IGRPO
from igrpo.algorithms.selection import RULES
from igrpo.rewards.base import RewardError
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Group, Question, Trace
from tests.algorithms.fakes import PARAMS, PlainPrompts, ScriptedEngine, TextReward

QUESTION = Question("q1", "1 + 1", "2")


def toolbox(engine: ScriptedEngine, *, step: int = 3, run_seed: int = 0, reward: Any = None) -> RolloutContext:
    prompts: Any = PlainPrompts()
    return RolloutContext(engine, reward or TextReward(frozenset({"good"})), prompts, PARAMS, run_seed, step)


def run(algorithm: Any, context: RolloutContext) -> Trace:
    return asyncio.run(algorithm(QUESTION, context))


def one_good_draft(prompt: tuple[int, ...], seed: int) -> str:
    """The third call of the bare question is right, refinements say what they saw."""
    return "refined" if len(prompt) > 1 else ("good" if seed % 5 == 0 else "bad")


def igrpo(**changes: Any) -> IGRPO:
    settings: dict[str, Any] = {
        "drafts": 4,
        "group_size": 3,
        "select": RULES["best"],
        "ties": "random",
        "all_failed": "show",
    }
    return IGRPO(**(settings | changes))


def test_grpo_samples_one_group_from_the_bare_question_and_trains_it() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    trace = run(GRPO(group_size=7), toolbox(engine))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 7)]
    (group,) = trace.groups
    assert (group.stage, group.trained, group.shown, len(group.completions)) == (1, True, (), 7)


def test_igrpo_conditions_refinements_on_the_best_draft_and_trains_only_them() -> None:
    texts = iter(["bad", "bad", "good", "bad"])
    engine = ScriptedEngine(lambda prompt, seed: next(texts) if len(prompt) == 1 else "good")
    trace = run(igrpo(), toolbox(engine))
    (bare, draft_seeds), (refinement, refinement_seeds) = engine.calls
    assert bare == (1,)
    assert refinement == (1, 0, *map(ord, "good"))
    assert (len(draft_seeds), len(refinement_seeds)) == (4, 3)
    drafts, refinements = trace.groups
    assert (drafts.stage, drafts.trained) == (1, False)
    assert (refinements.stage, refinements.trained, refinements.shown) == (2, True, (2,))
    assert refinements.prompt.token_ids == refinement  # gradients are conditioned on q', not on q
    assert refinements.rewards_G == [1.0, 1.0, 1.0]


def test_without_drafts_the_whole_group_answers_the_bare_question() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    trace = run(igrpo(drafts=0, group_size=7), toolbox(engine))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 7)]
    (group,) = trace.groups
    assert (group.stage, group.trained, group.shown, len(group.completions)) == (2, True, (), 7)
    # GRPO in all but its samples: the control of what other seeds alone do
    baseline = ScriptedEngine(lambda prompt, seed: "good")
    run(GRPO(group_size=7), toolbox(baseline))
    assert baseline.calls[0][0] == engine.calls[0][0]
    assert not set(baseline.calls[0][1]) & set(engine.calls[0][1])


def test_seeds_are_never_shared_and_repeat_exactly() -> None:
    def seeds(**changes: int) -> list[int]:
        engine = ScriptedEngine(one_good_draft)
        run(igrpo(), toolbox(engine, **changes))
        return [seed for _, call in engine.calls for seed in call]

    reference = seeds()
    assert len(set(reference)) == 7
    assert seeds() == reference
    for changes in ({"step": 4}, {"run_seed": 1}):
        assert not set(seeds(**changes)) & set(reference)


def test_seeds_are_those_of_the_run_step_question_and_turn() -> None:
    """What an earlier version sampled can be sampled again."""
    engine = ScriptedEngine(one_good_draft)
    run(igrpo(rounds=2), toolbox(engine, step=5, run_seed=9))
    turns = zip((1, 2, 3), (4, 3, 3), strict=True)
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(9, 5, QUESTION.id, turn, i) for i in range(n)) for turn, n in turns
    ]


def test_other_choices_repeat_for_the_run_step_and_question() -> None:
    context = toolbox(ScriptedEngine(one_good_draft), step=5, run_seed=9)
    expected = random.Random(derive_seed("a choice", 9, 5, QUESTION.id)).random()
    assert context.rng(QUESTION, "a choice").random() == expected


def test_a_group_shows_what_the_group_before_it_has() -> None:
    """Unless it is said otherwise, both where they are sampled and where they are only scored."""
    context = toolbox(ScriptedEngine(one_good_draft))

    async def made() -> list[Group]:
        prompt = context.prompts.question_prompt(QUESTION)
        sampled = await context.group(QUESTION, prompt, 2, turn=1, stage=2, trained=True)
        return [sampled, await context.scored(QUESTION, prompt, sampled.completions, stage=2, trained=True)]

    sampled, scored = asyncio.run(made())
    assert sampled == scored
    assert (sampled.shown, sampled.shown_from) == ((), 1)


def test_settings_that_are_left_out_are_the_papers() -> None:
    plain = run(igrpo(), toolbox(ScriptedEngine(one_good_draft)))
    settings: dict[str, Any] = {"rounds": 1, "show": 1, "joint_baseline": False, "bare_fraction": 0.0}
    named = run(igrpo(**settings, train_on=frozenset({"refine"})), toolbox(ScriptedEngine(one_good_draft)))
    assert plain == named
    assert plain.lessons == ()
    assert [len(group.shown) for group in plain.groups] == [0, 1]


@pytest.mark.parametrize(
    ("rule", "shown"),
    [("worst", {(0,), (1,), (3,)}), ("first", {(0,)}), ("none", {()}), ("best", {(2,)}), ("wrong", {(0,), (1,), (3,)})],
)
def test_selection_rules_are_the_only_difference(rule: str, shown: set[tuple[int, ...]]) -> None:
    texts = iter(["bad", "bad", "good", "bad"])
    engine = ScriptedEngine(lambda prompt, seed: next(texts, "refined"))
    trace = run(igrpo(select=RULES[rule]), toolbox(engine))
    assert trace.groups[1].shown in shown
    assert len(trace.groups[0].completions) == 4  # drafts are sampled and counted whatever is shown


def test_all_failed_show_still_shows_a_draft_and_skip_asks_the_bare_question() -> None:
    for all_failed, prompt_length in (("show", 5), ("skip", 1)):
        engine = ScriptedEngine(lambda prompt, seed: "bad")
        trace = run(igrpo(all_failed=all_failed), toolbox(engine))
        assert len(engine.calls[1][0]) == prompt_length
        assert (trace.groups[1].shown == ()) == (all_failed == "skip")


@pytest.mark.parametrize("right", [1, 2, 4])
def test_skip_shows_a_draft_as_soon_as_one_is_right(right: int) -> None:
    texts = iter(["good"] * right + ["bad"] * (4 - right))
    engine = ScriptedEngine(lambda prompt, seed: next(texts, "refined"))
    trace = run(igrpo(all_failed="skip"), toolbox(engine))
    (shown,) = trace.groups[1].shown
    assert shown < right


@pytest.mark.parametrize("rounds", [2, 3])
def test_every_round_has_seeds_of_its_own(rounds: int) -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    trace = run(igrpo(rounds=rounds), toolbox(engine))
    assert [len(seeds) for _, seeds in engine.calls] == [4] + [3] * rounds
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 4 + 3 * rounds == trace.sampled


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_question_that_is_answered_once_costs_as_much(rounds: int) -> None:
    engine = ScriptedEngine(one_good_draft)
    once = run(igrpo(rounds=rounds, bare_fraction=1.0), toolbox(engine))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 4 + rounds * 3)]
    assert once.sampled == run(igrpo(rounds=rounds), toolbox(ScriptedEngine(one_good_draft))).sampled
    assert [(group.stage, group.trained, group.shown) for group in once.groups] == [(1, True, ())]


def test_ties_of_each_round_are_drawn_by_themselves() -> None:
    """All drafts and all refinements have one reward: which of them is shown is by chance, in each round anew."""
    shown = [
        tuple(group.shown[0] for group in run(igrpo(group_size=4, rounds=3), all_alike(step)).groups[1:])
        for step in range(40)
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pairs = [(choice[one], choice[other]) for choice in shown]
        assert len(set(pairs)) > 8, "of 16"
        assert sum(a == b for a, b in pairs) < 25, "of 40; a quarter is expected"
    assert shown == [
        tuple(group.shown[0] for group in run(igrpo(group_size=4, rounds=3), all_alike(step)).groups[1:])
        for step in range(40)
    ]


def all_alike(step: int) -> RolloutContext:
    return toolbox(ScriptedEngine(lambda prompt, seed: "good"), step=step)


def test_the_same_reward_ranks_drafts_and_scores_refinements() -> None:
    seen: list[int] = []

    class Counting(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            seen.append(len(completions))
            return await super().score(question, completions)

    run(igrpo(), toolbox(ScriptedEngine(one_good_draft), reward=Counting(frozenset({"good"}))))
    assert seen == [4, 3]


def test_a_reward_that_breaks_its_contract_is_named() -> None:
    class Short(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            return (await super().score(question, completions))[1:]

    with pytest.raises(RewardError, match="reward 'text' on question 'q1' returned 3 scores for 4 completions"):
        run(igrpo(), toolbox(ScriptedEngine(one_good_draft), reward=Short(frozenset())))
