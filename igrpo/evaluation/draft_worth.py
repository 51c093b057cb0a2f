"""The worth of a draft: how much more often an answer is right when the prompt shows a draft.

Refinement j of a question saw answer j to the bare question as its draft, so each draft has a verdict and so has the
refinement that saw it. Right drafts are mostly drafts of easy questions, which the model answers right without them,
too. The gain therefore compares each refinement with the *other* answers to its own bare question (leave one out),
whose verdicts do not depend on this draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

#: Right drafts below this number do not tell what a right draft is worth.
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """How much more often refinements are right than the other answers to their bare questions: a difference of shares
    in [-1, 1], mean over refinements, with the bounds of its 95 % interval over questions. None: one question, or no
    spread, which says nothing about the error."""

    value: float
    low: float | None
    high: float | None

    @property
    def is_positive(self) -> bool:
        """Whether it is above 0 by more than rounding."""
        return self.value > 1e-9

    def __str__(self) -> str:
        bounds = "" if self.low is None or self.high is None else f" [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{100 * self.value:+.1f} points{bounds}"


@dataclass(frozen=True, slots=True)
class GivenDrafts:
    """The refinements of drafts with the same verdict: their number, the share of them that is right, and what they
    gain. None: there is no such draft, or no other answer to compare with (one sample per question)."""

    drafts: int
    right: float | None
    gain: Gain | None


@dataclass(frozen=True, slots=True)
class DraftWorth:
    """The worth of right and of wrong drafts (a draft whose check failed counts as wrong, as in every accuracy), and
    the share of bare answers that is right."""

    given_right: GivenDrafts
    given_wrong: GivenDrafts
    bare: float

    @property
    def unknown(self) -> str | None:
        """Why the worth of a right draft cannot be told; None: it can."""
        right = self.given_right
        if right.drafts < ENOUGH:
            return f"too few right drafts ({right.drafts} of at least {ENOUGH}) to tell what one is worth"
        if right.gain is None:
            return "with one sample per question (evaluation.samples=1) there is no other answer to compare with"
        if right.right == 1.0 and not right.gain.is_positive:
            return "all bare answers to the questions with a right draft are right, so that no draft can add anything"
        return None

    @property
    def is_nothing(self) -> bool:
        """Whether right drafts are known not to raise the accuracy above that of the bare answers."""
        gain = self.given_right.gain
        return self.unknown is None and gain is not None and not gain.is_positive

    def __str__(self) -> str:
        """One line, such as '45 % right given a right draft (+20.1 points [+9.0, +31.2]), 30 % given a wrong one (+15.0
        points [+4.1, +25.9]), 17 % on the bare question; 58 right and 70 wrong drafts; points are ...'"""
        given = [
            f"{100 * one.right:.0f} % right given a {word} draft" + ("" if one.gain is None else f" ({one.gain})")
            for one, word in ((self.given_right, "right"), (self.given_wrong, "wrong"))
            if one.right is not None
        ]
        parts = [
            f"{', '.join(given)}, {100 * self.bare:.0f} % on the bare question",
            f"{self.given_right.drafts} right and {self.given_wrong.drafts} wrong drafts",
        ]
        if self.given_right.gain or self.given_wrong.gain:
            parts.append("points are the difference to the other bare answers to the same questions")
        return "; ".join(parts if self.unknown is None else [*parts, self.unknown])


def draft_worth(single_shot_Q: Sequence[Sequence[bool]], refined_Q: Sequence[Sequence[bool]]) -> DraftWorth | None:
    """The worth of the drafts ``single_shot_Q[q][j]``, each shown to the refinement ``refined_Q[q][j]``.

    Questions without verdicts on either side are left out; None where no question is left.
    """
    rows = [(bare, refined) for bare, refined in zip(single_shot_Q, refined_Q, strict=True) if bare and refined]
    if not rows:
        return None
    return DraftWorth(
        _given(rows, draft=True), _given(rows, draft=False), fmean(right for bare, _ in rows for right in bare)
    )


def _given(rows: Sequence[tuple[Sequence[bool], Sequence[bool]]], *, draft: bool) -> GivenDrafts:
    """Of the refinements whose draft has this verdict."""
    from igrpo.evaluation.estimators import clustered_interval  # scipy: who only reads a summary does without

    seen_Q = [[(right, bare, j) for j, right in enumerate(refined) if bool(bare[j]) is draft] for bare, refined in rows]
    verdicts = [right for seen in seen_Q for right, _, _ in seen]
    if not verdicts:
        return GivenDrafts(0, None, None)
    gains_Q = [
        [right - (sum(bare) - bare[j]) / (len(bare) - 1) for right, bare, j in seen if len(bare) > 1] for seen in seen_Q
    ]
    gains = [gain for row in gains_Q for gain in row]
    gain = None
    if gains:
        low, high = clustered_interval(gains_Q) or (None, None)
        gain = Gain(fmean(gains), low if low is None else max(low, -1.0), high if high is None else min(high, 1.0))
    return GivenDrafts(len(verdicts), fmean(verdicts), gain)


def no_worth(worth: DraftWorth, layout: str) -> str:
    """The warning for drafts that are worth nothing. ``layout``: the setting that chose how they are shown."""
    return (
        f"a right draft does not raise the accuracy of this model with {layout} ({worth.given_right.gain} against the "
        "other bare answers to the same questions), so that training on refinements has little to work with; try "
        "another layout: prompt=turns shows the draft as the assistant's own turn, and prompt.refinement takes one of "
        "your own"
    )
