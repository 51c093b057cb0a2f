"""Questions on which the majority of a model's samples is right, and of another model's is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from igrpo.evaluation.samples import EvaluatedSample


@dataclass(frozen=True, slots=True)
class Flip:
    """A question whose majority differs: the shares of right samples, and a typical sample of each model."""

    question: str
    first_right: float
    second_right: float
    first: EvaluatedSample
    second: EvaluatedSample

    @property
    def gained(self) -> bool:
        """True if the first model is the one that is right."""
        return self.first_right > self.second_right


def flips(
    first: Mapping[str, Sequence[EvaluatedSample]], second: Mapping[str, Sequence[EvaluatedSample]]
) -> list[Flip]:
    """Return the flipped questions, the largest differences first, then in the order of ``first``.

    A model counts as right on a question if more than half of its samples are.

    Args:
        first: samples of each question by one model.
        second: those by the other. Questions that only one has are left out.
    """
    found = []
    for question, ours in first.items():
        theirs = second.get(question)
        if not theirs:
            continue
        shares = _right(ours), _right(theirs)
        verdicts = [share > Fraction(1, 2) for share in shares]
        if verdicts[0] != verdicts[1]:
            typical = [typical_sample(rows, verdict) for rows, verdict in zip((ours, theirs), verdicts, strict=True)]
            found.append(Flip(question, float(shares[0]), float(shares[1]), *typical))
    return sorted(found, key=lambda flip: -abs(flip.first_right - flip.second_right))


def typical_sample(samples: Sequence[EvaluatedSample], correct: bool) -> EvaluatedSample:
    """Return the sample of median length among those with the most frequent answer and the given verdict.

    Of two in the middle it is the shorter one. If several answers are as frequent, that of the first sample counts.

    Raises:
        ValueError: no sample has this verdict.
    """
    alike = [sample for sample in samples if sample.correct is correct]
    if not alike:
        raise ValueError(f"no sample is {'right' if correct else 'wrong'}")
    (answer, _), *_ = Counter(sample.score.answer for sample in alike).most_common()
    with_answer = [sample for sample in alike if sample.score.answer == answer]
    by_length = sorted(with_answer, key=lambda sample: (len(sample.token_ids), sample.index))
    return by_length[(len(by_length) - 1) // 2]


def _right(samples: Sequence[EvaluatedSample]) -> Fraction:
    return Fraction(sum(sample.correct for sample in samples), len(samples))
