"""How often 95 % intervals over seeds and problems cover the truth, and how often a family of tests errs.

    python benchmarks/interval_coverage.py        (some minutes of one core; writes results/interval_coverage.json)

Gaussian effects: the mean and the three mean squares are independent and have known distributions. So the mean squares
are drawn directly, and the coverage given them is exact, 2 Phi(half-width / sd) - 1. The first tables have the lowest
and highest coverage, and the highest chance of a p below 0.001, over 81 pairs of expected mean squares of seeds and
problems (1 to 1000 times the residual's) at Q = 40, 100 and 250. The bootstrap, the answers through a logit model and
the families draw whole matrices.

A family: 1 to 13 conditions that all equal a common baseline, each compared with it, corrected by Holm. The error is
the chance that any of them is called different; with all of them equal that is when the smallest p is below 0.05 / m.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from igrpo.report.intervals import bootstrap_interval, crossed_terms, half_width, mean_squares
from igrpo.report.statistics import planned_minimum_detectable_effect

Array = NDArray[np.float64]

#: Mean squares of seeds, problems and residual.
Squares = tuple[Array, Array, Array]

#: Of a level, from the mean squares, S and Q.
HalfWidth = Callable[[float, Squares, int, int], Array]

LEVEL = 0.95
SEEDS, PROBLEMS = (2, 3, 4, 5, 10, 20), (40, 100, 250)
RATIOS = (1, 1.1, 1.25, 2, 3, 10, 30, 100, 1000)
DRAWS, MATRICES, REPEATS = 10_000, 2_000, 400

#: Standard deviations of the seeds, the problems and the residual.
SETTINGS = {
    "seeds alone": (0.10, 0.0, 0.10),
    "seeds above all": (0.05, 0.10, 0.30),
    "problems alone": (0.0, 0.30, 0.10),
    "problems and residual": (0.0, 0.20, 0.30),
    "residual alone": (0.0, 0.0, 0.30),
    "a little of seeds": (0.01, 0.10, 0.30),
    "all alike": (0.03, 0.30, 0.30),
}

#: Logits of the two conditions, then standard deviations on the logit scale: difficulty that both share, seed of a
#: condition, problem of a condition, and one run's problem.
ANSWERS = {
    "50 % and 57 %, mixed": ((0.0, 0.5), (2.0, 0.3, 0.5, 0.5)),
    "50 % and 59 %, seeds differ": ((0.0, 0.5), (1.0, 0.8, 0.2, 0.2)),
    "50 % and 58 %, problems differ": ((0.0, 0.5), (1.0, 0.0, 1.5, 0.2)),
    "50 % and 60 %, sampling alone": ((0.0, 0.5), (1.0, 0.0, 0.0, 0.0)),
    "92 % and 97 %, mixed": ((3.5, 4.5), (1.5, 0.3, 0.5, 0.5)),
    "0.9 % and 0.9 %, mixed": ((-6.0, -6.0), (1.5, 0.3, 0.5, 0.5)),
}

FAMILY_SEEDS, FAMILIES, CHUNK = (2, 3, 4, 5, 10), (1, 2, 3, 4, 6, 13), 50

#: Logit, samples per problem and standard deviations as in ANSWERS; samples None: Gaussian values in place of answers.
EQUALS: dict[str, tuple[float, int | None, tuple[float, ...]]] = {
    **{
        f"Gaussian, seeds {seed:g}, problems {problem:g}": (0.0, None, (0.0, seed, problem, 1.0))
        for seed, problem in itertools.product((0, 0.3, 1), (0, 0.3, 1))
    },
    **{
        f"{name}, {samples} samples, seeds {seed:g}, problems {problem:g}": (logit, samples, (1.5, seed, problem, 0.3))
        for (name, logit), samples, seed, problem in itertools.product(
            {"50 %": 0.0, "89 %": 2.5}.items(), (1, 4), (0, 0.3, 1), (0, 1.5)
        )
    },
    "50 %, 4 samples, no effect at all": (0.0, 4, (0.0, 0.0, 0.0, 0.0)),
    "98 %, 4 samples, nearly all right": (5.0, 4, (1.5, 0.3, 0.5, 0.3)),
}


@functools.cache
def inverse_quantiles(level: float) -> tuple[Array, Array]:
    """Student's t quantile by 1 / df, where it is smooth: scipy's takes most of the time otherwise."""
    inverse = np.linspace(1e-6, 1.0, 20_000)
    return inverse, stats.t.ppf(0.5 + level / 2, 1 / inverse)


def t_quantile(level: float, df: Array | float) -> Array:
    return np.asarray(np.interp(1 / np.asarray(df), *inverse_quantiles(level)))


def ours(level: float, squares: Squares, seeds: int, problems: int) -> Array:
    return half_width(crossed_terms(*squares, seeds=seeds, problems=problems), level)


def one_t(level: float, squares: Squares, seeds: int, problems: int) -> Array:
    """One t quantile, 1 / df = sum w_i / df_i: what igrpo had before. Good at 95 %, too small in the tails."""
    a, b, e = squares
    excess = np.maximum(b - e, 0.0)
    missing = np.maximum(0.25 * e - a - excess, 0.0)
    total = a + excess + missing
    inverse = np.maximum(a / (seeds - 1) + excess / (problems - 1) + missing / ((seeds - 1) * (problems - 1)), 1e-300)
    return np.sqrt(total / (seeds * problems)) * t_quantile(level, np.maximum(total / inverse, 1.0))


def satterthwaite(level: float, squares: Squares, seeds: int, problems: int, *, least: Array | float = 0.0) -> Array:
    """The unbiased variance and its degrees of freedom, as in the books. Width 0 where the variance is not positive."""
    a, b, e = squares
    total = np.maximum(a + b - e, least)
    error = a**2 / (seeds - 1) + b**2 / (problems - 1) + e**2 / ((seeds - 1) * (problems - 1))
    return np.sqrt(total / (seeds * problems)) * t_quantile(level, np.maximum(total**2 / error, 1.0))


def satterthwaite_cut(level: float, squares: Squares, seeds: int, problems: int) -> Array:
    return satterthwaite(level, squares, seeds, problems, least=np.maximum(*squares[:2]))


def seed_means(level: float, squares: Squares, seeds: int, problems: int) -> Array:
    return np.sqrt(squares[0] / (seeds * problems)) * t_quantile(level, seeds - 1)


def problem_means(level: float, squares: Squares, seeds: int, problems: int) -> Array:
    return np.sqrt(squares[1] / (seeds * problems)) * t_quantile(level, problems - 1)


METHODS: dict[str, HalfWidth] = {
    "igrpo": ours,
    "one t, weighted df": one_t,
    "Satterthwaite": satterthwaite,
    "S., V at least the larger": satterthwaite_cut,
    "t over seed means": seed_means,
    "t over problem means": problem_means,
}


def coverage(
    method: HalfWidth, seeds: int, problems: int, expected: tuple[float, float, float], level: float = LEVEL
) -> float:
    """In percent, at the ``expected`` mean squares of seeds, problems and residual."""
    a, b, e = expected
    draws_a, draws_b, draws_e = relative_mean_squares(seeds, problems)
    half = method(level, (a * draws_a, b * draws_b, e * draws_e), seeds, problems)
    sd = math.sqrt((a + b - e) / (seeds * problems))
    return 100 * float((2 * special.ndtr(half / sd) - 1).mean())


@functools.cache
def relative_mean_squares(seeds: int, problems: int) -> tuple[Array, ...]:
    """Over their expectations; the same draws for every method and every expectation."""
    draw = np.random.default_rng([seeds, problems])
    dfs = (seeds - 1, problems - 1, (seeds - 1) * (problems - 1))
    return tuple(draw.chisquare(df, DRAWS) / df for df in dfs)


def over_the_grid(method: HalfWidth, seeds: int, level: float) -> tuple[float, float]:
    """Lowest and highest coverage over the expected mean squares, in percent."""
    grid = itertools.product(PROBLEMS, RATIOS, RATIOS)
    found = [coverage(method, seeds, problems, (a, b, 1.0), level) for problems, a, b in grid]
    return min(found), max(found)


def at_setting(method: HalfWidth, seeds: int, problems: int, sds: tuple[float, float, float]) -> float:
    a, b, e = (sd**2 for sd in sds)
    return coverage(method, seeds, problems, (e + problems * a, e + seeds * b, e))


def bootstrap_coverage(seeds: int, problems: int, sds: tuple[float, float, float]) -> float:
    draw = np.random.default_rng([1, seeds, problems])
    hits = 0
    for _ in range(REPEATS):
        shapes = ((seeds, 1), (1, problems), (seeds, problems))
        values_SQ = sum(sd * draw.normal(size=shape) for sd, shape in zip(sds, shapes, strict=True))
        low, high = bootstrap_interval(values_SQ, LEVEL, resamples=400)
        hits += low <= 0 <= high
    return 100 * hits / REPEATS


def answer_coverage(
    seeds: int, problems: int, logits: tuple[float, float], sds: tuple[float, ...], samples: int = 4
) -> tuple[float, float]:
    """Of the interval for the difference and for the first condition's accuracy, in percent."""
    draw = np.random.default_rng([2, seeds, problems])
    shapes = ((MATRICES, 1, problems), (MATRICES, seeds, 1), (MATRICES, 1, problems), (MATRICES, seeds, problems))
    shared = sds[0] * draw.normal(size=shapes[0])
    values = []
    for logit in logits:
        own = sum(sd * draw.normal(size=shape) for sd, shape in zip(sds[1:], shapes[1:], strict=True))
        values.append(draw.binomial(samples, special.expit(logit + shared + own)) / samples)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = math.sqrt(sum(sd**2 for sd in sds))
    truths = [float(weights @ special.expit(logit + spread * nodes) / weights.sum()) for logit in logits]
    pairs = ((values[1] - values[0], truths[1] - truths[0]), (values[0], truths[0]))
    hits = []
    for values_RSQ, truth in pairs:
        moving = np.ptp(values_RSQ, axis=(1, 2)) > 0  # the rest has the rule for constant matrices
        half = np.full(MATRICES, 1 - (1 - LEVEL) ** (1 / problems))
        half[moving] = ours(LEVEL, mean_squares(values_RSQ[moving]), seeds, problems)
        hits.append(100 * float((np.abs(values_RSQ.mean((1, 2)) - truth) <= half).mean()))
    return hits[0], hits[1]


