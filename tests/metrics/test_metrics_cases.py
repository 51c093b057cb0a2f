"""Step metrics where something is missing: no drafts, no verdicts, no variance, no tokens."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from igrpo.metrics.samples import step_metrics
from igrpo.types import Completion, Prompt, Question, Rollout, Score
from tests.metrics.metrics_batch import BARE, batch, completion, drafted, score
from tests.rollouts import rollout, samples


def one_group(rewards: list[float], verdicts: list[bool | None], *, trained: bool = True) -> Rollout:
    completions = tuple(completion((i + 3,)) for i in range(len(rewards)))
    answers = samples("answer", completions, [score(r, v) for r, v in zip(rewards, verdicts, strict=True)], prompt=BARE)
    return rollout(answers, trained=[answers] if trained else [], question=Question("g", "?", "1"))


def test_grpo_has_answers_and_nothing_about_drafts() -> None:
    metrics = step_metrics([one_group([1.0, 0.0], [True, False])], variance_tolerance=0.0)
    sections = {name.split("/")[0] for name in metrics}
    assert sections == {"answer", "groups", "reward", "train", "budget"}
    assert "answer/reward_shown" not in metrics


def test_groups_without_variance() -> None:
    rollouts = [
        one_group([1.0, 1.0, 1.0], [True, True, True]),  # all right
        one_group([0.1, 0.1, 0.1], [False, False, False]),  # all wrong, and a std of 1.7e-17, not 0
        one_group([0.0, 0.0, 0.0], [False, None, False]),  # no variance, but one is unknown
        one_group([1.5, 1.0, 1.5], [True, True, True]),  # all right with variance (a format reward)
        one_group([0.0, 1.0, 0.0], [False, True, False]),
    ]
    metrics = step_metrics(rollouts, variance_tolerance=1e-9)
    assert metrics["groups/zero_variance_share"] == pytest.approx(3 / 5)
    assert metrics["groups/all_right_share"] == pytest.approx(2 / 5)
    assert metrics["groups/all_wrong_share"] == pytest.approx(1 / 5)


def test_groups_that_are_not_trained_do_not_count() -> None:
    rollouts = [one_group([1.0, 1.0], [True, True], trained=False), one_group([0.0, 1.0], [False, True])]
    assert step_metrics(rollouts, variance_tolerance=0.0)["groups/zero_variance_share"] == 0.0


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e6])
def test_without_tolerance_equal_rewards_have_no_variance(value: float) -> None:
    for last, share in ((value, 1.0), (math.nextafter(value, math.inf), 0.0)):
        metrics = step_metrics([one_group([value, value, last], [True] * 3)], variance_tolerance=0.0)
        assert metrics["groups/zero_variance_share"] == share


def test_a_draft_that_is_not_shown() -> None:
    """selection 'none', or all failed with 'skip': there are drafts and refinements, and nothing to copy from."""
    q1, q2 = drafted()
    hidden = replace(q2, prompt=BARE, shown=())
    metrics = step_metrics([q1.rollout, hidden.rollout], variance_tolerance=0.0)
    assert metrics["draft/shown_share"] == 1 / 2
    assert metrics["draft/cut_share"] == 0.0
    assert metrics["draft/all_failed_share"] == 1 / 2
    assert metrics["draft/reward_shown"] == 1.0
    assert metrics["transfer/lift"] == pytest.approx(0.1875)  # as before: it compares the rounds
    assert metrics["copy/answer_rate"] == 1 / 2  # q1 only
    absent = {"transfer/right_given_wrong", "copy/answer_rate_given_wrong", "copy/exact_rate_given_wrong"}
    assert absent.isdisjoint(metrics), "no wrong draft was shown: left out, not 0 and not NaN"


def test_no_draft_shown_at_all_leaves_the_whole_section_out() -> None:
    rollouts = [replace(one, prompt=BARE, shown=()).rollout for one in drafted()]
    metrics = step_metrics(rollouts, variance_tolerance=0.0)
    assert metrics["draft/shown_share"] == 0.0
    assert not [name for name in metrics if name.startswith("copy/")]
    assert [name for name in metrics if name.startswith("transfer/")] == ["transfer/lift"]
    assert "draft/cut_share" not in metrics


def test_unknown_verdicts_enter_no_share() -> None:
    """A judge that knows no right and wrong, and extracts no answer: rewards and texts are measured, verdicts are not."""

    def blind(scores: tuple[Score | None, ...]) -> tuple[Score | None, ...]:
        return tuple(replace(one, correct=None, answer=None) for one in scores if one is not None)

    rollouts = [
        replace(one, draft_scores=blind(one.draft_scores), scores=blind(one.scores)).rollout for one in drafted()
    ]
    metrics = step_metrics(rollouts, variance_tolerance=0.0)
    about_verdicts = {"accuracy", "given", "all_right", "all_wrong", "all_failed", "answer_rate"}
    assert not [name for name in metrics if any(word in name for word in about_verdicts)]
    assert metrics["refinement/reward_mean"] == pytest.approx(2.5 / 4)
    assert metrics["copy/text_similarity"] == pytest.approx(0.4)


def test_an_unknown_refinement_is_neither_right_nor_wrong() -> None:
    q1 = replace(drafted()[0], scores=(score(1.0, True, "1"), score(0.0, None, None, "timed_out")))
    metrics = step_metrics([q1.rollout], variance_tolerance=0.0)
    assert metrics["transfer/right_given_right"] == 1.0
    assert metrics["transfer/wrong_given_right"] == 0.0
    assert metrics["refinement/outcome/timed_out"] == 1 / 2


def test_a_draft_of_unknown_verdict_is_neither_right_nor_wrong() -> None:
    q1 = replace(drafted()[0], draft_scores=(score(1.0, True, "1"), score(0.0, None, "1", "crashed")))
    metrics = step_metrics([q1.rollout], variance_tolerance=0.0)
    assert not [name for name in metrics if "_given_" in name]
    assert metrics["copy/answer_rate"] == 1 / 2


@pytest.mark.parametrize(("answers", "copied"), [("777", 3), ("775", 2), ("755", 1), ("555", 0)])
def test_an_answer_is_a_copy_where_it_is_that_of_the_draft(answers: str, copied: int) -> None:
    q1 = replace(
        drafted()[0],
        draft_scores=(score(0.0, False, "5"), score(1.0, True, "7")),  # the second one is shown
        refinements=tuple(completion((i,)) for i in range(3)),
        scores=tuple(score(0.0, True, answer) for answer in answers),
    )
    metrics = step_metrics([q1.rollout], variance_tolerance=0.0)
    assert metrics["copy/answer_rate"] == metrics["copy/answer_rate_given_right"] == pytest.approx(copied / 3)


def test_two_missing_answers_are_no_copy() -> None:
    missing = score(0.0, False, None, "unparsable")
    q1 = replace(drafted()[0], draft_scores=(score(1.0, True, "1"), missing), scores=(missing, score(1.0, True, "1")))
    assert step_metrics([q1.rollout], variance_tolerance=0.0)["copy/answer_rate"] == 0.0


def test_each_round_of_refinement_counts() -> None:
    """The refinements of round one are the drafts of round two, which shows the wrong one of them."""
    q1, _ = batch()
    shown = q1.of("refinement")[1]
    second = samples(
        "refinement", [completion((9, 9))], [score(1.0, True, "1")], number=3, prompt=Prompt((1, 9)), shows=[shown]
    )
    metrics = step_metrics([replace(q1, samples=(*q1.samples, *second))], variance_tolerance=0.0)
    assert metrics["draft/reward_shown"] == 1.0
    assert metrics["refinement/reward_shown"] == 0.0
    assert metrics["transfer/lift"] == pytest.approx(((0.5 - 0.5) + (1.0 - 0.5)) / 2)
    assert metrics["transfer/right_given_right"] == 1 / 2
    assert metrics["transfer/right_given_wrong"] == 1.0
    assert metrics["refinement/completions"] == 3.0


@pytest.mark.parametrize("shown", [(1, 0), (0, 1)])
def test_of_two_shown_drafts_the_first_choice_counts(shown: tuple[int, int]) -> None:
    q1, _ = drafted()
    both = step_metrics([replace(q1, shown=shown).rollout], variance_tolerance=0.0)
    alone = step_metrics([replace(q1, shown=shown[:1]).rollout], variance_tolerance=0.0)
    assert both == alone
    first = q1.draft_scores[shown[0]]
    assert first is not None
    assert both["draft/reward_shown"] == first.value


def test_outcomes_of_rewards_are_those_of_answers_alone() -> None:
    """A verification's verdict is no completion's outcome; a question of answers alone has their outcomes."""
    answers = one_group([1.0, 0.0, 0.0], [True, False, False])
    verdicts = (score(1.0, True), Score(0.0, correct=False, outcome="unparsable"))
    judged = samples("verification", [completion((4,)), completion((5,))], verdicts, number=2, prompt=Prompt((7,)))
    metrics = step_metrics([replace(answers, samples=(*answers.samples, *judged))], variance_tolerance=0.0)
    for outcome, share in (("right", 1 / 3), ("wrong", 2 / 3), ("unparsable", 0.0)):
        assert metrics[f"reward/outcome/{outcome}"] == metrics[f"answer/outcome/{outcome}"] == pytest.approx(share)


def test_a_trained_group_of_one_is_in_no_share_of_groups() -> None:
    pair, alone = one_group([0.0, 1.0], [False, True]), one_group([1.0], [True])
    for rollouts, varied in (([pair], [pair, alone]), ([], [alone])):
        names = {"groups/zero_variance_share", "groups/all_right_share", "groups/all_wrong_share"}
        expected = (
            {n: v for n, v in step_metrics(rollouts, variance_tolerance=0.0).items() if n in names} if rollouts else {}
        )
        found = {n: v for n, v in step_metrics(varied, variance_tolerance=0.0).items() if n in names}
        assert found == expected


@pytest.mark.parametrize(
    ("verdicts", "failed"), [([False, None], 1.0), ([None, None], 1.0), ([True, None], 0.0), ([False, False], 1.0)]
)
def test_drafts_of_unknown_verdict_have_failed(verdicts: list[bool | None], failed: float) -> None:
    """No draft is known to be right. (Another question has a verdict: else the share would be left out.)"""
    q1, _ = drafted()
    changed = replace(q1, draft_scores=tuple(score(0.0, verdict) for verdict in verdicts))
    rollouts = [changed.rollout, q1.rollout]
    assert step_metrics(rollouts, variance_tolerance=0.0)["draft/all_failed_share"] == failed / 2


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_draft_is_cut_where_a_single_token_is_gone(cut: int) -> None:
    q1 = replace(drafted()[0], prompt=Prompt((1, 2, 5), draft_tokens=3, draft_tokens_cut=cut))
    assert step_metrics([q1.rollout], variance_tolerance=0.0)["draft/cut_share"] == float(cut > 0)


def test_completions_without_a_score_are_outcomes_of_their_own() -> None:
    scores = (score(1.0, True), score(0.0, False), None, None, None)
    answers = samples("answer", [completion((i,)) for i in range(5)], scores, prompt=BARE)
    metrics = step_metrics([rollout(answers, trained=[answers])], variance_tolerance=0.0)
    for prefix in ("answer", "reward"):
        shares = {name: metrics[f"{prefix}/outcome/{name}"] for name in ("right", "wrong", "unscored")}
        assert shares == pytest.approx({"right": 1 / 5, "wrong": 1 / 5, "unscored": 3 / 5})
    assert metrics["answer/completions"] == 5.0


def test_trained_metrics_skip_dropped_questions() -> None:
    kept, dropped = one_group([0.0, 1.0], [False, True]), one_group([0.5, 0.5], [False, False])
    twice = replace(kept, groups=(*kept.groups, *kept.groups))
    metrics = step_metrics([twice, replace(dropped, dropped="all_wrong")], variance_tolerance=0.0)
    assert (metrics["train/reward"], metrics["answer/reward_mean"]) == (0.5, 2.0 / 4)
    assert "train/reward" not in step_metrics([replace(dropped, dropped="all_wrong")], variance_tolerance=0.0)


def test_completions_without_tokens() -> None:
    empty = Completion((), "", (), (), (), "length", 0)
    answers = samples("answer", [empty], [score(0.0, False)])
    metrics = step_metrics([rollout(answers, trained=[answers])], variance_tolerance=0.0)
    assert metrics["answer/length_mean"] == 0.0
    assert "answer/entropy" not in metrics
    assert "answer/reward_std" not in metrics, "one completion has no spread"


def test_the_order_of_questions_changes_nothing() -> None:
    forward, backward = batch(), batch()[::-1]
    assert step_metrics(forward, variance_tolerance=0.0) == step_metrics(backward, variance_tolerance=0.0)


def test_a_step_without_questions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rollouts"):
        step_metrics([], variance_tolerance=0.0)
