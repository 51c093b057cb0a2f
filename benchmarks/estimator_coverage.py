"""How often the 95 % intervals of an evaluation's estimators cover the truth, and how often the paired test errs.

    python benchmarks/estimator_coverage.py        (some minutes of one core; writes results/estimator_coverage.json)

The probability of a right sample varies between questions with a Beta distribution, so that the true pass@k, worst@k,
G-Pass@k and mG-Pass@k are means over a beta-binomial distribution. Two models have the same probabilities (the test
should find nothing), or the second one's are lower by a shift of their logits; the true difference is a mean over a
million questions.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from scipy.stats import betabinom

from igrpo.evaluation.bootstrap import bootstrap, centred, percentile_bounds
from igrpo.evaluation.columns import count_columns
from igrpo.evaluation.estimators import share_interval
from igrpo.evaluation.paired import paired_difference
from igrpo.evaluation.right_counts import g_pass_table, mg_pass_table, pass_table, worst_table

#: Difficulties: mean accuracy and the sum of the two parameters (large: questions hardly differ).
DIFFICULTIES = {"even": (0.5, 2.0), "hard": (0.1, 5.0), "all or nothing": (0.5, 0.6)}
SIZES = [(30, 8), (30, 64), (200, 8)]
SHIFTS = (0.0, 0.5)
#: Coverage in percent that counts as close to nominal.
CLOSE = 93
_QUESTIONS_OF_TRUTH = 1_000_000


def tables(n: int, k: int) -> dict[str, np.ndarray]:
    """The metrics of k of n samples, by the number of right ones."""
    return {
        "pass": pass_table(n, k),
        "worst": worst_table(n, k),
        "G-Pass 0.75": g_pass_table(n, k, 0.75),
        "mG-Pass": mg_pass_table(n, k),
    }


def coverage(draws: int, questions: int, n: int, mean: float, total: float) -> dict[str, dict[str, float]]:
    """Share of the draws whose interval covers the truth, by metric and method, in percent."""
    a, b = mean * total, (1 - mean) * total
    ks = (n // 4, n)
    found = {"accuracy": (pass_table(n, 1), n, mean)}
    for k in ks:
        right = betabinom.pmf(np.arange(k + 1), k, a, b)
        truths = {name: float(right @ table) for name, table in tables(k, k).items()}
        for name, table in tables(n, k).items():
            found[f"{name} @ {'n' if k == n else 'n/4'}"] = (table, n // k, truths[name])
    truth_M = np.array([truth for *_, truth in found.values()])
    rng = np.random.default_rng(20260209)
    hits = {"interval": np.zeros(len(found)), "bootstrap": np.zeros(len(found)), "two levels": np.zeros(len(found))}
    for _ in range(draws):
        right_Q = rng.binomial(n, rng.beta(a, b, size=questions))
        columns = count_columns(
            tuple(found), [block for _, block, _ in found.values()], [t for t, *_ in found.values()], right_Q, rng
        )
        values_QM = columns.measured.tops_QJM[:, 0]
        bounds = {
            "interval": np.array(
                [share_interval(values_QM[:, i].tolist(), columns.blocks[i]) for i in range(len(found))]
            ),
            "bootstrap": percentile_bounds(bootstrap(columns.measured, rng), 0.95),
            "two levels": percentile_bounds(centred(bootstrap(columns.resampled, rng), columns.values), 0.95),
        }
        for method, bounds_M in bounds.items():
            hits[method] += (bounds_M[:, 0] <= truth_M) & (truth_M <= bounds_M[:, 1])
    return {
        name: {method: round(100 * float(hits[method][i]) / draws, 1) for method in hits}
        for i, name in enumerate(found)
    }


def paired(draws: int, questions: int, samples: int, *, mean: float, total: float, shift: float) -> dict[str, float]:
    """Coverage of the interval of the difference, and share of the draws with p <= 0.05, in percent."""
    a, b = mean * total, (1 - mean) * total
    rng = np.random.default_rng(20260210)

    def lowered(chances: np.ndarray) -> np.ndarray:
        return expit(logit(np.clip(chances, 1e-12, 1 - 1e-12)) - shift)

    many = rng.beta(a, b, size=_QUESTIONS_OF_TRUTH)
    truth = float((many - lowered(many)).mean()) if shift else 0.0
    covered = found = 0
    for _ in range(draws):
        chances = rng.beta(a, b, size=questions)
        first, second = rng.binomial(samples, chances), rng.binomial(samples, lowered(chances))
        result = paired_difference(list(zip(first.tolist(), second.tolist(), strict=True)), (samples, samples))
        covered += result.low <= truth <= result.high
        found += result.p <= 0.05
    return {"coverage": round(100 * covered / draws, 1), "p_at_most_0.05": round(100 * found / draws, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400, help="evaluations drawn for each setting")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "estimator_coverage.json")
    arguments = parser.parse_args()
    by_setting, of_pairs = {}, {}
    for (questions, n), (name, (mean, total)) in ((size, one) for size in SIZES for one in DIFFICULTIES.items()):
        setting = f"{questions} x {n}, {name}"
        by_setting[setting] = coverage(arguments.draws, questions, n, mean, total)
        for metric, percents in by_setting[setting].items():
            print(f"{setting:32}{metric:20}" + "".join(f"{m}: {p:5.1f}   " for m, p in percents.items()), flush=True)
    for questions, samples in [(30, 1), *SIZES, (200, 1)]:
        for name, (mean, total) in DIFFICULTIES.items():
            for shift in SHIFTS:
                setting = f"{questions} x {samples}, {name}, {'equal' if shift == 0 else 'shifted'}"
                of_pairs[setting] = paired(4 * arguments.draws, questions, samples, mean=mean, total=total, shift=shift)
                print(f"{setting:40}{of_pairs[setting]}", flush=True)
    summary = {
        method: {
            "lowest": min(one[method] for metrics in by_setting.values() for one in metrics.values()),
            "highest": max(one[method] for metrics in by_setting.values() for one in metrics.values()),
            "close": sum(one[method] >= CLOSE for metrics in by_setting.values() for one in metrics.values()),
        }
        for method in ("interval", "bootstrap", "two levels")
    }
    pairs = {
        "lowest_coverage": min(one["coverage"] for one in of_pairs.values()),
        "highest_coverage": max(one["coverage"] for one in of_pairs.values()),
        "highest_error_of_equal_models": max(
            one["p_at_most_0.05"] for setting, one in of_pairs.items() if setting.endswith("equal")
        ),
    }
    print(json.dumps({"coverage": summary, "pairs": pairs}, indent=1))
    results: dict[str, object] = {
        "draws": arguments.draws,
        "nominal_percent": 95,
        "close_percent": CLOSE,
        "cases": sum(map(len, by_setting.values())),
        "coverage_percent": summary,
        "pairs_percent": pairs,
    }
    results |= {"by_setting": by_setting, "by_pair": of_pairs}
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
