"""Aggregates over the tasks of a report: benchmarks and data sets on which the same methods were run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from igrpo.report.across_model import Across, Improvement, MethodScores
from igrpo.report.aggregates import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from igrpo.report.conditions import RunGroup
from igrpo.report.estimates import shares_by_seed
from igrpo.report.labels import listed, percent, probability
from igrpo.report.measures import SCORE
from igrpo.report.tasks import Task, methods_of

#: Splits that are no benchmarks.
_OWN_SPLITS = frozenset({"development", "test"})

RESAMPLES = 2000

#: Thresholds of the performance profile.
THRESHOLDS = tuple(i / 50 for i in range(51))

#: Scores by method, task and seed.
_Scores = dict[str, dict[str, dict[int, float]]]


def across(tasks: Sequence[Task], pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Across | None:
    """Aggregate over all tasks; None if fewer than two tasks have two methods in common.

    A task is the test split of a data set that runs were trained on, or a benchmark that they were evaluated on. Its
    score is the single-shot accuracy after training. Only methods with a score on every task are aggregated.
    """
    methods = methods_of(tasks)
    scores = _scores(tasks, methods)
    names = tuple(dict.fromkeys(task for by_task in scores.values() for task in by_task))
    whole = [method for method, by_task in scores.items() if all(task in by_task for task in names)]
    if len(names) < 2 or len(whole) < 2:
        return None
    seeds = min(len(scores[method][task]) for method in whole for task in names)
    matrices = {method: np.array([list(scores[method][task].values())[:seeds] for task in names]).T for method in whole}
    compared = dict.fromkeys((methods[a.name], methods[b.name]) for a, b in pairs)
    chosen = [pair for pair in compared if pair[0] != pair[1] and set(pair) <= set(whole)]
    found = Across(
        tasks=names,
        seeds=seeds,
        resamples=RESAMPLES,
        thresholds=THRESHOLDS,
        methods=tuple(_method(method, names, matrix) for method, matrix in matrices.items()),
        improvements=tuple(_improvement(pair, matrices) for pair in chosen or combinations(whole, 2)),
        left_out=tuple(_left_out(scores, whole, names, seeds)),
    )
    return found.model_copy(update={"readings": tuple(_readings(found))})


def _scores(tasks: Sequence[Task], methods: Mapping[str, str]) -> _Scores:
    found: _Scores = {}
    for task in tasks:
        for group in task.groups:
            own = found.setdefault(methods[group.name], {})
            shares = shares_by_seed(group, "single_shot")
            if shares is not None:
                own[task.name] = {seed: float(np.mean(list(row.values()))) for seed, row in sorted(shares.items())}
            for name, by_seed in _benchmarks(group).items():
                own[name if len(tasks) == 1 else f"{name} after {task.name}"] = by_seed
    return found


def _benchmarks(group: RunGroup) -> dict[str, dict[int, float]]:
    """Return the accuracies on benchmarks after the last step, of those that every run of the condition has."""
    found: dict[str, dict[int, float]] = {}
    for seed, run in sorted(group.runs.items()):
        for line in run.metrics:
            for metric, value in line.items():
                name = metric.removesuffix(SCORE)
                if line["step"] == run.steps and metric.endswith(SCORE) and name not in _OWN_SPLITS:
                    found.setdefault(name, {})[seed] = float(value)
    return {name: by_seed for name, by_seed in found.items() if len(by_seed) == len(group.runs)}


def _method(method: str, tasks: Sequence[str], scores_RM: np.ndarray) -> MethodScores:
    low, high = stratified_interval(interquartile_mean, scores_RM, resamples=RESAMPLES)
    profile_low, profile_high = stratified_interval(
        lambda scores: performance_profile(scores, THRESHOLDS), scores_RM, resamples=RESAMPLES
    )
    return MethodScores(
        method=method,
        scores={task: tuple(column) for task, column in zip(tasks, scores_RM.T.tolist(), strict=True)},
        mean=float(scores_RM.mean()),
        iqm=interquartile_mean(scores_RM),
        interval=(float(low), float(high)),
        profile=tuple(performance_profile(scores_RM, THRESHOLDS).tolist()),
        profile_low=tuple(profile_low.tolist()),
        profile_high=tuple(profile_high.tolist()),
    )


def _improvement(pair: tuple[str, str], matrices: Mapping[str, np.ndarray]) -> Improvement:
    first, second = (matrices[name] for name in pair)
    low, high = stratified_interval(probability_of_improvement, first, second, resamples=RESAMPLES)
    return Improvement(
        pair=pair, probability=probability_of_improvement(first, second), interval=(float(low), float(high))
    )


def _left_out(scores: _Scores, whole: Sequence[str], tasks: Sequence[str], seeds: int) -> Iterator[str]:
    for method, by_task in scores.items():
        if method not in whole:
            yield f"{method} is left out: it has no score on {listed([task for task in tasks if task not in by_task])}."
    more = sorted({task for method in whole for task in tasks if len(scores[method][task]) > seeds})
    if more:
        yield f"Only the first {seeds} seeds count, since a method has no more; there are others on {listed(more)}."


def _readings(found: Across) -> Iterator[str]:
    for one in found.improvements:
        first, second = one.pair
        low, high = one.interval
        text = (
            f"A run of {second} beats one of {first} on a task drawn at random with probability "
            f"{probability(one.probability)} (95 % interval {probability(low)} to {probability(high)})"
        )
        if low == high:
            text += ", since all resamples agree: more seeds would show a spread"
        yield f"{text}." if low > 0.5 or high < 0.5 else f"{text}, which shows no difference."
    ordered = sorted(found.methods, key=lambda one: -one.iqm)
    yield (
        f"The interquartile mean of accuracy over {len(found.tasks)} tasks is "
        + listed([f"{percent(one.iqm)} % for {one.method}" for one in ordered])
        + "."
    )
