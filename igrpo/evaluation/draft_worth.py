"""Worth of a draft: the increase in accuracy when the prompt shows a draft.

The draft of refinement j is answer j to the bare question, so both the draft and the refinement have a verdict. Right
drafts mostly belong to easy questions, which the model also answers right without a draft. The gain therefore compares
each refinement with the *other* answers to its own bare question (leave-one-out), whose verdicts do not depend on this
draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

#: Minimum number of right drafts for an estimate of their worth.
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """Accuracy of refinements minus accuracy of the other answers to their bare questions.

    ``value`` is a difference of shares in [-1, 1], averaged over refinements. ``low`` and ``high`` are the bounds of
    its 95 % interval over questions. They are None if there is only one question, or no spread from which to estimate
    the error.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def is_positive(self) -> bool:
        """True if the gain exceeds 0 by more than rounding errors."""
        return self.value > 1e-9

    def __str__(self) -> str:
        bounds = "" if self.low is None or self.high is None else f" [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{100 * self.value:+.1f} points{bounds}"


@dataclass(frozen=True, slots=True)
class GivenDrafts:
    """Statistics of the refinements of drafts with the same verdict: their number, accuracy and gain.

    ``right`` and ``gain`` are None if there is no such draft. ``gain`` is also None if there is no other answer to
    compare with (one sample per question).
    """

    drafts: int
    right: float | None
    gain: Gain | None


@dataclass(frozen=True, slots=True)
class DraftWorth:
    """Worth of right and of wrong drafts, and the accuracy of the bare answers.

    A draft whose check failed counts as wrong, as in every accuracy.
    """

    given_right: GivenDrafts
    given_wrong: GivenDrafts
    bare: float

    @property
    def unknown(self) -> str | None:
        """Reason why the worth of a right draft cannot be estimated, or None if it can."""
        right = self.given_right
        if right.drafts < ENOUGH:
            return f"too few right drafts ({right.drafts} of at least {ENOUGH}) to estimate the worth of one"
        if right.gain is None:
            return "with one sample per question (evaluation.samples=1) there is no other answer to compare with"
        if right.right == 1.0 and not right.gain.is_positive:
            return "all bare answers to the questions with a right draft are right, so that no draft can add anything"
        return None

    @property
    def is_nothing(self) -> bool:
        """True if right drafts are known not to raise the accuracy above that of the bare answers."""
        gain = self.given_right.gain
        return self.unknown is None and gain is not None and not gain.is_positive

    def __str__(self) -> str:
        """Format as one line.

        For example: '45 % right given a right draft (+20.1 points [+9.0, +31.2]), 30 % given a wrong one (+15.0 points
        [+4.1, +25.9]), 17 % on the bare question; 58 right and 70 wrong drafts; points are ...'
        """
        given = [
            f"{100 * of.right:.0f} % right given a {verdict} draft" + ("" if of.gain is None else f" ({of.gain})")
            for of, verdict in ((self.given_right, "right"), (self.given_wrong, "wrong"))
            if of.right is not None
        ]
        parts = [
            f"{', '.join(given)}, {100 * self.bare:.0f} % on the bare question",
            f"{self.given_right.drafts} right and {self.given_wrong.drafts} wrong drafts",
        ]
        if self.given_right.gain or self.given_wrong.gain:
            parts.append("points are the difference to the other bare answers to the same questions")
        return "; ".join(parts if self.unknown is None else [*parts, self.unknown])


def draft_worth(single_shot_Q: Sequence[Sequence[bool]], refined_Q: Sequence[Sequence[bool]]) -> DraftWorth | None:
    """Return the worth of the drafts ``single_shot_Q[q][j]``, each shown to the refinement ``refined_Q[q][j]``.

    Questions without verdicts on either side are left out. The result is None if no question remains.
    """
    rows = [(bare, refined) for bare, refined in zip(single_shot_Q, refined_Q, strict=True) if bare and refined]
    if not rows:
        return None
    return DraftWorth(
        _given(rows, draft=True), _given(rows, draft=False), fmean(right for bare, _ in rows for right in bare)
    )


def _given(rows: Sequence[tuple[Sequence[bool], Sequence[bool]]], *, draft: bool) -> GivenDrafts:
    """Return the statistics of the refinements whose draft has this verdict."""
    from igrpo.evaluation.estimators import clustered_interval  # imports scipy, which is not needed to read a summary

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


def no_worth_warning(worth: DraftWorth, layout: str) -> str:
    """Return the warning for drafts that are worth nothing. ``layout`` is the setting that chose the prompt layout."""
    return (
        f"a right draft does not raise the accuracy of this model with {layout} ({worth.given_right.gain} against the "
        "other bare answers to the same questions), so that training on refinements has little to learn from; try "
        "another layout: prompt=turns shows the draft as the assistant's own turn, and prompt.refinement takes one of "
        "your own"
    )
