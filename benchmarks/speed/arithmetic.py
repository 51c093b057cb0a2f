"""From measured runs to the numbers of benchmarks/results/bench.json. Nothing is measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

#: Cases in which igrpo is compared with TRL, and those in which iGRPO is compared with GRPO.
AGAINST_TRL = ("S_short", "S_long", "S_uniform", "M_short")
BOTH_ALGORITHMS = ("S_short", "S_long")
MEMORY_CASE, LIMIT_CASE = "M_short", "S_short"
TRL, GRPO, IGRPO = "trl", "grpo", "igrpo"

#: Runs of one case: for each of ``TRL``, ``GRPO`` and ``IGRPO`` (both of igrpo), its runs in the order of repetitions.
Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def seconds(run: Mapping[str, Any], part: str = "step") -> float:
    """Return the median of a part's seconds over the measured steps of a run."""
    return statistics.median(step[part] for step in run["steps"])


def ratio(numerators: Sequence[Mapping[str, Any]], denominators: Sequence[Mapping[str, Any]]) -> float:
    """Return the median over repetitions of the ratio of two runs' seconds per step.

    The two runs of a repetition follow each other, so a machine that gets slower slows down both.
    """
    return statistics.median(seconds(a) / seconds(b) for a, b in zip(numerators, denominators, strict=True))


def medians(runs: Runs) -> dict[str, dict[str, float]]:
    """Return, by program, the medians over repetitions: seconds of a step and of its parts, and the peak memory."""
    found = {}
    for program, repeated in runs.items():
        parts = [part for part in ("step", "generation", "training", "update") if part in repeated[0]["steps"][0]]
        found[program] = {part: statistics.median(seconds(run, part) for run in repeated) for part in parts}
        found[program]["peak_mib"] = statistics.median(run["peak_mib"] for run in repeated)
    return found


def over_limit(grpo: Mapping[str, float], flops: Mapping[str, int], rates: Mapping[str, float]) -> dict[str, float]:
    """Return measured seconds over the seconds that the matrix products alone need, from the medians of GRPO.

    ``train`` and ``decode`` have the operations of the distinct work, ``train_unshared`` those of every row.
    """
    train, decode = flops["train"] / rates["train"], flops["decode"] / rates["decode"]
    decode += flops["prefill"] / rates["train"]
    return {
        "train": grpo["update"] / train,
        "decode": grpo["generation"] / decode,
        "train_unshared": grpo["update"] / (flops["train_unshared"] / rates["train"]),
    }


def results(
    runs: Mapping[str, Runs], flops: Mapping[str, Mapping[str, int]], rates: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return the main numbers, by the names that bench.json has; None where the runs that it needs were left out."""
    middle = {case: medians(of_case) for case, of_case in runs.items()}
    limits = {case: over_limit(middle[case][GRPO], flops[case], rates[case]) for case in runs}
    memory = {case: found[GRPO]["peak_mib"] / found[TRL]["peak_mib"] for case, found in middle.items() if TRL in found}

    def over_grpo(program: str, cases: Sequence[str]) -> dict[str, float | None]:
        known = {case: ratio(of_case[program], of_case[GRPO]) for case, of_case in runs.items() if program in of_case}
        return {case: known.get(case) for case in cases}

    return {
        "ratio_vs_trl": over_grpo(TRL, AGAINST_TRL),
        "igrpo_over_grpo": over_grpo(IGRPO, BOTH_ALGORITHMS),
        "peak_memory_vs_trl": memory.get(MEMORY_CASE),
        "train_over_limit": limits.get(LIMIT_CASE, {}).get("train"),
        "decode_over_limit": limits.get(LIMIT_CASE, {}).get("decode"),
        "peak_memory_vs_trl_by_case": memory,
        "over_limit_by_case": limits,
        "medians": middle,
    }


def utilisation(step_seconds: float, flops: Mapping[str, int], peak_tflops: float) -> float:
    """Return the share of a device's ``peak_tflops`` that a GRPO step's operations are of, each row on its own."""
    return (flops["train_unshared"] + flops["decode"] + flops["prefill"]) / step_seconds / peak_tflops / 1e12


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of a straight line through the logarithms, by least squares: 1 is proportional growth."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    return statistics.linear_regression(x, y).slope


def check_tokens(name: str, program: str, run: Mapping[str, Any], expected: int) -> None:
    """Raise if a step of a run has sampled another number of tokens than the case has.

    Raises:
        ValueError: the lengths are not those of the case, so the programs did not do the same work.
    """
    for step in run["steps"]:
        if step["generated_tokens"] != expected:
            raise ValueError(
                f"{name}, {program}: a step sampled {step['generated_tokens']:g} tokens, and the case has {expected}: "
                "the engine did not keep the lengths of benchmarks/speed/workload.py, so nothing is compared"
            )
