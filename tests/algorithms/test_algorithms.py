"""What each algorithm samples, shows and trains on."""

from __future__ import annotations

import random
from typing import Any

import pytest

from igrpo.rewards.base import RewardError
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Question, Rollout
from tests.algorithms.fakes import QUESTION, ScriptedEngine, TextReward, context, grpo, igrpo, run
from tests.rollouts import shape, values

#: Budget of four drafts and three refinements.
TOTAL = 7


def one_good_draft(prompt: tuple[int, ...], seed: int) -> str:
    """The third call of the bare question is right, refinements say what they saw."""
    return "refined" if len(prompt) > 1 else ("good" if seed % 5 == 0 else "bad")


def shown_in(rollout: Rollout) -> list[tuple[int, ...]]:
    """The indices, within the round before, of what each round of refinements was shown."""
    found = []
    for samples in rollout.rounds[1:]:
        (shown,) = {sample.context for sample in samples}
        assert {number for number, _ in shown} <= {samples[0].id[0] - 1}
        found.append(tuple(index for _, index in shown))
    return found


def test_grpo_trains_one_group_given_the_bare_question() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    rollout = run(grpo(7), context(engine))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 7)]
    assert shape(rollout) == [("answer", True, 7)]
    assert {sample.context for sample in rollout.samples} == {()}


def test_igrpo_trains_only_refinements_of_the_best_draft() -> None:
    texts = iter(["bad", "bad", "good", "bad"])
    engine = ScriptedEngine(lambda prompt, seed: next(texts) if len(prompt) == 1 else "good")
    rollout = run(igrpo(), context(engine, TOTAL))
    (bare, draft_seeds), (refinement, refinement_seeds) = engine.calls
    assert bare == (1,)
    assert refinement == (1, 0, *map(ord, "good"))
    assert (len(draft_seeds), len(refinement_seeds)) == (4, 3)
    assert shape(rollout) == [("draft", False, 4), ("refinement", True, 3)]
    (group,) = rollout.groups
    for sample in group.samples:
        assert sample.context == ((1, 2),)
        assert group.trained_prompt(sample).token_ids == refinement  # gradients are conditioned on q', not on q
    assert values(group.samples) == [1.0, 1.0, 1.0]


def test_without_drafts_all_samples_answer_the_bare_question() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    rollout = run(igrpo(drafts=0), context(engine, 7))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 7)]
    assert shape(rollout) == [("answer", True, 7)]
    # GRPO in all but its samples: the control of what other seeds alone do
    baseline = ScriptedEngine(lambda prompt, seed: "good")
    run(grpo(7), context(baseline))
    assert baseline.calls[0][0] == engine.calls[0][0]
    assert not set(baseline.calls[0][1]) & set(engine.calls[0][1])


def test_seeds_are_never_shared_and_repeat_exactly() -> None:
    def seeds(**changes: int) -> list[int]:
        engine = ScriptedEngine(one_good_draft)
        run(igrpo(), context(engine, TOTAL, **changes))
        return [seed for _, call in engine.calls for seed in call]

    reference = seeds()
    assert len(set(reference)) == 7
    assert seeds() == reference
    for changes in ({"step": 4}, {"run_seed": 1}):
        assert not set(seeds(**changes)) & set(reference)


def test_seeds_are_those_of_the_run_step_question_and_round() -> None:
    """What an earlier version sampled can be sampled again."""
    engine = ScriptedEngine(one_good_draft)
    run(igrpo(rounds=2), context(engine, 10, step=5, run_seed=9))
    rounds = zip((1, 2, 3), (4, 3, 3), strict=True)
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(9, 5, QUESTION.id, number, i) for i in range(n)) for number, n in rounds
    ]


def test_other_choices_repeat_for_the_run_step_and_question() -> None:
    given = context(ScriptedEngine(one_good_draft), step=5, run_seed=9)
    expected = random.Random(derive_seed("a choice", 9, 5, QUESTION.id)).random()
    assert given.rng(QUESTION, "a choice").random() == expected


