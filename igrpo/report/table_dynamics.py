"""Tables of the learning dynamics and of the aggregates across tasks."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.report.dynamics_model import AllWrong, ClusteredMean, CourseDifference, Dynamics, GainBin
from igrpo.report.dynamics_words import changes, number
from igrpo.report.labels import bracket, capital, integer, pair_words, percent, points, probability
from igrpo.report.measures import MEASURES, UNITS, figure_of
from igrpo.report.model import Report
from igrpo.report.table import NONE, Table, ungrouped


def courses(found: Dynamics, figures: tuple[str, ...], title: str) -> list[Table]:
    """Return the table of differences in the course of measures of these figures; [] if nothing is compared."""
    groups = tuple(
        (_heading(*key), tuple(_course_row(one) for one in found.differences if (one.measure, one.axis) == key))
        for key in dict.fromkeys((one.measure, one.axis) for one in found.differences)
        if figure_of(key[0]) in figures
    )
    if not groups:
        return []
    note = (
        "Averages over training, or over the accuracies that both conditions passed at every seed; measured: how often "
        "in a run, at least (steps, or evaluations on the development split). The difference is the first condition "
        "named minus the second, paired by seed, with Student's t interval over the seeds; one seed has none."
    )
    head = ("pair", "between, %", "first", "second", "difference", "95 % interval", "seeds", "measured")
    return [Table(f"courses-{figures[0]}", title, head, groups, note)]


def gains(found: Dynamics) -> list[Table]:
    """Return the tables of gains by difficulty, and of the differences between conditions by the same bins."""
    if not found.gains:
        return []
    of_conditions = tuple((one.condition, tuple(map(_gain_row, one.bins))) for one in found.gains)
    how = {
        "halves": "one half of a question's samples at the start chose its bin while the other half measured, then the "
        "other way round",
        "other seeds": "the starts of the other seeds chose a question's bin",
    }
    chosen = "; or ".join(how[name] for name in dict.fromkeys(one.chosen_by for one in found.gains))
    splits = " or ".join(dict.fromkeys(one.split for one in found.gains))
    note = (
        f"Questions of the {splits} split; shares in %, gains in percentage points. So that regression to the mean is "
        f"no gain, {chosen}. Values: questions × seeds, each counted once for every way of choosing. Intervals are "
        "over questions and seeds (clustered by both); one seed has none."
    )
    head = ("share right, chosen by", "start, measured", "end, measured", "gain", "95 % interval", "values")
    tables = [Table("gains", "Gains by difficulty at the start", head, of_conditions, note)]
    if found.gain_differences:
        groups = tuple(
            (pair_words(one.pair), tuple((name, *_points_cells(mean)) for name, mean in one.bins.items()))
            for one in found.gain_differences
        )
        note = (
            "Difference of the shares right at the end, in percentage points, by the bins that the start of the second "
            "condition chose. Intervals are over questions and seeds, and one seed has none; those of a pair hold "
            "together (Bonferroni), since among several bins one may exclude 0 by chance."
        )
        columns = ("share right, chosen by", "difference", "95 % interval", "values")
        tables.append(Table("gain-differences", "Differences at the end by difficulty", columns, groups, note))
    return tables


def all_wrong(found: Dynamics) -> list[Table]:
    """Return the table of questions whose first answers were all wrong.

    [] without rollouts, and if no such question was asked again: the sentences then say all that is known.
    """
    if not any(one.again for one in found.all_wrong):
        return []
    head = (
        "condition",
        "visits",
        "all wrong",
        "all of its own wrong",
        "refinements right",
        "first visit all wrong",
        "asked again",
        "right by chance",
        "right at last visit",
    )
    compared = " or ".join(str(answers) for answers in dict.fromkeys(one.answers for one in found.all_wrong))
    note = (
        f"Shares in %. All wrong: of the first {compared} answers or drafts of a visit, the fewest of any condition; "
        "all of its own: of as many as the condition has. Refinements right: where all of its own drafts were wrong. "
        "Right by chance: of one answer of a first visit where all the others were wrong, which is what the same "
        "question would have given at once, or a little more. Intervals are over questions and seeds (clustered by "
        "both); one seed has none."
    )
    return [
        Table(
            "all-wrong",
            "Questions whose first answers were all wrong",
            head,
            ungrouped(map(_row, found.all_wrong)),
            note,
        )
    ]


def across(report: Report) -> list[Table]:
    """Return the tables of aggregates across tasks; [] with one task."""
    found = report.across
    if found is None:
        return []
    head = ("method", "interquartile mean", "95 % interval", "mean", *found.tasks)
    rows = ungrouped(
        (
            one.method,
            percent(one.iqm),
            bracket(*map(percent, one.interval)),
            percent(one.mean),
            *(", ".join(map(percent, one.scores[task])) for task in found.tasks),
        )
        for one in found.methods
    )
    note = (
        f"Single-shot accuracy after training in %, {found.seeds} seeds of each task. Intervals: percentiles of "
        f"{integer(found.resamples)} stratified bootstrap resamples; they are about other seeds of these tasks, not "
        "about other tasks, and too narrow with few seeds."
    )
    tables = [Table("across", "Accuracy over all tasks", head, rows, note)]
    pairs = ungrouped(
        (pair_words(one.pair), probability(one.probability), bracket(*map(probability, one.interval)))
        for one in found.improvements
    )
    note = (
        "Probability that a run of the first method named has a higher accuracy than one of the second on a task drawn "
        "at random; equal accuracies count one half."
    )
    tables.append(
        Table("improvement", "Probability of improvement", ("pair", "probability", "95 % interval"), pairs, note)
    )
    return tables


def dynamics_tables(report: Report) -> list[Table]:
    """Return all tables of both parts in the order of the page."""
    found = report.dynamics
    return [
        *courses(found, ("entropy",), "Entropy compared"),
        *courses(found, ("reward", "length"), "Reward and length compared"),
        *gains(found),
        *all_wrong(found),
        *across(report),
    ]


def _heading(measure: str, axis: str) -> str:
    figure = figure_of(measure)
    unit = f" ({UNITS[figure]})" if UNITS[figure] else ""
    where = "at equal accuracy" if axis == "accuracy" else "over training"
    return f"{capital(figure)} of {MEASURES[measure].panel}, {where}{unit}"


def _course_row(one: CourseDifference) -> tuple[str, ...]:
    figure = figure_of(one.measure)
    low, high = one.between if one.axis == "percent" else tuple(100 * edge for edge in one.between)
    difference, *edges = changes(figure, one)
    first, second = (number(figure, mean) for mean in one.means)
    return (
        pair_words(one.pair),
        f"{low:.0f} to {high:.0f}",
        second,
        first,
        difference,
        bracket(*edges) if edges else NONE,
        str(one.seeds),
        str(one.points),
    )


def _gain_row(one: GainBin) -> tuple[str, ...]:
    return (one.name, percent(one.start), percent(one.end), *_points_cells(one.gain))


def _points_cells(mean: ClusteredMean) -> Iterator[str]:
    yield points(mean.mean)
    yield NONE if mean.interval is None else bracket(*map(points, mean.interval))
    yield integer(mean.values)


def _row(one: AllWrong) -> tuple[str, ...]:
    return (
        one.condition,
        integer(one.visits),
        percent(one.share),
        f"{percent(one.own_share)} (of {one.own_answers})",
        _share(one.refined),
        integer(one.started),
        integer(one.again),
        _share(one.chance),
        _share(one.later),
    )


def _share(mean: ClusteredMean | None) -> str:
    if mean is None:
        return NONE
    return percent(mean.mean) + ("" if mean.interval is None else f" {bracket(*map(percent, mean.interval))}")
