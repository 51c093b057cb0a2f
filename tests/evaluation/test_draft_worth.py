"""The worth of a draft, against plain loops over hand-made verdicts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.evaluation.draft_worth import DraftWorth, GivenDrafts, draft_worth, no_worth_warning
from igrpo.generation.base import SamplingParams
from igrpo.types import Completion
from tests.evaluation.fakes import DRAFT_MARK, DigitEngine, run

Rows = list[list[bool]]


@st.composite
def verdicts(draw: st.DrawFn) -> tuple[Rows, Rows]:
    """(bare, refined), of up to 8 questions with up to 5 samples."""
    questions, samples = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    rows = st.lists(st.lists(st.booleans(), min_size=samples, max_size=samples), min_size=questions, max_size=questions)
    return draw(rows), draw(rows)


def worth_of(bare: Rows, refined: Rows) -> DraftWorth:
    found = draft_worth(bare, refined)
    assert found is not None
    return found


def naive(bare: Rows, refined: Rows, draft: bool) -> tuple[int, Fraction | None, Fraction | None]:
    """Drafts with that verdict, the share of their refinements that is right, and the mean gain, in exact numbers."""
    right, gain, pairs = 0, Fraction(0), 0
    for q in range(len(bare)):
        for j in range(len(bare[q])):
            if bare[q][j] != draft:
                continue
            pairs += 1
            right += refined[q][j]
            others = [bare[q][i] for i in range(len(bare[q])) if i != j]
            if others:
                gain += refined[q][j] - Fraction(sum(others), len(others))
    if not pairs:
        return 0, None, None
    return pairs, Fraction(right, pairs), gain / pairs if len(bare[0]) > 1 else None


def test_by_hand() -> None:
    # an easy question, whose refinements are all right, and a hard one, whose only right draft is copied
    found = worth_of([[True, True, False], [True, False, False]], [[True, True, True], [True, False, False]])
    assert (found.given_right.drafts, found.given_wrong.drafts) == (3, 3)
    assert (found.given_right.right, found.given_wrong.right) == (1.0, pytest.approx(1 / 3))
    assert found.bare == 0.5
    assert found.given_right.gain is not None
    assert found.given_right.gain.value == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert found.given_wrong.gain is not None
    assert found.given_wrong.gain.value == pytest.approx((0.0 - 0.5 - 0.5) / 3)


@given(verdicts())
def test_every_number_is_that_of_plain_loops(rows: tuple[Rows, Rows]) -> None:
    found = worth_of(*rows)
    for group, draft in ((found.given_right, True), (found.given_wrong, False)):
        drafts, right, gain = naive(*rows, draft)
        assert group.drafts == drafts
        assert group.right == (None if right is None else pytest.approx(float(right)))
        assert (group.gain is None) == (gain is None)
        if group.gain is not None and gain is not None:
            assert group.gain.value == pytest.approx(float(gain))
            low, high = group.gain.low, group.gain.high
            assert low is None or high is None or -1 <= low <= group.gain.value <= high <= 1


@given(verdicts(), st.randoms(use_true_random=False))
def test_the_order_of_questions_changes_nothing(rows: tuple[Rows, Rows], rng: random.Random) -> None:
    bare, refined = rows
    order = list(range(len(bare)))
    rng.shuffle(order)
    one, other = worth_of(bare, refined), worth_of([bare[q] for q in order], [refined[q] for q in order])
    for first, second in ((one.given_right, other.given_right), (one.given_wrong, other.given_wrong)):
        assert (first.drafts, first.right) == (second.drafts, pytest.approx(second.right))
        if first.gain is not None and second.gain is not None:
            assert first.gain.value == pytest.approx(second.gain.value, abs=1e-12)
            assert first.gain.low == pytest.approx(second.gain.low, abs=1e-9)


@given(verdicts())
def test_both_kinds_of_drafts_make_up_the_accuracy(rows: tuple[Rows, Rows]) -> None:
    found, flat = worth_of(*rows), [right for row in rows[1] for right in row]
    parts = (found.given_right, found.given_wrong)
    assert sum(part.drafts * (part.right or 0.0) for part in parts) == pytest.approx(sum(flat))


@given(verdicts())
def test_copied_drafts_are_as_right_as_they_are(rows: tuple[Rows, Rows]) -> None:
    found = worth_of(rows[0], rows[0])
    assert found.given_right.right in {None, 1.0}
    assert found.given_wrong.right in {None, 0.0}
    assert not found.is_nothing


def test_easy_questions_do_not_flatter_a_draft() -> None:
    """Answers that do not depend on the draft gain nothing, though right drafts are mostly those of easy questions."""
    rng = random.Random(7)
    hardness_Q = [rng.betavariate(0.6, 0.9) for _ in range(4000)]
    bare, refined = ([[rng.random() < p for _ in range(4)] for p in hardness_Q] for _ in range(2))
    found = worth_of(bare, refined)
    assert found.given_right.right is not None
    assert found.given_right.right - found.bare > 0.2
    for part in (found.given_right, found.given_wrong):
        assert part.gain is not None
        assert part.gain.value == pytest.approx(0.0, abs=0.02)


def test_the_interval_covers_the_gain() -> None:
    """Drafts add nothing to 60 questions of mixed difficulty; 95 % within 92 to 98 % of 600 draws."""
    rng, hits, draws = random.Random(20260211), 0, 600
    for _ in range(draws):
        hardness_Q = [rng.betavariate(0.8, 1.2) for _ in range(60)]
        bare, refined = ([[rng.random() < p for _ in range(4)] for p in hardness_Q] for _ in range(2))
        gain = worth_of(bare, refined).given_right.gain
        assert gain is not None
        assert gain.low is not None
        assert gain.high is not None
        hits += gain.low <= 0 <= gain.high
    assert 0.92 <= hits / draws <= 0.98


def test_no_interval_where_nothing_tells_the_error() -> None:
    one_question = worth_of([[True, False]], [[True, True]]).given_right.gain
    no_spread = worth_of([[True, False], [True, False]], [[True, True], [True, True]]).given_right.gain
    for gain in (one_question, no_spread):
        assert gain is not None
        assert (gain.value, gain.low, gain.high) == (1.0, None, None)


def test_questions_without_verdicts_are_left_out() -> None:
    bare, refined = [[True, False], [True, True]], [[True, True], [False, True]]
    assert worth_of([*bare, [], [True, True]], [*refined, [], []]) == worth_of(bare, refined)
    assert draft_worth([[True]], [[]]) is None
    assert draft_worth([], []) is None


@pytest.mark.parametrize(
    ("bare", "refined", "phrase"),
    [
        ([[True, False, False]] * 4, [[True, False, False]] * 4, "too few right drafts (4 of at least 5)"),
        ([[False, False]] * 9, [[False, False]] * 9, "too few right drafts (0 of at least 5)"),
        ([[True]] * 9, [[False]] * 9, "evaluation.samples=1"),
        ([[True, True]] * 9, [[True, True]] * 9, "no draft can add anything"),
    ],
)
def test_what_cannot_be_told_is_said_with_the_reason(bare: Rows, refined: Rows, phrase: str) -> None:
    found = worth_of(bare, refined)
    assert found.unknown is not None
    assert phrase in found.unknown
    assert found.unknown in str(found)
    assert not found.is_nothing


@pytest.mark.parametrize(
    ("refined", "nothing"),
    [
        ([True, True, True], False),
        ([True, False, False], True),  # a gain of exactly 0: 1/3 right, as the other answers
        ([False, False, False], True),
    ],
)
def test_drafts_are_worth_nothing_without_a_gain(refined: list[bool], nothing: bool) -> None:
    bare: Rows = [[True, True, False], [True, False, False], [False, True, False]] * 3
    # per triple of questions: right drafts 0 and 1 of the first, 0 of the second, 1 of the third
    shown: Rows = [[refined[0], refined[1], True], [refined[2], False, False], [False, False, False]] * 3
    found = worth_of(bare, shown)
    assert found.unknown is None
    assert found.is_nothing is nothing
    assert found.given_right.gain is not None
    gain = naive(bare, shown, True)[2]
    assert gain is not None
    assert nothing is (gain <= 0)
    warning = no_worth_warning(found, "prompt=boxed")
    assert str(found.given_right.gain) in warning
    assert "with prompt=boxed" in warning
    assert "prompt=turns" in warning
    assert "prompt.refinement" in warning


def test_the_line_says_every_share_and_number() -> None:
    bare, refined = [[True, False, False], [True, True, False]] * 8, [[True, True, False], [True, False, False]] * 8
    line = str(worth_of(bare, refined))
    assert line.startswith("67 % right given a right draft (+33.3 points [")
    assert "33 % right given a wrong draft (-" in line
    assert "24 right and 24 wrong drafts" in line
    alone = str(worth_of([[False, False]] * 3, [[True, False]] * 3))
    assert alone.startswith("50 % right given a wrong draft (+50.0 points), 0 % on the bare question")
    assert "given a right draft" not in alone
    assert "points" not in str(worth_of([[True], [False]], [[True], [False]]))


def test_a_part_without_drafts_has_no_share() -> None:
    assert worth_of([[False, False]], [[True, False]]).given_right == GivenDrafts(0, None, None)


@dataclass
class CopyingEngine(DigitEngine):
    """Refines by repeating the draft that the prompt shows."""

    def answer(self, prompt: tuple[int, ...], params: SamplingParams, seed: int) -> Completion:
        made = super().answer(prompt, params, seed)
        if DRAFT_MARK not in prompt:
            return made
        shown = prompt[prompt.index(DRAFT_MARK) + 1]
        return Completion((shown, 0), str(shown), *(made.logprobs, None, made.policy_entropies), "stop", 0)


def test_a_model_that_copies_its_drafts() -> None:
    metrics = run(CopyingEngine(), samples=16).metrics()
    assert metrics["eval/draft_conditioned/right_given_right"] == 1.0
    assert metrics["eval/draft_conditioned/right_given_wrong"] == 0.0
    assert metrics["eval/draft_conditioned/accuracy"] == metrics["eval/single_shot/accuracy"]
    assert metrics["eval/draft_conditioned/gain_given_right"] > 0 > metrics["eval/draft_conditioned/gain_given_wrong"]


def test_one_sample_has_shares_and_no_gain() -> None:
    metrics = run(DigitEngine(), samples=1).metrics()
    given_drafts = {name.rpartition("/")[2] for name in metrics if "_given_" in name}
    assert given_drafts <= {"right_given_right", "right_given_wrong"}
    assert given_drafts
    assert not any("_given_" in name for name in run(DigitEngine(), draft_conditioned=False).metrics())
