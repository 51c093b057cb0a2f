"""Every step metric on hand-made batches, with the arithmetic beside the expected value."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.metrics import METRIC_DOCS, has_no_variance, step_metrics
from igrpo.types import OUTCOMES, Completion, FinishReason, Group, Outcome, Prompt, Question, Score, Trace

BARE = Prompt((1, 2))


def completion(
    ids: tuple[int, ...], *, entropy: float = 1.0, sampling: float = 0.5, finish: FinishReason = "length"
) -> Completion:
    n = len(ids)
    return Completion(ids, str(ids), (-1.0,) * n, (sampling,) * n, (entropy,) * n, finish, policy_version=0)


def score(
    value: float, correct: bool | None = None, answer: str | None = None, outcome: Outcome | None = None
) -> Score:
    return Score(value, correct, outcome or ("right" if correct else "wrong"), answer)


def drafted(name: str, drafts: Group, refinements: Group) -> Trace:
    return Trace(Question(name, "?", "1"), (drafts, refinements))


def batch() -> list[Trace]:
    """Two questions, N = 2 drafts and G = 2 refinements each.

    q1 shows its draft 1, which is right, uncut. Refinement 0 repeats it; refinement 1 is wrong, another text.
    q2 shows its draft 0, which is wrong, cut. Refinement 0 repairs it; refinement 1 gives the same wrong answer.
    """
    q1 = drafted(
        "q1",
        Group(
            1,
            BARE,
            (completion((5, 6), entropy=2.0, sampling=1.0), completion((5, 7, 8, 2), entropy=1.0, finish="stop")),
            (score(0.0, None, None, "unparsable"), score(1.0, True, "1")),
            trained=False,
        ),
        Group(
            2,
            Prompt((1, 2, 5, 7, 8), draft_tokens=3),
            (completion((5, 7, 8, 2), entropy=0.5, finish="stop"), completion((9, 2), entropy=0.25, finish="stop")),
            (score(1.0, True, "1"), score(0.0, False, "3")),
            trained=True,
            shown=1,
        ),
    )
    q2 = drafted(
        "q2",
        Group(
            1,
            BARE,
            (completion((4, 4, 4, 4), entropy=0.0), completion((3, 3), entropy=4.0, sampling=0.0)),
            (score(0.5, False, "9"), score(0.25, False, "8")),
            trained=False,
        ),
        Group(
            2,
            Prompt((1, 2, 4, 4), draft_tokens=2, draft_tokens_cut=2),
            (completion((6, 2), entropy=1.0, finish="stop"), completion((4, 4, 4, 7, 7), entropy=2.0)),
            (score(1.0, True, "1"), score(0.5, False, "9")),
            trained=True,
            shown=0,
        ),
    )
    return [q1, q2]


EXPECTED = {
    # drafts of 2, 4, 4, 2 tokens with entropies 2, 1, 0, 4: (4 + 4 + 0 + 8) / 12 tokens; the mean of means would be 7/4
    "stage1/entropy": 16 / 12,
    "stage1/sampling_entropy": (2 * 1.0 + 4 * 0.5 + 4 * 0.5 + 2 * 0.0) / 12,
    "stage1/reward_mean": (0.0 + 1.0 + 0.5 + 0.25) / 4,
    # |0 - 1| / sqrt 2 and |0.5 - 0.25| / sqrt 2, with n - 1 = 1
    "stage1/reward_std": (1.0 + 0.25) / math.sqrt(2) / 2,
    "stage1/reward_best": (1.0 + 0.5) / 2,
    "stage1/reward_shown": (1.0 + 0.5) / 2,
    "stage1/accuracy": 1 / 3,  # one right, two wrong, one unknown
    "stage1/length_mean": 12 / 4,
    "stage1/length_max": 4.0,
    "stage1/truncated_share": 3 / 4,
    "stage1/completions": 4.0,
    "stage1/outcome/right": 1 / 4,
    "stage1/outcome/wrong": 2 / 4,
    "stage1/outcome/unparsable": 1 / 4,
    "stage1/outcome/refused": 0.0,
    "stage1/outcome/timed_out": 0.0,
    "stage1/outcome/crashed": 0.0,
    # refinements of 4, 2, 2, 5 tokens with entropies 0.5, 0.25, 1, 2
    "stage2/entropy": (2.0 + 0.5 + 2.0 + 10.0) / 13,
    "stage2/sampling_entropy": 0.5,
    "stage2/reward_mean": (1.0 + 0.0 + 1.0 + 0.5) / 4,
    "stage2/reward_std": (1.0 + 0.5) / math.sqrt(2) / 2,
    "stage2/reward_best": 1.0,
    "stage2/accuracy": 2 / 4,
    "stage2/length_mean": 13 / 4,
    "stage2/length_max": 5.0,
    "stage2/truncated_share": 1 / 4,
    "stage2/completions": 4.0,
    "stage2/outcome/right": 2 / 4,
    "stage2/outcome/wrong": 2 / 4,
    "stage2/outcome/unparsable": 0.0,
    "stage2/outcome/refused": 0.0,
    "stage2/outcome/timed_out": 0.0,
    "stage2/outcome/crashed": 0.0,
    "reward/outcome/right": 3 / 8,
    "reward/outcome/wrong": 4 / 8,
    "reward/outcome/unparsable": 1 / 8,
    "reward/outcome/refused": 0.0,
    "reward/outcome/timed_out": 0.0,
    "reward/outcome/crashed": 0.0,
    "transfer/lift": ((0.5 - 0.5) + (0.75 - 0.375)) / 2,
    "transfer/right_given_right": 1 / 2,  # q1: right, wrong
    "transfer/wrong_given_right": 1 / 2,
    "transfer/right_given_wrong": 1 / 2,  # q2: right, wrong
    "copy/answer_rate": 2 / 4,  # q1: "1" = "1", "3"; q2: "1", "9" = "9"
    "copy/answer_rate_given_right": 1 / 2,
    "copy/answer_rate_given_wrong": 1 / 2,
    # without stop tokens: q1 578 against 578 and 9: 1, 0; q2 4444 against 6 and 44477: 1 - 4/4 = 0, 1 - 2/5 = 0.6
    "copy/text_similarity": (1.0 + 0.0 + 0.0 + 0.6) / 4,
    "copy/text_similarity_given_right": (1.0 + 0.0) / 2,
    "copy/text_similarity_given_wrong": (0.0 + 0.6) / 2,
    "copy/exact_rate": 1 / 4,
    "copy/exact_rate_given_right": 1 / 2,
    "copy/exact_rate_given_wrong": 0.0,
    "groups/zero_variance_share": 0.0,
    "groups/all_right_share": 0.0,
    "groups/all_wrong_share": 0.0,
    "drafts/all_failed_share": 1 / 2,  # q2
    "drafts/shown_share": 1.0,
    "drafts/cut_share": 1 / 2,
}


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    return step_metrics(batch(), variance_tolerance=1e-9)


@pytest.mark.parametrize("name", EXPECTED)
def test_value(measured: dict[str, float], name: str) -> None:
    assert measured[name] == pytest.approx(EXPECTED[name], abs=1e-12)


def test_nothing_else_is_measured(measured: dict[str, float]) -> None:
    assert set(measured) == set(EXPECTED)


def test_every_metric_is_documented_and_has_a_test() -> None:
    # A draft is never shown by the stage after the last, so its reward has no stage-2 entry in one round.
    assert set(METRIC_DOCS) - set(EXPECTED) == {"stage2/reward_shown"}
    assert set(EXPECTED) <= set(METRIC_DOCS)
    assert all("; " in text for text in METRIC_DOCS.values()), "every line is 'unit; definition'"


def test_names_are_those_that_mlflow_accepts() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9_\-. /]+", name) for name in METRIC_DOCS)


def one_group(rewards: list[float], verdicts: list[bool | None], *, trained: bool = True) -> Trace:
    completions = tuple(completion((i + 3,)) for i in range(len(rewards)))
    scores = tuple(score(r, v) for r, v in zip(rewards, verdicts, strict=True))
    return Trace(Question("g", "?", "1"), (Group(1, BARE, completions, scores, trained=trained),))


def test_grpo_has_one_stage_and_nothing_about_drafts() -> None:
    metrics = step_metrics([one_group([1.0, 0.0], [True, False])], variance_tolerance=0.0)
    sections = {name.split("/")[0] for name in metrics}
    assert sections == {"stage1", "groups", "reward"}
    assert "stage1/reward_shown" not in metrics


def test_groups_without_variance() -> None:
    traces = [
        one_group([1.0, 1.0, 1.0], [True, True, True]),  # all right
        one_group([0.1, 0.1, 0.1], [False, False, False]),  # all wrong, and a std of 1.7e-17, not 0
        one_group([0.0, 0.0, 0.0], [False, None, False]),  # no variance, but one is unknown
        one_group([1.5, 1.0, 1.5], [True, True, True]),  # all right with variance (a format reward)
        one_group([0.0, 1.0, 0.0], [False, True, False]),
    ]
    metrics = step_metrics(traces, variance_tolerance=1e-9)
    assert metrics["groups/zero_variance_share"] == pytest.approx(3 / 5)
    assert metrics["groups/all_right_share"] == pytest.approx(2 / 5)
    assert metrics["groups/all_wrong_share"] == pytest.approx(1 / 5)


def test_groups_that_are_not_trained_do_not_count() -> None:
    traces = [one_group([1.0, 1.0], [True, True], trained=False), one_group([0.0, 1.0], [False, True])]
    assert step_metrics(traces, variance_tolerance=0.0)["groups/zero_variance_share"] == 0.0


@given(st.floats(-1e6, 1e6), st.floats(0, 2), st.floats(1e-9, 1e-2))
def test_the_tolerance_is_relative_above_one(value: float, excess: float, tolerance: float) -> None:
    limit = tolerance * max(1.0, abs(value))
    below = value - excess * limit
    if abs(excess - 1) > 1e-4:  # away from the boundary, where rounding decides
        assert has_no_variance([value, below], tolerance) is (excess < 1)


def test_a_draft_that_is_not_shown() -> None:
    """selection 'none', or all failed with 'skip': there are drafts and refinements, and nothing to copy from."""
    q1, q2 = batch()
    drafts, refinements = q2.groups
    hidden = drafted("q2", drafts, replace(refinements, prompt=BARE, shown=None))
    metrics = step_metrics([q1, hidden], variance_tolerance=0.0)
    assert metrics["drafts/shown_share"] == 1 / 2
    assert metrics["drafts/cut_share"] == 0.0
    assert metrics["drafts/all_failed_share"] == 1 / 2
    assert metrics["stage1/reward_shown"] == 1.0
    assert metrics["transfer/lift"] == pytest.approx(0.1875)  # as before: it compares the groups
    assert metrics["copy/answer_rate"] == 1 / 2  # q1 only
    absent = {"transfer/right_given_wrong", "copy/answer_rate_given_wrong", "copy/exact_rate_given_wrong"}
    assert absent.isdisjoint(metrics), "no wrong draft was shown: left out, not 0 and not NaN"


def test_no_draft_shown_at_all_leaves_the_whole_section_out() -> None:
    traces = [drafted(t.question.id, t.groups[0], replace(t.groups[1], prompt=BARE, shown=None)) for t in batch()]
    metrics = step_metrics(traces, variance_tolerance=0.0)
    assert metrics["drafts/shown_share"] == 0.0
    assert not [name for name in metrics if name.startswith("copy/")]
    assert [name for name in metrics if name.startswith("transfer/")] == ["transfer/lift"]
    assert "drafts/cut_share" not in metrics


def test_unknown_verdicts_enter_no_share() -> None:
    """A judge that knows no right and wrong, and extracts no answer: rewards and texts are measured, verdicts are not."""

    def blind(group: Group) -> Group:
        return replace(group, scores=tuple(replace(s, correct=None, answer=None) for s in group.scores))

    traces = [Trace(t.question, tuple(blind(group) for group in t.groups)) for t in batch()]
    metrics = step_metrics(traces, variance_tolerance=0.0)
    about_verdicts = {"accuracy", "given", "all_right", "all_wrong", "all_failed", "answer_rate"}
    assert not [name for name in metrics if any(word in name for word in about_verdicts)]
    assert metrics["stage2/reward_mean"] == pytest.approx(2.5 / 4)
    assert metrics["copy/text_similarity"] == pytest.approx(0.4)


def test_an_unknown_refinement_is_neither_right_nor_wrong() -> None:
    q1, _ = batch()
    drafts, refinements = q1.groups
    scores = (score(1.0, True, "1"), score(0.0, None, None, "timed_out"))
    metrics = step_metrics([drafted("q1", drafts, replace(refinements, scores=scores))], variance_tolerance=0.0)
    assert metrics["transfer/right_given_right"] == 1.0
    assert metrics["transfer/wrong_given_right"] == 0.0
    assert metrics["stage2/outcome/timed_out"] == 1 / 2


def test_two_missing_answers_are_no_copy() -> None:
    q1, _ = batch()
    drafts, refinements = q1.groups
    drafts = replace(drafts, scores=(score(1.0, True, "1"), score(0.0, False, None, "unparsable")))
    refinements = replace(refinements, scores=(score(0.0, False, None, "unparsable"), score(1.0, True, "1")))
    metrics = step_metrics([drafted("q1", drafts, refinements)], variance_tolerance=0.0)
    assert metrics["copy/answer_rate"] == 0.0


def test_each_round_of_refinement_counts() -> None:
    """The refinements of round one are the drafts of round two, which shows the wrong one of them."""
    q1, _ = batch()
    second = Group(2, Prompt((1, 9)), (completion((9, 9)),), (score(1.0, True, "1"),), trained=True, shown=1)
    metrics = step_metrics([Trace(q1.question, (*q1.groups, second))], variance_tolerance=0.0)
    assert metrics["stage1/reward_shown"] == 1.0
    assert metrics["stage2/reward_shown"] == 0.0
    assert metrics["transfer/lift"] == pytest.approx(((0.5 - 0.5) + (1.0 - 0.5)) / 2)
    assert metrics["transfer/right_given_right"] == 1 / 2
    assert metrics["transfer/right_given_wrong"] == 1.0
    assert metrics["stage2/completions"] == 3.0


def test_completions_without_tokens() -> None:
    empty = Completion((), "", (), (), (), "length", 0)
    trace = Trace(Question("e", "?", "1"), (Group(1, BARE, (empty,), (score(0.0, False),), trained=True),))
    metrics = step_metrics([trace], variance_tolerance=0.0)
    assert metrics["stage1/length_mean"] == 0.0
    assert "stage1/entropy" not in metrics
    assert "stage1/reward_std" not in metrics, "one completion has no spread"


def test_the_order_of_questions_changes_nothing() -> None:
    forward, backward = batch(), batch()[::-1]
    assert step_metrics(forward, variance_tolerance=0.0) == step_metrics(backward, variance_tolerance=0.0)


def test_shares_of_outcomes_sum_to_one(measured: dict[str, float]) -> None:
    for prefix in ("stage1/outcome", "stage2/outcome", "reward/outcome"):
        assert sum(measured[f"{prefix}/{outcome}"] for outcome in OUTCOMES) == pytest.approx(1.0)


def test_a_step_without_questions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no traces"):
        step_metrics([], variance_tolerance=0.0)
