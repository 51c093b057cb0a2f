"""The numbers of a report: what conditions reached on the test split, and paired differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from igrpo.report import statistics
from igrpo.report.conditions import Group
from igrpo.report.curves import AXES
from igrpo.report.equivalence import identical_by_construction
from igrpo.report.model import Comparison, Final, Spent
from igrpo.report.run_files import Verdicts
from igrpo.report.words import verdict

Metric = Literal["single_shot", "greedy", "draft_conditioned"]

#: What is compared; the first is the headline.
METRICS: tuple[Metric, ...] = ("single_shot", "greedy", "draft_conditioned")

LEVEL, POWER = 0.95, 0.8

#: Two conditions spent the same of a budget when they differ by no more than this share.
MATCH_TOLERANCE = 0.02

_RESAMPLES = 2000

#: An interval takes two values at least.
_FEWEST = 2

_Matrix = NDArray[np.float64]

#: Verdicts by seed and problem: the share right.
_BySeed = dict[int, Mapping[str, float]]


def _by_seed(group: Group, metric: Metric, *, before: bool = False) -> _BySeed | None:
    """The verdicts of every seed; None where one of them has none."""
    found: _BySeed = {}
    for seed, run in group.runs.items():
        verdicts = run.before if before else run.after
        if verdicts is None or not (of_metric := _of(verdicts, metric)):
            return None
        found[seed] = of_metric
    return found


def _of(verdicts: Verdicts, metric: Metric) -> Mapping[str, float]:
    return {
        "single_shot": verdicts.single_shot,
        "greedy": verdicts.greedy,
        "draft_conditioned": verdicts.draft_conditioned,
    }[metric]


def _metric_name(metric: Metric) -> str:
    return f"test/{metric}/accuracy"


def final(group: Group, metric: Metric) -> Final | None:
    """What the condition reached, and from where; None where a run has no verdicts of this metric, or all there is is
    one problem at one seed."""
    after, before = _by_seed(group, metric), _by_seed(group, metric, before=True)
    if after is None:
        return None
    values_SQ, problems = _matrix(list(after.values()))
    if values_SQ.size < _FEWEST:
        return None
    estimate = statistics.crossed_estimate(values_SQ, LEVEL)
    samples = min(run.after.samples for run in group.runs.values() if run.after is not None)
    return Final(
        condition=group.name,
        metric=_metric_name(metric),
        mean=estimate.mean,
        interval=(max(estimate.low, 0.0), min(estimate.high, 1.0)),
        per_seed=dict(zip(after, values_SQ.mean(axis=1).tolist(), strict=True)),
        before=None if before is None else float(_matrix(list(before.values()))[0].mean()),
        problems=problems,
        samples_per_problem=1 if metric == "greedy" else samples,
    )


def _matrix(rows_S: Sequence[Mapping[str, float]]) -> tuple[_Matrix, int]:
    """Seeds by the problems that all of them have, and how many these are.

    Seeds that have no problem in common give one mean each (Q = 1), and the number is that of the fewest of a seed: the
    seeds' means are then all that can be compared.
    """
    common = [problem for problem in rows_S[0] if all(problem in row for row in rows_S)]
    if common:
        return np.array([[row[problem] for problem in common] for row in rows_S]), len(common)
    return np.array([[fmean(row.values())] for row in rows_S]), min(map(len, rows_S))


@dataclass(frozen=True, slots=True)
class Difference:
    """Second minus first condition, seeds and problems paired: S x Q differences of the share right."""

    first: Group
    second: Group
    seeds: tuple[int, ...]
    values_SQ: _Matrix
    problems: int

    @classmethod
    def of(cls, first: Group, second: Group, metric: Metric) -> Difference | None:
        """None where one of them has no verdicts of this metric, or they have too little in common to be compared."""
        a, b = _by_seed(first, metric), _by_seed(second, metric)
        if a is None or b is None:
            return None
        seeds = tuple(sorted(a.keys() & b.keys()))
        common = {seed: a[seed].keys() & b[seed].keys() for seed in seeds}
        if not seeds or not all(common.values()):
            return None
        if set.intersection(*map(set, common.values())):
            _, problems, values_SQ = statistics.paired_differences(a, b)
            found = cls(first, second, seeds, values_SQ, len(problems))
        else:  # every seed was tested on problems of its own
            rows = [{problem: b[seed][problem] - a[seed][problem] for problem in common[seed]} for seed in seeds]
            found = cls(first, second, seeds, *_matrix(rows))
        return found if found.values_SQ.size >= _FEWEST else None


def comparisons(
    pairs: Sequence[tuple[Group, Group]], metric: Metric, spent: Mapping[str, Spent]
) -> Iterator[Comparison]:
    """The comparisons of one metric. Those of several seeds are the family that Holm's correction is over; one seed
    cannot tell a difference from chance, and its comparison has a difference alone."""
    found = [one for pair in pairs if (one := Difference.of(*pair, metric)) is not None]
    tested = [one for one in found if len(one.seeds) > 1]
    estimates = [statistics.crossed_estimate(one.values_SQ, LEVEL) for one in tested]
    adjusted = statistics.holm([statistics.two_sided_p(estimate) for estimate in estimates])
    share = 1 - (1 - LEVEL) / max(len(tested), 1)  # of each comparison (Bonferroni)
    certainty = {
        (one.first.name, one.second.name): _certainty(one, estimate, p_adjusted, share)
        for one, estimate, p_adjusted in zip(tested, estimates, adjusted, strict=True)
    }
    for one in found:
        pair = (one.first.name, one.second.name)
        ratios = budget_ratios(spent[pair[0]], spent[pair[1]])
        comparison = Comparison(
            pair=pair,
            metric=_metric_name(metric),
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


def _certainty(one: Difference, estimate: statistics.Estimate, p_adjusted: float, share: float) -> dict[str, Any]:
    return {
        "interval": (max(estimate.low, -1.0), min(estimate.high, 1.0)),
        "bootstrap_interval": statistics.bootstrap_interval(one.values_SQ, LEVEL, _RESAMPLES, 0),
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "p_value": statistics.two_sided_p(estimate),
        "p_better": statistics.p_better(estimate),
        "p_adjusted": p_adjusted,
        "effect_size": statistics.effect_size(one.values_SQ),
        "minimum_detectable_effect": statistics.minimum_detectable_effect(estimate, POWER, share),
    }


def budget_ratios(first: Spent, second: Spent) -> dict[str, float]:
    """Second over first, for every axis that both counted."""
    both = {axis: (getattr(first, axis), getattr(second, axis)) for axis in AXES}
    return {axis: b / a for axis, (a, b) in both.items() if a and b is not None}


def matched_by(ratios: Mapping[str, float]) -> str:
    """The first budget, in the order of ``model.Comparison``, that both spent equally; "nothing" where none is."""
    equal = (axis for axis in AXES if axis != "steps" and abs(ratios.get(axis, 0.0) - 1) <= MATCH_TOLERANCE)
    return next(equal, "nothing")
