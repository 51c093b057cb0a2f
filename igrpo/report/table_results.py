"""Tables of the results of conditions and of the differences between them.

Shares are in %, differences of shares in percentage points, both with one decimal; other numbers state their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from igrpo.report.labels import bracket, capital, pair_words, probability, quantity, signed
from igrpo.report.model import Comparison, Final, Report
from igrpo.report.table import NONE, Table

_Part = TypeVar("_Part", Final, Comparison)


class _Rows(NamedTuple):
    """Rows of a table and its headings."""

    rows: tuple[tuple[str, ...], ...]
    headings: tuple[tuple[str, int], ...]


def results(report: Report) -> list[Table]:
    """Return the table of each condition's results; [] if nothing was evaluated after training."""
    if not report.finals:
        return []
    note = (
        "Shares in %, changes in percentage points, both rounded to 0.1. Per seed: in ascending order of the seed "
        f"({_seed_words(report.finals)}). Size: problems × samples a problem."
    )
    if any(len(final.per_seed) == 1 for final in report.finals):
        note += " With one seed the interval is about that seed's test questions alone."
    head = ("condition", "after", "95 % interval", "before", "change", "per seed", "size")
    rows = _by_metric(report.finals, _final_row, change=False)
    return [Table("results", "Results after training", head, rows.rows, note, headings=rows.headings)]


def comparisons(report: Report) -> list[Table]:
    """Return the sizes and the certainties of all differences as two tables that fit a page; [] with one condition."""
    compared = report.comparisons
    if not compared:
        return []
    size_head = ("pair", "matched by", "difference", "95 % interval", "bootstrap interval", "per seed", "size")
    sizes = _by_metric(compared, _size_row, change=True)
    head = ("pair", "P(better)", "p", "p adjusted", "effect size", "MDE", "df")
    tables = [Table("differences", "Differences", size_head, sizes.rows, _size_note(compared), 2, sizes.headings)]
    tested = [c for c in compared if c.interval is not None]
    if tested:
        tests, note = _by_metric(tested, _certainty_row, change=True), _certainty_note(tested)
        tables.append(Table("certainty", "Certainty and power", head, tests.rows, note, 1, tests.headings))
    return tables


def _final_row(final: Final) -> tuple[str, ...]:
    what = quantity(final.metric)
    interval = bracket(*map(what.value, final.interval))
    before = (
        (NONE, NONE) if final.before is None else (what.value(final.before), what.change(final.mean - final.before))
    )
    seeds = ", ".join(what.value(value) for _, value in sorted(final.per_seed.items()))
    size = f"{final.problems} × {final.samples_per_problem}"
    return (final.condition, what.value(final.mean), interval, *before, seeds, size)


def _size_row(c: Comparison) -> tuple[str, ...]:
    what = quantity(c.metric)
    intervals = (
        NONE if edges is None else bracket(*map(what.change, edges)) for edges in (c.interval, c.bootstrap_interval)
    )
    seeds = ", ".join(what.change(value) for _, value in sorted(c.seed_differences.items()))
    matched = c.matched_by.replace("_", " ").replace("flops", "FLOPs")
    return (pair_words(c.pair), matched, what.change(c.difference), *intervals, seeds, f"{c.seeds} × {c.problems}")


def _certainty_row(c: Comparison) -> tuple[str, ...]:
    certainty = (_or_none(p, probability) for p in (c.p_better, c.p_value, c.p_adjusted))
    effect = _or_none(c.effect_size, lambda size: signed(size, 2))
    detectable = _or_none(c.minimum_detectable_effect, quantity(c.metric).value)
    return (pair_words(c.pair), *certainty, effect, detectable, _or_none(c.degrees_of_freedom, "{:.1f}".format))


def _or_none(number: float | None, words: Callable[[float], str]) -> str:
    return NONE if number is None else words(number)


def _by_metric(parts: Sequence[_Part], row: Callable[[_Part], tuple[str, ...]], *, change: bool) -> _Rows:
    """Return the rows grouped by metric, and the heading of each metric with its unit."""
    groups = {part.metric: [p for p in parts if p.metric == part.metric] for part in parts}
    headings = []
    for metric, group in groups.items():
        what = quantity(metric)
        unit = what.change_unit if change else what.unit
        headings.append((capital(what.full) + (f" ({unit})" if unit else ""), len(group)))
    return _Rows(tuple(row(part) for group in groups.values() for part in group), tuple(headings))


def _seed_words(finals: Sequence[Final]) -> str:
    seeds = {tuple(sorted(final.per_seed)) for final in finals}
    return ", ".join(map(str, seeds.pop())) if len(seeds) == 1 else "they differ, see the conditions"


def _size_note(compared: Sequence[Comparison]) -> str:
    note = (
        "Points are rounded to 0.1. Matched by: the budget that both spent equally, within 2 %. Per seed: in ascending "
        "order of the seed. Size: seeds × problems."
    )
    if any(c.interval is None for c in compared):
        note += " Pairs of one seed have no interval: another seed may say otherwise."
    chance = {pair_words(c.pair): c.identical_by_construction for c in compared if c.identical_by_construction}
    if not chance:
        return note
    pairs = "; ".join(f"{pair} ({reason})" for pair, reason in chance.items())
    return f"{note} Alike by construction, so that chance alone parts them: {pairs}."


def _certainty_note(compared: Sequence[Comparison]) -> str:
    families = " or ".join(str(family) for family in sorted({c.family for c in compared}))
    return (
        f"P(better): probability that the true difference is above 0. p adjusted: Holm, over the "
        f"comparisons of a metric ({families}). Effect size: difference over the standard deviation of the seeds' "
        "differences. MDE: minimum detectable effect, at 80 % power and 5 % over the family. "
        "df: degrees of freedom of the variance; near the number of seeds less one where the seeds decide."
    )
