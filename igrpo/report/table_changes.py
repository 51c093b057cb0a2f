"""Tables of the test questions whose answers changed between compared conditions."""

from __future__ import annotations

from igrpo.report.labels import capital, integer, pair_words, quantity
from igrpo.report.model import Changes, QuestionChange, Report, by_metric
from igrpo.report.table import Table


def changes(report: Report) -> list[Table]:
    """Return the counts of changed questions, and the questions of the first accuracy that changed most."""
    if not report.changes:
        return []
    groups = tuple(
        (capital(quantity(metric).full), tuple(_counts(one) for one in found))
        for metric, found in by_metric(report.changes).items()
    )
    head = ("pair", "right in both", "became right", "became wrong", "wrong in both", "seeds × questions")
    note = (
        "Numbers of test questions, from the condition named last to the one named first. A question counts as right "
        "if more than half of its answers are, over all seeds and samples."
    )
    counts = Table("changes", "Test questions that became right or wrong", head, groups, note)
    return [counts, *_largest(next(iter(by_metric(report.changes).values())))]


def _counts(one: Changes) -> tuple[str, ...]:
    cells = (one.right_in_both, one.became_right, one.became_wrong, one.wrong_in_both)
    return (pair_words(one.pair), *map(integer, cells), f"{one.seeds} × {one.questions:,}")


def _largest(found: list[Changes]) -> list[Table]:
    groups = tuple(
        (f"{one.pair[0]} → {one.pair[1]}", tuple(_row(one.metric, row) for row in (*one.gains, *one.losses)))
        for one in found
        if one.gains or one.losses
    )
    if not groups:
        return []
    note = (
        "Right answers in %, mean over seeds and samples. The largest gains and losses of a pair in "
        f"{quantity(found[0].metric).words}; many questions change by chance alone."
    )
    head = ("question", "from", "to", "change")
    return [Table("questions", "Test questions that changed most", head, groups, note)]


def _row(metric: str, row: QuestionChange) -> tuple[str, ...]:
    what = quantity(metric)
    return (row.id, what.value(row.first), what.value(row.second), what.change(row.second - row.first))