def equal_conditions(draw: np.random.Generator, seeds: int, problems: int, equals: str) -> Array:
    """Differences [CHUNK, m, S, Q] of the largest family to their common baseline; the true ones are 0."""
    logit, samples, sds = EQUALS[equals]
    conditions = max(FAMILIES) + 1
    shapes = ((1, 1, problems), (conditions, seeds, 1), (conditions, 1, problems), (conditions, seeds, problems))
    values = logit + sum(
        sd * draw.standard_normal((CHUNK, *shape), np.float32) for sd, shape in zip(sds, shapes, strict=True)
    )
    if samples is not None:
        values = sum(draw.random(values.shape, np.float32) < special.expit(values) for _ in range(samples)) / samples
    return values[:, 1:] - values[:, :1]


def family_errors(
    methods: dict[str, HalfWidth], seeds: int, problems: int, repeats: int, equals: str
) -> dict[str, dict[int, float]]:
    """By method and size of the family: the chance that Holm's correction lets any of them pass, in percent.

    The conditions make as many families of each size as they can.
    """
    draw = np.random.default_rng([3, seeds, problems])
    shares: dict[str, dict[int, list[float]]] = {name: {size: [] for size in FAMILIES} for name in methods}
    for _ in range(repeats // CHUNK):
        values = equal_conditions(draw, seeds, problems, equals)
        squares, means = mean_squares(values), np.abs(values.mean((-2, -1)))
        moving = np.ptp(values, axis=(-2, -1)) > 0  # the rest has the rule for constant matrices, and a mean of 0
        for (name, method), size in itertools.product(methods.items(), FAMILIES):
            apart = (means > method(1 - 0.05 / size, squares, seeds, problems)) & moving
            families = apart[:, : apart.shape[1] // size * size].reshape(CHUNK, -1, size)
            shares[name][size].append(100 * float(families.any(-1).mean()))
    return {name: {size: float(np.mean(found)) for size, found in by_size.items()} for name, by_size in shares.items()}


def worst_family_errors(repeats: int) -> dict[str, dict[int, dict[int, tuple[float, str]]]]:
    """By method, seeds and size: the highest error of a family over EQUALS at 40 and 250 problems, and where it is."""
    methods = {name: METHODS[name] for name in ("igrpo", "one t, weighted df")}
    none = dict.fromkeys(FAMILIES, (0.0, ""))
    worst = {name: {seeds: dict(none) for seeds in FAMILY_SEEDS} for name in methods}
    for seeds, problems, equals in itertools.product(FAMILY_SEEDS, (40, 250), EQUALS):
        for name, errors in family_errors(methods, seeds, problems, repeats, equals).items():
            for size, error in errors.items():
                worst[name][seeds][size] = max(worst[name][seeds][size], (error, f"{equals}, Q = {problems}"))
    return worst


def power(method: HalfWidth, seeds: int, seed_sd: float, effect: float, level: float) -> float:
    """The chance of finding ``effect`` between two conditions at 50 %, 100 problems of 4 samples, as in the plan."""
    problems, residual, between = 100, 2 * 0.25 * 2 / 3 / 4, 2 * 0.25 / 3 * 0.1
    a, b = residual + problems * seed_sd**2, residual + seeds * between
    draws_a, draws_b, draws_e = relative_mean_squares(seeds, problems)
    half = method(level, (a * draws_a, b * draws_b, residual * draws_e), seeds, problems)
    sd = math.sqrt((a + b - residual) / (seeds * problems))
    return 100 * float(special.ndtr((effect - half) / sd).mean())


def print_row(name: str, cells: list[str]) -> None:
    print(f"{name:44}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=2000, help="sets of conditions drawn for each setting, 50 at a time"
    )
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "interval_coverage.json")
    arguments = parser.parse_args()
    start = time.process_time()
    results: dict[str, object] = {"draws": DRAWS, "repeats": arguments.repeats}

    print("Lowest to highest coverage in percent over all variance components, Gaussian")
    print_row("S", [str(seeds) for seeds in SEEDS])
    grid = {name: {seeds: over_the_grid(method, seeds, LEVEL) for seeds in SEEDS} for name, method in METHODS.items()}
    for name, by_seeds in grid.items():
        print_row(name, [f"{low:.1f} - {high:.1f}" for low, high in by_seeds.values()])
    results["coverage_percent"] = grid

    print("\nHighest chance of p < 0.001 over all variance components, Gaussian, in units of 0.001")
    tails = {
        name: {seeds: (100 - over_the_grid(METHODS[name], seeds, 0.999)[0]) / 0.1 for seeds in SEEDS}
        for name in ("igrpo", "one t, weighted df", "Satterthwaite")
    }
    for name, worst in tails.items():
        print_row(name, [f"{ratio:.1f}" for ratio in worst.values()])
    results["p_below_0.001_in_units_of_0.001"] = tails

    columns = [(seeds, problems) for seeds in (3, 5, 10) for problems in (40, 250)]
    for name, method in METHODS.items():
        print(f"\n{name}: coverage in percent, Gaussian (columns: S x Q)")
        print_row("", [f"{seeds} x {problems}" for seeds, problems in columns])
        for setting, sds in SETTINGS.items():
            print_row(setting, [f"{at_setting(method, *column, sds):.1f}" for column in columns])

    print("\nPercentile bootstrap, Gaussian, error about 1")
    bootstrap = {}
    for setting in ("seeds alone", "seeds above all", "residual alone"):
        by_size = {f"{s} x {q}": bootstrap_coverage(s, q, SETTINGS[setting]) for s, q in columns}
        print_row(setting, [f"{percent:.0f}" for percent in by_size.values()])
        bootstrap[setting] = by_size
    results["bootstrap_coverage_percent"] = bootstrap

    print("\nigrpo, answers through a logit model, 4 samples: the difference / the accuracy, error about 0.5")
    columns = [(seeds, problems) for seeds in (2, 3, 5, 10) for problems in (40, 250)]
    print_row("", [f"{seeds} x {problems}" for seeds, problems in columns])
    answers = {}
    for setting, (logits, spread) in ANSWERS.items():
        pairs = {f"{s} x {q}": answer_coverage(s, q, logits, spread) for s, q in columns}
        print_row(setting, [f"{difference:.1f} / {accuracy:.1f}" for difference, accuracy in pairs.values()])
        answers[setting] = pairs
    results["answers_coverage_percent"] = answers

    print("\nFamilies of equal conditions, Holm at 5 %: the highest error of any setting, in percent (columns: m)")
    families = worst_family_errors(arguments.repeats)
    for name, by_seeds_and_size in families.items():
        print_row(f"{name}: S", [str(size) for size in FAMILIES])
        for seeds, by_size_and_place in by_seeds_and_size.items():
            print_row(str(seeds), [f"{error:.1f}" for error, _ in by_size_and_place.values()])
    results["family_error_percent"] = families

    print("\nWhat it costs: power in percent at the effect that the plan names for 80 %, 100 problems, 4 samples")
    print_row("S, seeds' sd, m", ["effect", "igrpo", "one t"])
    cost = []
    for seeds, seed_sd, size in itertools.product((2, 3, 5, 10), (0.0, 0.03), (1, 4, 13)):
        level = 1 - 0.05 / size
        effect = planned_minimum_detectable_effect(seeds=seeds, problems=100, samples=4, seed_sd=seed_sd, level=level)
        found = {name: power(METHODS[name], seeds, seed_sd, effect, level) for name in families}
        print_row(f"{seeds}, {seed_sd}, {size}", [f"{100 * effect:.1f}", *(f"{one:.0f}" for one in found.values())])
        cost.append({"seeds": seeds, "seed_sd": seed_sd, "family": size, "effect": effect, "power_percent": found})
    results["power"] = cost

    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{time.process_time() - start:.0f} s of CPU; results in {arguments.results}")


if __name__ == "__main__":
    main()
