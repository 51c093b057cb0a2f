"""Calibration: does the model's confidence in an answer say how often the answer is right?

A confidence c is calibrated if the answers with confidence c are right in a share c of cases. Measured are

ECE
    The expected calibration error: answers are sorted by confidence into bins of equal mass, and the distance between
    mean confidence and accuracy is averaged over the bins by their size (Nguyen and O'Connor 2015, arXiv 1508.05154).
    Answers of equal confidence stay in one bin, so that the order of samples does not matter.
Brier score
    Mean squared distance between confidence and verdict. The constant confidence p, with p the accuracy, has p (1 - p).
AUROC
    Probability that a right answer has a higher confidence than a wrong one, ties as one half. It depends on the order
    of confidences alone, so that it also suits a confidence that is no probability.

An answer without a verdict counts as not right, as everywhere. Intervals are by question. The ECE of few answers is
biased upwards, and never 0. Its interval takes the bias off as far as a bootstrap shows it, and begins at 0 if chance
alone could have made the ECE: if it is below the 95 % quantile of the ECE with random signs of the errors of each
question. Simulated coverage (30 questions of 8 samples to 400 of 4, ECE 0 to 0.2): 0.84 to 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from igrpo.evaluation.estimators import clustered_interval
from igrpo.evaluation.validity.intervals import Interval, bootstrap
from igrpo.seeding import derive_seed

#: Largest number of bins. Few distinct confidences fill fewer.
BINS = 10
#: Number of draws of random signs.
_SIGNS = 1000


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers of similar confidence: their smallest, largest and mean confidence, and how many of them are right."""

    low: float
    high: float
    confidence: float
    accuracy: float
    samples: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of one kind of confidence.

    ``ece_by_chance`` is the 95 % quantile of the ECE of a calibrated model with such answers. ``auroc`` is None if all
    answers are right, or none is.
    """

    samples: int
    questions: int
    confidence: float
    accuracy: float
    ece: Interval
    ece_by_chance: float
    brier: Interval
    auroc: Interval | None
    table: tuple[ReliabilityBin, ...]

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy."""
        return self.confidence - self.accuracy


def calibration(confidence_Q: Sequence[Sequence[float]], right_Q: Sequence[Sequence[bool]]) -> Calibration:
    """Measure the calibration of answers to Q questions.

    Args:
        confidence_Q: confidences in [0, 1], per question and sample.
        right_Q: verdicts, in the same order.

    Raises:
        ValueError: there are no answers, or a confidence is not in [0, 1].
    """
    answers = [
        (q, c, r)
        for q, (confidences, verdicts) in enumerate(zip(confidence_Q, right_Q, strict=True))
        for c, r in zip(confidences, verdicts, strict=True)
    ]
    if not answers or not all(0 <= c <= 1 for _, c, _ in answers):
        raise ValueError("calibration needs answers with confidences between 0 and 1")
    question_N = np.array([q for q, _, _ in answers])
    confidence_N = np.array([c for _, c, _ in answers], dtype=np.float64)
    right_N = np.array([r for _, _, r in answers], dtype=np.float64)
    bins_N = equal_mass_bins(confidence_N, BINS)
    q, seed = len(confidence_Q), derive_seed("calibration", len(confidence_Q))
    sums_QB = _sums(confidence_N - right_N, bins_N, question_N, q)
    chance = _ece_by_chance(sums_QB, len(answers), seed)
    return Calibration(
        samples=len(answers),
        questions=q,
        confidence=float(confidence_N.mean()),
        accuracy=float(right_N.mean()),
        ece=_ece(sums_QB, np.bincount(question_N, minlength=q).astype(np.float64), chance, seed),
        ece_by_chance=chance,
        brier=_brier(confidence_Q, right_Q),
        auroc=_auroc(confidence_N, right_N, question_N, q, seed),
        table=_table(confidence_N, right_N, bins_N),
    )


