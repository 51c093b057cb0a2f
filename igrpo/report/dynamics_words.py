"""Sentences on the learning dynamics, made from the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from igrpo.messages import count
from igrpo.report.bands import FEWEST_EVALUATIONS
from igrpo.report.dynamics_model import (
    AllWrong,
    Band,
    ClusteredMean,
    CourseDifference,
    Dynamics,
    GainDifference,
    Readings,
)
from igrpo.report.labels import capital, integer, listed, percent, points, signed
from igrpo.report.measures import AT_EQUAL_ACCURACY, MEASURES, UNITS, average_of, figure_of, measures_of

#: Decimals of a difference with a very narrow interval.
_MOST_DECIMALS = 6

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


def changes(figure: str, one: CourseDifference) -> list[str]:
    """Format a difference and the ends of its interval with signs, and with decimals that tell the ends apart."""
    decimals = 1 if figure == "length" else 3
    if one.interval is None:
        return [signed(one.difference, decimals)]
    width = one.interval[1] - one.interval[0]
    decimals = max(decimals, min(_MOST_DECIMALS, math.ceil(-math.log10(width)))) if width > 0 else decimals
    return [signed(value, decimals) for value in (one.difference, *one.interval)]


def _course_words(found: Dynamics, figure: str) -> Iterator[str]:
    tasks = list(dict.fromkeys(one.task for one in found.differences))
    for task in tasks:
        own = [one for one in found.differences if one.task == task and figure_of(one.measure) == figure]
        over = [one for one in own if one.axis == "percent"]
        name = average_of(figure, {one.measure for one in over})
        # the first step of training asks few questions, and chance moves their mean: starts are those of evaluations
        yield from _start_words(
            figure, [one for one in over if MEASURES[one.measure].held_out], task if len(tasks) > 1 else ""
        )
        for one in over:
            if one.measure == name:
                yield _difference_words(figure, one, [two for two in own if two.pair == one.pair])
    if not any(figure_of(one.measure) == figure for one in found.differences):
        yield from (_alone_words(figure, band) for band in _first_bands(found.bands, figure))


def _start_words(figure: str, over: Sequence[CourseDifference], task: str) -> Iterator[str]:
    starts = {name: start for one in over for name, start in zip(one.pair, one.starts, strict=True)}
    if not starts:
        return
    low, high = min(starts.values()), max(starts.values())
    when = "Before training" if all(one.between[0] == 0 for one in over) else "At the first evaluation"
    whose, _, asked = MEASURES[over[0].measure].panel.partition(", ")
    what = f"the {_noun(figure)} of {whose} ({asked})"
    where = f" on {task}" if task else ""
    if high - low <= _ALIKE * max(abs(low), abs(high)):
        mean = _with_unit(figure, number(figure, sum(starts.values()) / len(starts)))
        yield f"{when}{where}, {what} is alike in all conditions: {mean}."
    else:
        each = ", ".join(f"{name} {number(figure, start)}" for name, start in starts.items())
        yield (
            f"{when}{where}, {what} is not alike in all conditions ({each}), so part of a difference may be that of "
            "their starts."
        )


def _difference_words(figure: str, one: CourseDifference, of_pair: Sequence[CourseDifference]) -> str:
    first, second = one.pair
    measure = MEASURES[one.measure]
    text = (
        f"averaged over training ({measure.panel}; {count(one.points, 'evaluation' if measure.held_out else 'step')} "
        f"per run), the {_noun(figure)} of {second} is {number(figure, one.means[1])} and that of "
        f"{first} {_with_unit(figure, number(figure, one.means[0]))}: {_certainty(figure, one)}"
    )
    return f"{capital(text)}{_equal_words(figure, of_pair)}."


def _equal_words(figure: str, of_pair: Sequence[CourseDifference]) -> str:
    """Return what is known at equal accuracy, or why nothing is; empty for measures that are not compared there."""
    equal = [two for two in of_pair if two.axis == "accuracy"]
    if equal:
        return "".join(
            f"; at equal accuracy, from {percent(two.between[0])} to {percent(two.between[1])} % on the development "
            f"split, {_certainty(figure, two)}"
            for two in equal
        )
    for one in of_pair:
        if one.measure == AT_EQUAL_ACCURACY and one.points < FEWEST_EVALUATIONS:
            return (
                f"; at equal accuracy it was measured too rarely ({count(one.points, 'evaluation')} per run, and it "
                f"takes {FEWEST_EVALUATIONS}: lower evaluation.every)"
            )
        if one.measure == AT_EQUAL_ACCURACY:
            return "; the two have no range of accuracy in common"
    return ""


def _certainty(figure: str, one: CourseDifference) -> str:
    size, *edges = changes(figure, one)
    if one.interval is None:
        if one.seeds == 1:
            return f"a difference of {size} at one seed, which shows nothing"
        seeds = f"{one.seeds} seeds"
        return f"a difference of {size} at each of {seeds}" if one.difference else f"no difference at any of {seeds}"
    numbers = f"95 % interval {edges[0]} to {edges[1]}, {count(one.seeds, 'seed')}"
    if one.interval[0] > 0 or one.interval[1] < 0:
        return f"a difference of {size} ({numbers})"
    return f"no difference is shown ({size}, {numbers})"


def _alone_words(figure: str, band: Band) -> str:
    start, end = (number(figure, value) for value in (band.mean[0], band.mean[-1]))
    panel = MEASURES[band.measure].panel
    return f"The {_noun(figure)} of {band.condition} ({panel}) goes from {start} to {_with_unit(figure, end)}."


def _first_bands(bands: Sequence[Band], figure: str) -> list[Band]:
    over = [band for band in bands if band.axis == "percent"]
    measures = [name for name in measures_of(figure) if any(band.measure == name for band in over)]
    return [band for band in over if band.measure in measures[:1]]


def _gain_words(one: GainDifference) -> str:
    first, second = one.pair
    if all(mean.seeds == 1 for mean in one.bins.values()):
        each = [f"{points(mean.mean)} where it was {name}" for name, mean in one.bins.items()]
        return (
            f"At one seed {second} ends so many points above (+) or below (\N{MINUS SIGN}) {first}, by the share right "
            f"that chose the bin: {listed(each)}. This shows nothing: another seed may give another result."
        )
    sizes = {name: mean for name, mean in one.bins.items() if mean.interval is not None}
    shown = [name for name, mean in sizes.items() if mean.interval and (mean.interval[0] > 0 or mean.interval[1] < 0)]
    if not shown:
        return f"In no bin does {second} end measurably better or worse than {first}."
    rest = ". In the other bins no difference is shown." if len(shown) < len(one.bins) else "."
    return capital("; ".join(_bin_words(name, sizes[name], one.pair) for name in shown) + rest)


def _bin_words(name: str, mean: ClusteredMean, pair: tuple[str, str]) -> str:
    where = "above" if mean.mean > 0 else "below"
    return (
        f"where the share right that chose the bin was {name}, {pair[1]} ends {100 * abs(mean.mean):.1f} points "
        f"{where} {pair[0]} {_points_interval(mean)}"
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
