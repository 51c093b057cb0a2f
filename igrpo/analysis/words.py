"""What a comparison says, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: A difference counts as shown below this p, after Holm's correction.
SIGNIFICANCE = 0.05

#: With fewer, the variance between seeds is a guess.
FEW_SEEDS = 3

#: Axes by which an unmatched comparison is described, and their words.
_SPENT_WORDS = {
    "samples": "samples",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "flops": "FLOPs",
    "seconds": "seconds",
}


def verdict(
    pair: tuple[str, str],
    *,
    difference: float,
    interval: tuple[float, float],
    p_value: float,
    p_adjusted: float,
    family: int,
    seeds: int,
    problems: int,
    minimum_detectable_effect: float,
    matched_by: str,
    budget_ratios: Mapping[str, float],
    identical_by_construction: str | None,
) -> str:
    """The reading of one comparison; see ``model.Comparison`` for the arguments."""
    first, second = pair
    numbers = (
        f"95 % interval {points(interval[0])} to {points(interval[1])}; {count(seeds, 'seed')}, {problems} problems"
    )
    if p_adjusted < SIGNIFICANCE:
        where = "above" if difference > 0 else "below"
        text = f"{second} is {abs(100 * difference):.1f} points {where} {first} ({numbers})"
    else:
        shown = f"no difference shown between {second} and {first} ({points(difference)} points, {numbers})"
        if p_value < SIGNIFICANCE:
            text = f"{shown}: what stands out alone does not after correcting for {family} comparisons"
        elif minimum_detectable_effect >= 1:
            text = f"{shown}; this design could not have found a difference of any size"
        else:
            text = f"{shown}; this design would have found {100 * minimum_detectable_effect:.1f} points with 80 % power"
    if identical_by_construction is not None:
        text = f"the two cannot differ but by chance ({identical_by_construction}): {text}"
    if matched_by == "nothing":
        text = f"budgets not matched ({spent_words(second, first, budget_ratios)}): {text}"
    return f"{text}{_few(seeds)}"


def spent_words(second: str, first: str, ratios: Mapping[str, float]) -> str:
    """How much of each budget the second spent for one unit of the first."""
    parts = [f"{ratios[axis]:.2f} times the {words}" for axis, words in _SPENT_WORDS.items() if axis in ratios]
    return f"{second} spent {listed(parts)} of {first}"


def _few(seeds: int) -> str:
    if seeds == 1:
        return "; one seed can show no variance between seeds, so that another seed may say otherwise"
    return f"; {seeds} seeds can hardly show the variance between seeds" if seeds < FEW_SEEDS else ""


def points(share: float) -> str:
    """Percentage points with their sign."""
    text = f"{100 * share:+.1f}"
    return text if text.strip("+-0.") else "0.0"


def count(number: int, noun: str) -> str:
    """'1 seed', '5 seeds'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
