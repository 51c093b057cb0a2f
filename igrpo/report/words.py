"""Verdict of a comparison as a sentence, and helpers to format it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from igrpo.report.model import Comparison

#: A difference counts as shown if its p-value after Holm's correction is below this.
SIGNIFICANCE = 0.05

#: With fewer seeds, the estimate of the variance between seeds is unreliable.
FEW_SEEDS = 3

#: Text for a comparison with one seed, instead of an interval and p-values.
ONE_SEED = "another seed may say otherwise; one seed has no interval and no p, several have (seed=0,1,2,3,4)"

#: Axes that describe an unmatched comparison, with the words for them.
_SPENT_WORDS = {
    "samples": "samples",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "flops": "FLOPs",
    "seconds": "seconds",
}


def verdict(c: Comparison) -> str:
    """Return the verdict of a comparison in words; the field ``verdict`` of the argument is ignored."""
    text = _finding(c)
    if c.identical_by_construction is not None:
        text = f"the two cannot differ but by chance ({c.identical_by_construction}): {text}"
    if c.matched_by == "nothing":
        text = f"budgets not matched ({spent_words(c.pair[1], c.pair[0], c.budget_ratios)}): {text}"
    return text


def _finding(c: Comparison) -> str:
    first, second = c.pair
    size = f"{count(c.seeds, 'seed')}, {c.problems} problems"
    if c.interval is None or c.p_value is None or c.p_adjusted is None or c.minimum_detectable_effect is None:
        return (
            f"{second} differs from {first} by {points(c.difference)} points ({size}), which shows nothing: {ONE_SEED}"
        )
    numbers = f"95 % interval {points(c.interval[0])} to {points(c.interval[1])}; {size}"
    few = f"; {c.seeds} seeds can hardly show the variance between seeds" if c.seeds < FEW_SEEDS else ""
    if c.p_adjusted < SIGNIFICANCE:
        where = "above" if c.difference > 0 else "below"
        return f"{second} is {abs(100 * c.difference):.1f} points {where} {first} ({numbers}){few}"
    shown = f"no difference shown between {second} and {first} ({points(c.difference)} points, {numbers})"
    if c.p_value < SIGNIFICANCE:
        return f"{shown}: what stands out alone does not after correcting for {c.family} comparisons{few}"
    if c.minimum_detectable_effect >= 1:
        return f"{shown}; this design could not have found a difference of any size{few}"
    found = f"{100 * c.minimum_detectable_effect:.1f} points with 80 % power"
    return f"{shown}; this design would have found {found}{few}"


def spent_words(second: str, first: str, ratios: Mapping[str, float]) -> str:
    """Describe how much of each budget the second condition spent relative to the first."""
    parts = [f"{ratios[axis]:.2f} times the {words}" for axis, words in _SPENT_WORDS.items() if axis in ratios]
    return f"{second} spent {listed(parts)} of {first}"


def points(share: float) -> str:
    """Format a share as percentage points with a sign."""
    text = f"{100 * share:+.1f}"
    return text if text.strip("+-0.") else "0.0"


def count(number: int, noun: str) -> str:
    """Format a number with a noun: '1 seed', '5 seeds'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Join parts to an enumeration: 'a', 'a and b', 'a, b and c'."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
