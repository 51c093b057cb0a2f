"""Summary of the samples of an evaluation: every estimator, with its standard error and intervals.

The metrics and their definitions are `SUMMARY_DOCS`. For each there are

- ``low`` and ``high``: the interval to report. For shares it is Wilson's, as for accuracy (`share_interval`), which
  holds near 0 and 1 and on few questions. For lengths it is Student's, with the samples of a question as a cluster.
- ``by_question``: the percentile bootstrap over questions.
- ``by_question_and_sample``: the bootstrap over questions and, within each, over its samples. The spread between
  questions includes the sampling noise already, so this one counts that noise twice: it is the widest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from igrpo.evaluation.bootstrap import bootstrap, centred, percentile_bounds
from igrpo.evaluation.columns import Columns, columns_of
from igrpo.evaluation.estimators import clustered_interval, share_interval, standard_error
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.seeding import derive_seed

#: One line per metric: unit; definition. K is a number of samples, TAU a share of them.
SUMMARY_DOCS: dict[str, str] = {
    "accuracy": "share; right samples, mean over questions (mean@k, often called pass@1)",
    "pass_at_K": "share; probability that at least one of K samples is right, unbiased (Chen et al. 2021, "
    "arXiv 2107.03374)",
    "worst_at_K": "share; probability that all of K samples are right, unbiased (pass^k; Yao et al. 2024, "
    "arXiv 2406.12045)",
    "g_pass_at_K/tau_TAU": "share; probability that at least TAU K of K samples are right (G-Pass@k; Liu et al. 2024, "
    "arXiv 2412.13147)",
    "mg_pass_at_K": "share; twice the integral of G-Pass@K over TAU from 0.5 to 1 (mG-Pass@k; Liu et al. 2024)",
    "majority_at_K": "share; expected accuracy of the most frequent of K answers, over all subsets of K samples; "
    "answers are grouped by mathematical equality, ties in expectation (Wang et al. 2022, arXiv 2203.11171)",
    "consistency": "share; samples with the question's most frequent answer, mean over questions",
    "agreement": "share; probability that two samples of a question give the same answer, unbiased",
    "truncated_share": "share; completions that the token limit ended",
    "length_mean": "tokens; completion length, mean",
    "length_right": "tokens; completion length, mean over the right samples",
    "length_wrong": "tokens; completion length, mean over the samples that are not right",
}

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MetricEstimate:
    """Value of a metric with its standard error over questions and its intervals (see the module).

    None: the error cannot be estimated, from a single question or (lengths) without any spread.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    by_question: Interval | None
    by_question_and_sample: Interval | None


def summarise_samples(
    samples: Sequence[EvaluatedSample], same: Callable[[str, str], bool], *, seed: int = 0, level: float = 0.95
) -> dict[str, MetricEstimate]:
    """Compute all metrics of the samples of one kind.

    Args:
        samples: samples of one kind, as many of each question; in any order.
        same: equality of answers, as in `voting.vote`; thread-safe.
        seed: seed of the bootstrap.
        level: level of the intervals.

    Returns:
        The metrics by name, in the order of `SUMMARY_DOCS`. Left out are those without data: of verdicts if no sample
        has a score, of answers if no sample has an answer, lengths of right samples if there are none.

    Raises:
        ValueError: no samples, several kinds, or questions with different numbers of samples.
    """
    rng = np.random.default_rng(derive_seed("summary", seed))
    columns = columns_of(samples, same, rng)
    values = columns.values
    by_question = percentile_bounds(bootstrap(columns.measured, rng), level)
    replicates = bootstrap(columns.resampled, rng)
    by_both = percentile_bounds(centred(replicates, values), level)
    several = len(columns.measured.tops_QJM) > 1
    return {
        name: _estimate(columns, i, level, by_question[i] if several else None, by_both[i])
        for i, name in enumerate(columns.names)
    }


def summary_values(summary: Mapping[str, MetricEstimate]) -> dict[str, Any]:
    """Return the summary as plain values, for JSON."""
    return {name: asdict(estimate) for name, estimate in summary.items()}


def _estimate(columns: Columns, i: int, level: float, by_question: Any, by_both: Any) -> MetricEstimate:
    tops, bottoms = columns.measured.tops_QJM[:, 0, i], columns.measured.bottoms_QJM[:, 0, i]
    value = float(columns.values[i])
    if columns.is_share(i):
        shares = tops.tolist()
        interval: Interval | None = share_interval(shares, columns.blocks[i], level)
        error = standard_error(shares)
    else:
        clusters = [[top / bottom] * int(bottom) for top, bottom in zip(tops, bottoms, strict=True) if bottom]
        interval, error = clustered_interval(clusters, level), _ratio_error(tops, bottoms)
    limit = (0.0, 1.0) if columns.is_share(i) else (0.0, np.inf)
    low, high = interval or (None, None)
    return MetricEstimate(value, low, high, error, _bounds(by_question, limit), _bounds(by_both, limit))


def _ratio_error(tops: Any, bottoms: Any) -> float | None:
    """Return the standard error of sum(tops) / sum(bottoms) over questions, by linearisation."""
    kept = bottoms > 0
    total, q = bottoms.sum(), int(kept.sum())
    if q < 2:
        return None
    residuals = (tops - tops.sum() / total * bottoms)[kept]
    return float(np.sqrt(q / (q - 1) * (residuals**2).sum()) / total)


def _bounds(pair: Any, limit: Interval) -> Interval | None:
    if pair is None or not np.isfinite(pair).all():
        return None
    low, high = np.clip(pair, *limit).tolist()
    return low, high
