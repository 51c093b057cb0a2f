"""Estimates of a report: results of conditions on the test split, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from igrpo.report import statistics
from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.conditions import RunGroup
from igrpo.report.equivalence import identical_by_construction
from igrpo.report.model import EFFECT, METRICS, Comparison, Final, Metric, SeedsNeeded, Spent, metric_name
from igrpo.report.verdict import verdict

__all__ = ["METRICS", "Difference", "Metric", "comparisons", "final", "shares_by_seed"]

LEVEL, POWER = 0.95, 0.8

#: Two conditions count as matched in a budget if they differ by at most this share.
MATCH_TOLERANCE = 0.02

_RESAMPLES = 2000

#: An interval needs at least two values.
_FEWEST = 2

_Matrix = NDArray[np.float64]

#: Share of right answers by seed and problem.
_BySeed = dict[int, Mapping[str, float]]


def shares_by_seed(group: RunGroup, metric: Metric, *, before: bool = False) -> _BySeed | None:
    """Return the share of right answers by seed and problem; None if a seed has no verdicts of this metric."""
    found: _BySeed = {}
    for seed, run in group.runs.items():
        verdicts = run.before if before else run.after
        shares = {} if verdicts is None else getattr(verdicts, metric)
        if not shares:
            return None
        found[seed] = shares
    return found


def final(group: RunGroup, metric: Metric) -> Final | None:
    """Return the results of a condition on one metric, before and after training.

    None if a run has no verdicts of this metric, or if only one problem was tested at one seed.
    """
    after, before = shares_by_seed(group, metric), shares_by_seed(group, metric, before=True)
    if after is None:
        return None
    values_SQ, problems = _matrix(list(after.values()))
    if values_SQ.size < _FEWEST:
        return None
    estimate = statistics.crossed_estimate(values_SQ, LEVEL)
    samples = min(run.after.samples for run in group.runs.values() if run.after is not None)
    return Final(
        condition=group.name,
        metric=metric_name(metric),
        mean=estimate.mean,
        interval=(max(estimate.low, 0.0), min(estimate.high, 1.0)),
        per_seed=dict(zip(after, values_SQ.mean(axis=1).tolist(), strict=True)),
        before=None if before is None else float(_matrix(list(before.values()))[0].mean()),
        problems=problems,
        samples_per_problem=1 if metric == "greedy" else samples,
    )


def _matrix(rows_S: Sequence[Mapping[str, float]]) -> tuple[_Matrix, int]:
    """Return the values as a matrix (seeds x problems common to all seeds), and the number of problems.

    If the seeds have no problem in common, only their means can be compared: the matrix has one mean per seed (Q = 1),
    and the number is the smallest number of problems of any seed.
    """
    common = [problem for problem in rows_S[0] if all(problem in row for row in rows_S)]
    if common:
        return np.array([[row[problem] for problem in common] for row in rows_S]), len(common)
    return np.array([[fmean(row.values())] for row in rows_S]), min(map(len, rows_S))


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference between two conditions, second minus first, paired by seed and problem.

    ``values_SQ`` holds S x Q differences in the share of right answers.
    """

    first: RunGroup
    second: RunGroup
    seeds: tuple[int, ...]
    values_SQ: _Matrix
    problems: int

    @classmethod
    def of(cls, first: RunGroup, second: RunGroup, metric: Metric) -> Difference | None:
        """Pair two conditions; None if one has no verdicts of this metric, or if they share too little."""
        a, b = shares_by_seed(first, metric), shares_by_seed(second, metric)
        if a is None or b is None:
            return None
        seeds = tuple(sorted(a.keys() & b.keys()))
        rows_S = [{q: b[seed][q] - a[seed][q] for q in sorted(a[seed].keys() & b[seed].keys())} for seed in seeds]
        if not rows_S or not all(rows_S):
            return None
        values_SQ, problems = _matrix(rows_S)
        return cls(first, second, seeds, values_SQ, problems) if values_SQ.size >= _FEWEST else None


def comparisons(
    pairs: Sequence[tuple[RunGroup, RunGroup]], metric: Metric, spent: Mapping[str, Spent], effect: float = EFFECT
) -> Iterator[Comparison]:
    """Yield the comparisons of one metric. ``effect``: the difference for which the needed seeds are computed.

    Comparisons with several seeds form the family of Holm's correction. With one seed a difference cannot be told from
    chance, so such a comparison has a difference but no interval and no p-value.
    """
    found = [one for pair in pairs if (one := Difference.of(*pair, metric)) is not None]
    tested = [one for one in found if len(one.seeds) > 1]
    estimates = [statistics.crossed_estimate(one.values_SQ, LEVEL) for one in tested]
    adjusted = statistics.holm([statistics.two_sided_p(estimate) for estimate in estimates])
    share = 1 - (1 - LEVEL) / max(len(tested), 1)  # level of each comparison (Bonferroni)
    certainty = {
        (one.first.name, one.second.name): _certainty(one, estimate, p_adjusted, share, effect)
        for one, estimate, p_adjusted in zip(tested, estimates, adjusted, strict=True)
    }
    for one in found:
        pair = (one.first.name, one.second.name)
        ratios = budget_ratios(spent[pair[0]], spent[pair[1]])
        comparison = Comparison(
            pair=pair,
            metric=metric_name(metric),
            difference=float(one.values_SQ.mean()),
            family=len(tested),
            seeds=len(one.seeds),
            problems=one.problems,
            matched_by=matched_by(ratios),
            budget_ratios=ratios,
            seed_differences=dict(zip(one.seeds, one.values_SQ.mean(axis=1).tolist(), strict=True)),
            identical_by_construction=identical_by_construction(one.first.config, one.second.config),
            verdict="",
            **certainty.get(pair, {}),
        )
        yield comparison.model_copy(update={"verdict": verdict(comparison)})


def _certainty(
    one: Difference, estimate: statistics.Estimate, p_adjusted: float, share: float, effect: float
) -> dict[str, Any]:
    return {
        "interval": (max(estimate.low, -1.0), min(estimate.high, 1.0)),
        "bootstrap_interval": statistics.bootstrap_interval(one.values_SQ, LEVEL, _RESAMPLES, 0),
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "p_value": statistics.two_sided_p(estimate),
        "p_better": statistics.p_better(estimate),
        "p_adjusted": p_adjusted,
        "effect_size": statistics.effect_size(one.values_SQ),
        "minimum_detectable_effect": statistics.minimum_detectable_effect(estimate, POWER, share),
        "seeds_needed": SeedsNeeded(effect=effect, seeds=statistics.seeds_needed(estimate, effect, POWER, share)),
    }


def budget_ratios(first: Spent, second: Spent) -> dict[str, float]:
    """Return the ratio second / first for every budget axis that both conditions recorded."""
    both = {axis: (getattr(first, axis), getattr(second, axis)) for axis in BUDGET_AXES}
    return {axis: b / a for axis, (a, b) in both.items() if a and b is not None}


def matched_by(ratios: Mapping[str, float]) -> str:
    """Return the first budget, in the order of ``model.Comparison``, that both spent equally; "nothing" if none."""
    equal = (axis for axis in BUDGET_AXES if axis != "steps" and abs(ratios.get(axis, 0.0) - 1) <= MATCH_TOLERANCE)
    return next(equal, "nothing")