def equal_mass_bins(confidence_N: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return a bin per answer, numbered upwards without gaps: at most ``bins`` of about the same size.

    All answers of the same confidence are in the bin of their middle rank.
    """
    _, value_N, counts_V = np.unique(confidence_N, return_inverse=True, return_counts=True)
    middle_V = (np.cumsum(counts_V) - counts_V / 2) / len(confidence_N)
    bins_V = np.minimum((middle_V * bins).astype(np.int64), bins - 1)
    numbered: NDArray[np.int64] = np.unique(bins_V, return_inverse=True)[1][value_N]
    return numbered


def _sums(
    error_N: NDArray[np.float64], bins_N: NDArray[np.int64], question_N: NDArray[np.int64], q: int
) -> NDArray[np.float64]:
    """Return the sum of the errors (confidence - verdict) of each question in each bin."""
    sums_QB = np.zeros((q, int(bins_N.max()) + 1))
    np.add.at(sums_QB, (question_N, bins_N), error_N)
    return sums_QB


def _ece(sums_QB: NDArray[np.float64], counts_Q: NDArray[np.float64], chance: float, seed: int) -> Interval:
    """The bins stay as they are in the resamples, in which a question is drawn with all its answers."""

    def statistic(weights_RQ: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.abs(weights_RQ @ sums_QB).sum(axis=1) / (weights_RQ @ counts_Q)
        return found

    q = len(counts_Q)
    value = float(statistic(np.ones((1, q)))[0])
    found = bootstrap(value, statistic, q, seed=seed, reflected=True)
    return replace(found, low=0.0) if found.low is not None and value <= chance else found


def _ece_by_chance(sums_QB: NDArray[np.float64], samples: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    errors = [np.abs(rng.choice((-1.0, 1.0), size=len(sums_QB)) @ sums_QB).sum() for _ in range(_SIGNS)]
    return float(np.quantile(errors, 0.95)) / samples


def _brier(confidence_Q: Sequence[Sequence[float]], right_Q: Sequence[Sequence[bool]]) -> Interval:
    squares_Q = [[(c - r) ** 2 for c, r in zip(*rows, strict=True)] for rows in zip(confidence_Q, right_Q, strict=True)]
    mean = sum(map(sum, squares_Q)) / sum(map(len, squares_Q))
    low, high = clustered_interval(squares_Q) or (None, None)
    return Interval(mean, None if low is None else max(low, 0.0), None if high is None else min(high, 1.0))


def _auroc(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.float64], question_N: NDArray[np.int64], q: int, seed: int
) -> Interval | None:
    if not 0 < right_N.sum() < len(right_N):
        return None
    values, value_N = np.unique(confidence_N, return_inverse=True)
    order_N = np.argsort(value_N, kind="stable")
    starts_V = np.searchsorted(value_N[order_N], np.arange(len(values)))
    right_N, question_N = right_N[order_N], question_N[order_N]

    def statistic(weights_RQ: NDArray[np.float64]) -> NDArray[np.float64]:
        weights_RN = weights_RQ[:, question_N]
        right_RV = np.add.reduceat(weights_RN * right_N, starts_V, axis=1)
        wrong_RV = np.add.reduceat(weights_RN * (1 - right_N), starts_V, axis=1)
        below_RV = np.cumsum(wrong_RV, axis=1) - wrong_RV / 2  # wrong answers of lower confidence, and half of the ties
        pairs_R = right_RV.sum(axis=1) * wrong_RV.sum(axis=1)
        with np.errstate(invalid="ignore"):
            found: NDArray[np.float64] = (right_RV * below_RV).sum(axis=1) / pairs_R
        return found

    return bootstrap(float(statistic(np.ones((1, q)))[0]), statistic, q, seed=seed)


def _table(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.float64], bins_N: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    rows = []
    for number in range(int(bins_N.max()) + 1):
        own = bins_N == number
        inside = confidence_N[own]
        rows.append(
            ReliabilityBin(
                low=float(inside.min()),
                high=float(inside.max()),
                confidence=float(inside.mean()),
                accuracy=float(right_N[own].mean()),
                samples=int(own.sum()),
            )
        )
    return tuple(rows)
