"""Synthetic reports for tests of figures, tables and the page; every number is a function of its indices."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from igrpo.report.dynamics_model import Dynamics
from igrpo.report.figures import Drawing, Figure, draw_figures, drawings
from igrpo.report.model import (
    Changes,
    Comparison,
    Condition,
    Curve,
    Example,
    Final,
    QuestionChange,
    Report,
    RunEntry,
    SeedCurve,
    SetupRow,
    Spent,
)
from tests.report import dynamics_cases

AXES = {
    "steps": 1.0,
    "samples": 128.0,
    "generated_tokens": 2_560.0,
    "trained_tokens": 3_100.0,
    "flops": 2.1e11,
    "seconds": 0.29,
}
STEPS = 60
HOSTILE = ("<script>alert(1)</script>", "50% & _x", 'a$b$ #2 {y} ^~\\ | `z` [l](u) "q" \'id="k"\'')

_GROUP_METRICS = ("groups/zero_variance_share", "answer/length_mean", "train/reward")
_DRAFT_METRICS = ("transfer/right_given_wrong", "copy/answer_rate", "refinement/length_mean", "refinement/reward_mean")


def wave(*place: float) -> float:
    """Return deterministic noise in [-1, 1]."""
    return math.sin(sum((i + 1) * 12.9898 * p for i, p in enumerate(place)) * 43.7585)


def course(metric: str, condition: int, seed: int, step: float) -> float:
    done = step / STEPS
    if metric.endswith("single_shot/accuracy"):
        return 0.40 + (0.54 - 0.05 * condition) * (1 - math.exp(-3 * done)) + 0.02 * wave(condition, seed, step)
    if metric.endswith("draft_conditioned/accuracy"):
        return 0.52 + (0.34 - 0.01 * condition) * (1 - math.exp(-3 * done)) + 0.03 * wave(condition, seed, step, 2)
    if metric.endswith("entropy"):
        return 0.17 * math.exp(-(2.0 - 0.2 * condition) * done) + 0.006 * wave(condition, seed, step, 3) + 0.02
    if metric.endswith("length_mean"):
        return 14 + 4 * done + condition + 0.5 * wave(condition, seed, step, 4)
    return 0.5 + 0.3 * done - 0.03 * condition + 0.08 * wave(condition, seed, step, 5)


def curve(condition: str, number: int, metric: str, axis: str, *, seeds: tuple[int, ...], steps: list[int]) -> Curve:
    lines = []
    for seed in seeds:
        y = tuple(course(metric, number, seed, step) for step in steps)
        if axis in AXES:
            x = tuple(
                AXES[axis] * step * (1 + 0.01 * number * (axis != "steps") + 0.005 * seed * (axis == "seconds"))
                for step in steps
            )
        else:
            x = tuple(course(axis, number, seed, step) for step in steps)
        lines.append(SeedCurve(seed=seed, x=x, y=y))
    columns = list(zip(*(line.y for line in lines), strict=True))
    xs = list(zip(*(line.x for line in lines), strict=True))
    return Curve(
        condition=condition,
        metric=metric,
        axis=axis,
        lines=tuple(lines),
        x=tuple(sum(c) / len(c) for c in xs),
        mean=tuple(sum(c) / len(c) for c in columns),
        low=tuple(min(c) for c in columns),
        high=tuple(max(c) for c in columns),
    )


def curves(condition: str, number: int, seeds: tuple[int, ...], *, drafts: bool, entropy: bool) -> list[Curve]:
    evaluated, every = list(range(0, STEPS + 1, 10)), list(range(1, STEPS + 1))
    accuracy = "development/single_shot/accuracy"
    found = [curve(condition, number, accuracy, axis, seeds=seeds, steps=evaluated) for axis in AXES]
    found.append(
        curve(condition, number, "development/draft_conditioned/accuracy", "steps", seeds=seeds, steps=evaluated)
    )
    stepwise = _GROUP_METRICS + (_DRAFT_METRICS if drafts else ())
    found += [curve(condition, number, metric, "steps", seeds=seeds, steps=every) for metric in stepwise]
    if entropy:
        for source in ("train", "refinement") if drafts else ("train",):
            found.append(curve(condition, number, f"{source}/entropy", "steps", seeds=seeds, steps=every))
            found.append(curve(condition, number, f"{source}/entropy", accuracy, seeds=seeds, steps=evaluated))
    return found


def final(condition: str, number: int, metric: str, seeds: tuple[int, ...]) -> Final:
    per_seed = {seed: course(metric, number, seed, STEPS) for seed in seeds}
    mean = sum(per_seed.values()) / len(seeds)
    return Final(
        condition=condition,
        metric=metric,
        mean=mean,
        interval=(mean - 0.031 - 0.002 * number, mean + 0.027 + 0.002 * number),
        per_seed=per_seed,
        before=course(metric, 0, 0, 0),
        problems=256,
        samples_per_problem=4,
    )


def comparison(first: Final, second: Final, family: int, number: int, by_construction: str | None = None) -> Comparison:
    differences = {seed: second.per_seed[seed] - first.per_seed[seed] for seed in first.per_seed}
    difference = sum(differences.values()) / len(differences)
    worse = "below" if difference < 0 else "above"
    certainty: dict[str, Any] = {
        "interval": (difference - 0.042, difference + 0.042),
        "bootstrap_interval": (difference - 0.029, difference + 0.028),
        "degrees_of_freedom": 5.3 + number,
        "p_value": 0.0123 * (number + 1),
        "p_better": 0.0271 / (number + 1),
        "p_adjusted": min(1.0, 0.0123 * (number + 1) * family),
        "effect_size": difference / 0.02,
        "minimum_detectable_effect": 0.047,
    }
    return Comparison(
        **certainty if len(differences) > 1 else {},
        pair=(first.condition, second.condition),
        metric=first.metric,
        matched_by="samples",
        budget_ratios={
            "samples": 1.0,
            "generated_tokens": 1.0 + 0.011 * number,
            "trained_tokens": 0.531,
            "seconds": 1.213,
        },
        difference=difference,
        family=family if len(differences) > 1 else 0,
        seeds=len(differences),
        problems=256,
        seed_differences=differences,
        identical_by_construction=by_construction,
        verdict=f"{second.condition} ends {abs(100 * difference):.1f} points {worse} {first.condition} at equal samples.",
    )


def example(condition: str, *, better: bool) -> Example:
    """A long refinement of a draft, with markup that a page must not take for its own."""
    long = "So 3 * 4 = 12, and <b>12</b> - 5 = 7.\n" * 8 + "x" * 300
    return Example(
        condition=condition,
        seed=0,
        step=STEPS,
        question_id="q/17",
        question="What is 3 * 4 - 5? </pre><script>alert(3)</script>",
        gold="7",
        draft="3 * 4 = 13, so 8",
        draft_outcome="wrong" if better else "right",
        refinement=long,
        refinement_outcome="right" if better else "wrong",
    )


def changes(first: str, second: str, metric: str) -> Changes:
    return Changes(
        pair=(first, second),
        metric=metric,
        seeds=3,
        questions=256,
        right_in_both=120,
        became_right=9,
        became_wrong=21,
        wrong_in_both=106,
        gains=(QuestionChange(id="q/3", first=0.25, second=1.0), QuestionChange(id="q/40", first=0.5, second=0.75)),
        losses=(QuestionChange(id="q/5", first=1.0, second=0.0),),
    )


SETUP = (
    SetupRow(name="model", value="tiny, 337,152 parameters", differs=False),
    SetupRow(name="budget", value="60 steps × 16 questions × 8 completions = 7,680 samples", differs=False),
    SetupRow(name="learning rate", value="0.0003 (grpo); 0.0001 (igrpo)", differs=True),
    SetupRow(name="fingerprint of model", value="6113e26f3691 (seed 0); 596d198fcfea (seed 1)", differs=False),
)


def report(
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    *,
    entropy: bool = True,
    dynamics: bool = False,
    notes: tuple[str, ...] = ("Only a test.",),
) -> Report:
    """Make a report with one condition per name; the first is the baseline and has no drafts.

    ``dynamics``: with the learning dynamics, and the aggregates across tasks.
    """
    metrics = ("test/single_shot/accuracy", "test/draft_conditioned/accuracy")
    finals = [final(name, i, metric, seeds) for metric in metrics for i, name in enumerate(names)]
    family = (len(names) - 1) * len(metrics)
    compared = [
        comparison(group[0], one, family, i, "one update a batch: the ratio is 1" if i == 3 else None)
        for group in (finals[: len(names)], finals[len(names) :])
        for i, one in enumerate(group[1:])
    ]
    runs = [
        RunEntry(name=f"{name}-{seed}", condition=name, seed=seed, status="finished", steps=STEPS)
        for name in names
        for seed in seeds
    ]
    crashed = RunEntry(
        name="stopped-9", condition=names[-1], seed=9, status="failed", steps=17, excluded="it failed at step 17"
    )
    return Report(
        title=f"{names[-1]} against {names[0]}" if len(names) == 2 else f"{len(names)} conditions",
        created="2026-01-02T03:04:05+00:00",
        igrpo_version="0.1.0",
        sources=("runs/a", "runs/b"),
        runs=(*runs, crashed),
        conditions=tuple(
            Condition(
                name=name,
                settings={"algorithm.name": "igrpo" if i else "grpo", "algorithm.drafts": "4" if i else "–"},
                seeds=seeds,
                spent=Spent(
                    steps=float(STEPS),
                    samples=10_240.0,
                    generated_tokens=205_312.0 + i,
                    prefilled_tokens=24_001.0 * (i + 1),
                    trained_tokens=250_123.0 / (i + 1),
                    flops=None if name == "no flops" else 1.26e13 * (i + 1),
                    seconds=37.8 + i,
                    seconds_by_phase={"generation": 10.9 + i, "update": 11.4, **({"reward_wait": 0.4} if i else {})},
                ),
            )
            for i, name in enumerate(names)
        ),
        baseline=names[0],
        finals=tuple(finals),
        comparisons=tuple(compared),
        curves=tuple(c for i, name in enumerate(names) for c in curves(name, i, seeds, drafts=i > 0, entropy=entropy)),
        notes=notes,
        setup=SETUP,
        examples=tuple(example(names[-1], better=better) for better in (True, False)),
        changes=tuple(changes(names[0], name, metrics[0]) for name in names[1:]),
        dynamics=dynamics_cases.dynamics(names, len(seeds)) if dynamics else Dynamics(),
        across=dynamics_cases.across(names) if dynamics else None,
    )


TWO = report(("GRPO", "iGRPO"), (0, 1, 2, 3, 4))
EIGHT = report(
    (
        "grpo",
        "igrpo",
        "igrpo, random pick",
        "igrpo, worst pick",
        "igrpo, objective=dapo",
        "igrpo, 2 drafts",
        "igrpo, 6 drafts",
        "no flops",
    ),
    (0, 1, 2),
    dynamics=True,
    notes=("Three seeds are few: the intervals are wide.", "igrpo, 6 drafts: 2 of 3 runs have finished."),
)
ONE_SEED = report(("GRPO", "iGRPO"), (0,), notes=("One seed: nothing is known about the spread between seeds.",))
NO_ENTROPY = report(("GRPO", "iGRPO"), (0, 1, 2), entropy=False)
HOSTILE_NAMES = report(HOSTILE, (0, 1), dynamics=True, notes=("<img src=x onerror=alert(2)> & more",))
CASES = {"two": TWO, "eight": EIGHT, "one-seed": ONE_SEED, "no-entropy": NO_ENTROPY, "hostile": HOSTILE_NAMES}


@cache
def figures_of(case: str) -> list[Figure]:
    """Render the figures of a case, once for all tests."""
    return draw_figures(CASES[case])


@cache
def drawings_of(case: str) -> list[Drawing]:
    """Draw the figures of a case without rendering, once for all tests."""
    return drawings(CASES[case])
