"""Sentences on the learning dynamics, made from the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from igrpo.messages import count
from igrpo.report.dynamics_model import (
    AllWrong,
    Band,
    ClusteredMean,
    CourseDifference,
    Dynamics,
    GainDifference,
    Readings,
)
from igrpo.report.labels import capital, integer, percent, points, signed
from igrpo.report.measures import AT_EQUAL_ACCURACY, MEASURES, UNITS, figure_of, measures_of

#: Starts count as common if they differ by at most this share of the larger one.
_ALIKE = 0.02


def readings(found: Dynamics) -> Readings:
    """Return the sentences of all parts. A figure is read from its first measure that is compared."""
    return Readings(
        entropy=tuple(_course_words(found, "entropy")),
        reward=tuple(_course_words(found, "reward")),
        length=tuple(_course_words(found, "length")),
        difficulty=tuple(_gain_words(one) for one in found.gain_differences),
        all_wrong=tuple(text for one in found.all_wrong for text in _all_wrong_words(one)),
    )


def all_sentences(found: Dynamics) -> list[str]:
    """Return the sentences of all parts in the order of the page."""
    parts = found.readings
    return [*parts.entropy, *parts.reward, *parts.length, *parts.difficulty, *parts.all_wrong, *found.missing]


def number(figure: str, value: float) -> str:
    """Format a value of a figure: lengths with one decimal, others with three."""
    return f"{value:.1f}" if figure == "length" else f"{value:.3f}"


def change(figure: str, value: float) -> str:
    """Format a difference of a figure with its sign."""
    return signed(value, 1 if figure == "length" else 3)


def _course_words(found: Dynamics, figure: str) -> Iterator[str]:
    tasks = list(dict.fromkeys(one.task for one in found.differences))
    for task in tasks:
        own = [one for one in found.differences if one.task == task and figure_of(one.measure) == figure]
        measures = [name for name in measures_of(figure) if any(one.measure == name for one in own)]
        for name in measures[:1]:
            over = [one for one in own if (one.measure, one.axis) == (name, "percent")]
            if MEASURES[name].held_out:  # the first step of training asks few questions, and chance moves their mean
                yield from _start_words(figure, over, task if len(tasks) > 1 else "")
            for one in over:
                equal = [two for two in own if (two.measure, two.axis, two.pair) == (name, "accuracy", one.pair)]
                yield _difference_words(figure, one, equal)
    if not any(figure_of(one.measure) == figure for one in found.differences):
        yield from (_alone_words(figure, band) for band in _first_bands(found.bands, figure))


def _start_words(figure: str, over: Sequence[CourseDifference], task: str) -> Iterator[str]:
    starts = {name: start for one in over for name, start in zip(one.pair, one.starts, strict=True)}
    if not starts:
        return
    low, high = min(starts.values()), max(starts.values())
    if high - low <= _ALIKE * max(abs(low), abs(high)):
        mean = sum(starts.values()) / len(starts)
        everyone = f"All conditions on {task}" if task else "All conditions"
        yield f"{everyone} start alike, at {_with_unit(figure, number(figure, mean))}."
    else:
        each = ", ".join(f"{name} at {number(figure, start)}" for name, start in starts.items())
        yield f"The conditions do not start alike ({each}), so part of a difference may be that of their starts."


def _difference_words(figure: str, one: CourseDifference, equal: Sequence[CourseDifference]) -> str:
    first, second = one.pair
    text = (
        f"averaged over training, the {_noun(figure)} of {second} is {number(figure, one.means[1])} and that of "
        f"{first} {_with_unit(figure, number(figure, one.means[0]))}: {_certainty(figure, one)}"
    )
    for two in equal:
        low, high = two.between
        text += f"; at equal accuracy, from {percent(low)} to {percent(high)} %, {_certainty(figure, two)}"
    if not equal and one.measure == AT_EQUAL_ACCURACY:
        text += "; the two have no range of accuracy in common"
    return f"{capital(text)}."


def _certainty(figure: str, one: CourseDifference) -> str:
    size = f"a difference of {change(figure, one.difference)}"
    if one.interval is None:
        return f"{size}, which {'one seed' if one.seeds == 1 else f'each of {one.seeds} seeds'} has"
    low, high = one.interval
    shown = "" if low > 0 or high < 0 else ", which shows none"
    return f"{size} (95 % interval {change(figure, low)} to {change(figure, high)}, {count(one.seeds, 'seed')}){shown}"


def _alone_words(figure: str, band: Band) -> str:
    start, end = (number(figure, value) for value in (band.mean[0], band.mean[-1]))
    return f"The {_noun(figure)} of {band.condition} goes from {start} to {_with_unit(figure, end)}."


def _first_bands(bands: Sequence[Band], figure: str) -> list[Band]:
    over = [band for band in bands if band.axis == "percent"]
    measures = [name for name in measures_of(figure) if any(band.measure == name for band in over)]
    return [band for band in over if band.measure in measures[:1]]


def _gain_words(one: GainDifference) -> str:
    first, second = one.pair
    sizes = {name: mean for name, mean in one.bins.items() if mean.interval is not None}
    shown = [name for name, mean in sizes.items() if mean.interval and (mean.interval[0] > 0 or mean.interval[1] < 0)]
    if not shown:
        return f"In no bin does {second} end measurably better or worse than {first}."
    return capital(
        "; ".join(
            f"where the share right at the start was {name}, {second} ends {100 * abs(sizes[name].mean):.1f} points "
            f"{'above' if sizes[name].mean > 0 else 'below'} {first} {_points_interval(sizes[name])}"
            for name in shown
        )
        + (". In the other bins no difference is shown." if len(shown) < len(one.bins) else ".")
    )


def _points_interval(mean: ClusteredMean) -> str:
    return "" if mean.interval is None else f"[{points(mean.interval[0])}, {points(mean.interval[1])}]"


def _all_wrong_words(one: AllWrong) -> Iterator[str]:
    text = (
        f"{one.condition}: at {percent(one.share)} % of {integer(one.visits)} visits the first {one.answers} answers "
        "are all wrong"
    )
    if one.refined is not None:
        text += f"; where all drafts are wrong, {percent(one.refined.mean)} % of the refinements are right"
    if one.later is not None and one.chance is not None:
        text += (
            "; of the questions that were all wrong when first asked and were asked again, "
            f"{percent(one.later.mean)} % of the answers at the last visit are right, where chance alone would give at "
            f"most about {percent(one.chance.mean)} %"
        )
    elif one.started:
        text += "; none of them was asked again, so what became of them is not known"
    yield f"{text}."


def _noun(figure: str) -> str:
    return {"entropy": "entropy", "reward": "mean reward", "length": "mean length"}[figure]


def _with_unit(figure: str, text: str) -> str:
    return f"{text} {UNITS[figure]}".rstrip()
