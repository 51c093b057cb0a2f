"""Estimators of accuracy, with confidence intervals, from k sampled answers to each of Q questions.

The questions are treated as a random sample from the benchmark's distribution of questions. The interval therefore
covers the accuracy on that distribution, and not only on these questions. To compare two models on the same questions,
use a paired test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import ndtri, stdtrit  # scipy.stats has the same functions, and takes half a second to import


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Mean over ``questions`` with ``samples`` each, and the bounds of its confidence interval (all in [0, 1])."""

    value: float
    low: float
    high: float
    questions: int
    samples: int


def mean_at_k(correct_QK: Sequence[Sequence[bool]]) -> float:
    """Return the mean over questions of the share of right samples ('pass@1 as the mean of k' in many papers)."""
    _samples(correct_QK)
    return fmean(fmean(row) for row in correct_QK)


def pass_at_k(correct_QK: Sequence[Sequence[bool]], k: int) -> float:
    """Return an unbiased estimate of the probability that at least one of ``k`` samples is right.

    It is 1 - C(n - c, k) / C(n, k) for c right ones of n >= k samples per question, averaged over questions (Chen et
    al. 2021, arXiv 2107.03374, Eq. 1).

    Raises:
        ValueError: ``k`` is not between 1 and n.
    """
    n = _samples(correct_QK)
    if not 1 <= k <= n:
        raise ValueError(f"pass@k with k={k} needs at least {k} samples per question, and there are {n}")
    return fmean(1.0 - math.comb(n - sum(row), k) / math.comb(n, k) for row in correct_QK)


def majority_at_k(answers_QK: Sequence[Sequence[str | None]], correct_QK: Sequence[Sequence[bool]]) -> float:
    """Return the accuracy of the most frequent of the k answers, averaged over questions.

    A sample without an answer (None) does not vote. A question without votes counts as wrong. A tie counts with the
    expected accuracy of a random choice among the tied answers. If samples with the same answer have different
    verdicts, the share of right ones counts.
    """
    _samples(correct_QK)
    rows = zip(answers_QK, correct_QK, strict=True)
    return fmean(_vote(answers, correct) for answers, correct in rows)


def accuracy_interval(correct_QK: Sequence[Sequence[bool]], level: float = 0.95) -> tuple[float, float]:
    """Return a confidence interval for ``mean_at_k``, in [0, 1], that treats the samples of a question as a cluster.

    It is Wilson's score interval with the effective number of independent answers n = p (1 - p) / var(p), where var(p)
    is estimated from the spread of the questions' means, and with Student's t at Q - 1 degrees of freedom. n is limited
    to the range of its possible true values: Q (all samples of a question are the same) to Q k (all questions are
    equally difficult). If all answers are right, or all wrong, n cannot be estimated. The conservative value Q is used
    then, so the interval never has width 0. For a single question, the normal quantile replaces the undefined t
    quantile.

    Simulated coverage at 0.95 (Q 20 to 500, k 1 to 16): 0.94 to 0.98 at p = 0.02 with equally difficult questions,
    where the plain t-interval on means has 0.34 to 0.96; 0.94 to 0.97 with questions of evenly spread difficulty. It
    may fall to 0.86 if a few of about 20 questions have nearly all the right answers, which cannot be detected in a
    sample of that size.

    Raises:
        ValueError: ``level`` is not between 0 and 1.
    """
    k = _samples(correct_QK)
    return share_interval([fmean(row) for row in correct_QK], k, level)


def share_interval(shares_Q: Sequence[float], samples: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of `accuracy_interval` for the mean of other values in [0, 1], one per question.

    Args:
        shares_Q: a probability per question, estimated from its samples.
        samples: number of independent estimates that the samples of a question are worth: n of accuracy, and the number
            of separate sets of k samples, n // k, of an estimate that is about k samples.
        level: as in `accuracy_interval`.

    Raises:
        ValueError: no questions, or ``level`` is not between 0 and 1.
    """
    _check_level(level)
    q, p = len(shares_Q), fmean(shares_Q)
    spread = variance(shares_Q) / q if q > 1 else 0.0
    n: float = q
    if 0.0 < p < 1.0 and q > 1:
        n = min(max(p * (1 - p) / spread, q), q * samples) if spread > 0 else q * samples
    tail = 0.5 + level / 2
    z = float(stdtrit(q - 1, tail) if q > 1 else ndtri(tail))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At p of 0 and 1 the bound equals p; rounding must not move it past.
    return min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)


def standard_error(values_Q: Sequence[float]) -> float | None:
    """Return the standard error over questions of the mean of one value per question; None for a single question.

    The values vary because the questions do and because samples do, so it covers both (Miller 2024, arXiv 2411.00640).
    """
    return math.sqrt(variance(values_Q) / len(values_Q)) if len(values_Q) > 1 else None


def estimate_accuracy(correct_QK: Sequence[Sequence[bool]], level: float = 0.95) -> AccuracyEstimate:
    """Return ``mean_at_k`` with its confidence interval."""
    low, high = accuracy_interval(correct_QK, level)
    return AccuracyEstimate(mean_at_k(correct_QK), low, high, questions=len(correct_QK), samples=len(correct_QK[0]))


def clustered_interval(values_Q: Sequence[Sequence[float]], level: float = 0.95) -> tuple[float, float] | None:
    """Return a confidence interval for the mean of all values that treats the values of a question as a cluster.

    Questions may have different numbers of values. The variance is that of a ratio of two sums over questions, by
    linearisation, with Student's t at Q - 1 degrees of freedom (Q is the number of questions with a value). The result
    is None if fewer than two questions have values or if the values have no spread over questions, because the error
    cannot be estimated then.
    """
    rows = [row for row in values_Q if row]
    q = len(rows)
    if q < 2:
        return None
    total = sum(map(len, rows))
    mean = sum(map(sum, rows)) / total
    spread = math.fsum((sum(row) - mean * len(row)) ** 2 for row in rows)
    if spread <= total * 1e-12:  # rounding errors only
        return None
    half = float(stdtrit(q - 1, 0.5 + level / 2)) * math.sqrt(q / (q - 1) * spread) / total
    return mean - half, mean + half


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level} must be between 0 and 1, for example 0.95")


def _samples(correct_QK: Sequence[Sequence[bool]]) -> int:
    """Return k, the number of samples of every question.

    Raises:
        ValueError: no questions, no samples, or questions with different numbers of samples.
    """
    counts = {len(row) for row in correct_QK}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"need questions with the same number of samples, at least 1; got counts {sorted(counts)}")
    return counts.pop()


def _vote(answers: Sequence[str | None], correct: Sequence[bool]) -> float:
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    winners = {answer for answer, count in votes.items() if count == most}
    # Each winner has the same number of votes, so the mean over the winners' samples is the mean over the winners.
    return fmean(right for answer, right in zip(answers, correct, strict=True) if answer in winners)
