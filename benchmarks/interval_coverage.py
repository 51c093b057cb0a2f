"""How often 95 % intervals over seeds and problems cover the truth: the numbers in igrpo/analysis/intervals.py.

    python benchmarks/interval_coverage.py

Gaussian effects: the mean and the three mean squares are independent and have known distributions. So the mean squares
are drawn directly, and the coverage given them is exact, 2 Phi(half-width / sd) - 1. The first table has the lowest and
highest coverage over 81 pairs of expected mean squares of seeds and problems (1 to 1000 times the residual's) at
Q = 40, 100 and 250. The bootstrap and the last table, answers through a logit model, draw whole matrices.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from igrpo.analysis.intervals import bootstrap_interval, crossed_variance, mean_squares

Array = NDArray[np.float64]
HalfWidth = Callable[[Array, Array, Array, int, int], Array]

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

# Student's t quantile by 1 / df, where it is smooth: scipy's takes most of the time otherwise.
_INVERSE = np.linspace(1e-6, 1.0, 20_000)
_QUANTILES = stats.t.ppf(0.5 + LEVEL / 2, 1 / _INVERSE)


def t_quantile(df: Array | float) -> Array:
    return np.asarray(np.interp(1 / np.asarray(df), _INVERSE, _QUANTILES))


def ours(a: Array, b: Array, e: Array, seeds: int, problems: int) -> Array:
    variance, df = crossed_variance(a, b, e, seeds=seeds, problems=problems)
    return np.sqrt(variance) * t_quantile(df)


def satterthwaite(a: Array, b: Array, e: Array, seeds: int, problems: int, *, least: Array | float = 0.0) -> Array:
    """The unbiased variance and its degrees of freedom, as in the books. Width 0 where the variance is not positive."""
    total = np.maximum(a + b - e, least)
    error = a**2 / (seeds - 1) + b**2 / (problems - 1) + e**2 / ((seeds - 1) * (problems - 1))
    return np.sqrt(total / (seeds * problems)) * t_quantile(np.maximum(total**2 / error, 1.0))


def satterthwaite_cut(a: Array, b: Array, e: Array, seeds: int, problems: int) -> Array:
    return satterthwaite(a, b, e, seeds, problems, least=np.maximum(a, b))


def seed_means(a: Array, b: Array, e: Array, seeds: int, problems: int) -> Array:
    return np.sqrt(a / (seeds * problems)) * t_quantile(seeds - 1)


def problem_means(a: Array, b: Array, e: Array, seeds: int, problems: int) -> Array:
    return np.sqrt(b / (seeds * problems)) * t_quantile(problems - 1)


METHODS: dict[str, HalfWidth] = {
    "igrpo": ours,
    "Satterthwaite": satterthwaite,
    "S., V at least the larger": satterthwaite_cut,
    "t over seed means": seed_means,
    "t over problem means": problem_means,
}


def coverage(method: HalfWidth, seeds: int, problems: int, expected: tuple[float, float, float]) -> float:
    """In percent, at the ``expected`` mean squares of seeds, problems and residual."""
    a, b, e = expected
    draws_a, draws_b, draws_e = relative_mean_squares(seeds, problems)
    half = method(a * draws_a, b * draws_b, e * draws_e, seeds, problems)
    sd = math.sqrt((a + b - e) / (seeds * problems))
    return 100 * float((2 * special.ndtr(half / sd) - 1).mean())


@functools.cache
def relative_mean_squares(seeds: int, problems: int) -> tuple[Array, ...]:
    """Over their expectations; the same draws for every method and every expectation."""
    draw = np.random.default_rng([seeds, problems])
    dfs = (seeds - 1, problems - 1, (seeds - 1) * (problems - 1))
    return tuple(draw.chisquare(df, DRAWS) / df for df in dfs)


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
        half[moving] = ours(*mean_squares(values_RSQ[moving]), seeds, problems)
        hits.append(100 * float((np.abs(values_RSQ.mean((1, 2)) - truth) <= half).mean()))
    return hits[0], hits[1]


def print_row(name: str, cells: list[str]) -> None:
    print(f"{name:32}" + "".join(f"{cell:>14}" for cell in cells))


def main() -> None:
    start = time.process_time()
    print("Lowest to highest coverage in percent over all variance components, Gaussian")
    print_row("S", [str(seeds) for seeds in SEEDS])
    for name, method in METHODS.items():
        cells = []
        for seeds in SEEDS:
            grid = itertools.product(PROBLEMS, RATIOS, RATIOS)
            found = [coverage(method, seeds, problems, (a, b, 1.0)) for problems, a, b in grid]
            cells.append(f"{min(found):.1f} - {max(found):.1f}")
        print_row(name, cells)
    columns = [(seeds, problems) for seeds in (3, 5, 10) for problems in (40, 250)]
    for name, method in METHODS.items():
        print(f"\n{name}: coverage in percent, Gaussian (columns: S x Q)")
        print_row("", [f"{seeds} x {problems}" for seeds, problems in columns])
        for setting, sds in SETTINGS.items():
            print_row(setting, [f"{at_setting(method, *column, sds):.1f}" for column in columns])
    print("\nPercentile bootstrap, Gaussian, error about 1")
    for setting, sds in ((name, SETTINGS[name]) for name in ("seeds alone", "seeds above all", "residual alone")):
        print_row(setting, [f"{bootstrap_coverage(*column, sds):.0f}" for column in columns])
    print("\nigrpo, answers through a logit model, 4 samples: the difference / the accuracy, error about 0.5")
    columns = [(seeds, problems) for seeds in (2, 3, 5, 10) for problems in (40, 250)]
    print_row("", [f"{seeds} x {problems}" for seeds, problems in columns])
    for setting, (logits, spread) in ANSWERS.items():
        found_pairs = [answer_coverage(*column, logits, spread) for column in columns]
        print_row(setting, [f"{difference:.1f} / {accuracy:.1f}" for difference, accuracy in found_pairs])
    print(f"\n{time.process_time() - start:.0f} s of CPU")


if __name__ == "__main__":
    main()