@pytest.mark.parametrize(
    ("rule", "shown"),
    [("worst", {(0,), (1,), (3,)}), ("first", {(0,)}), ("none", {()}), ("best", {(2,)}), ("wrong", {(0,), (1,), (3,)})],
)
def test_selection_rules_are_the_only_difference(rule: str, shown: set[tuple[int, ...]]) -> None:
    texts = iter(["bad", "bad", "good", "bad"])
    engine = ScriptedEngine(lambda prompt, seed: next(texts, "refined"))
    rollout = run(igrpo(selection=rule), context(engine, TOTAL))
    assert shown_in(rollout) in [[each] for each in shown]
    assert len(rollout.of("draft")) == 4  # drafts are sampled and counted whatever is shown


def test_all_failed_shows_a_draft_or_asks_the_bare_question() -> None:
    for all_failed, prompt_length in (("show", 5), ("skip", 1)):
        engine = ScriptedEngine(lambda prompt, seed: "bad")
        rollout = run(igrpo(all_failed=all_failed), context(engine, TOTAL))
        assert len(engine.calls[1][0]) == prompt_length
        assert (shown_in(rollout) == [()]) == (all_failed == "skip")


@pytest.mark.parametrize("right", [1, 2, 4])
def test_skip_shows_a_draft_as_soon_as_one_is_right(right: int) -> None:
    texts = iter(["good"] * right + ["bad"] * (4 - right))
    engine = ScriptedEngine(lambda prompt, seed: next(texts, "refined"))
    ((shown,),) = shown_in(run(igrpo(all_failed="skip"), context(engine, TOTAL)))
    assert shown < right


@pytest.mark.parametrize("rounds", [2, 3])
def test_every_round_has_seeds_of_its_own(rounds: int) -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    rollout = run(igrpo(rounds=rounds), context(engine, 4 + 3 * rounds))
    assert [len(seeds) for _, seeds in engine.calls] == [4] + [3] * rounds
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 4 + 3 * rounds == len(rollout.samples)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_question_that_is_answered_once_costs_as_much(rounds: int) -> None:
    engine = ScriptedEngine(one_good_draft)
    total = 4 + 3 * rounds
    once = run(igrpo(rounds=rounds, bare_fraction=1.0), context(engine, total))
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), total)]
    assert len(run(igrpo(rounds=rounds), context(ScriptedEngine(one_good_draft), total)).samples) == total
    assert shape(once) == [("answer", True, total)]


def test_ties_of_each_round_are_drawn_by_themselves() -> None:
    """All drafts and all refinements have one reward: which of them is shown is by chance, in each round anew."""
    shown = [drawn(step) for step in range(40)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pairs = [(choice[one], choice[other]) for choice in shown]
        assert len(set(pairs)) > 8, "of 16"
        assert sum(a == b for a, b in pairs) < 25, "of 40; a quarter is expected"
    assert shown == [drawn(step) for step in range(40)]


def drawn(step: int) -> tuple[int, ...]:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    rollout = run(igrpo(rounds=3, ties="random"), context(engine, 16, step=step))
    return tuple(index for (index,) in shown_in(rollout))


def test_the_same_reward_ranks_drafts_and_scores_refinements() -> None:
    seen: list[int] = []

    class Counting(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            seen.append(len(completions))
            return await super().score(question, completions)

    run(igrpo(), context(ScriptedEngine(one_good_draft), TOTAL, reward=Counting(frozenset({"good"}))))
    assert seen == [4, 3]


def test_a_reward_that_breaks_its_contract_is_named() -> None:
    class Short(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            return (await super().score(question, completions))[1:]

    with pytest.raises(RewardError, match=r"reward 'text' .*'q1' .*3 scores for 4"):
        run(igrpo(), context(ScriptedEngine(one_good_draft), TOTAL, reward=Short(frozenset())))
