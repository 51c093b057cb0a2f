"""Tables of the results of conditions and of the differences between them.

Shares are in %, differences of shares in percentage points, both with one decimal; other numbers state their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from igrpo.report.budget_axes import budget_words
from igrpo.report.labels import bracket, capital, pair_words, probability, quantity, signed
from igrpo.report.model import Comparison, Final, Report, by_metric
from igrpo.report.table import NONE, Groups, Table

_Part = TypeVar("_Part", Final, Comparison)


def results(report: Report) -> list[Table]:
    """Return the table of each condition's results; [] if nothing was evaluated after training."""
    if not report.finals:
        return []
    note = (
        "Shares in %, changes in percentage points, both rounded to 0.1. Per seed: in ascending order of the seed "
        f"({_seed_words(report.finals)}). Size: problems × samples per problem."
    )
    if any(len(final.per_seed) == 1 for final in report.finals):
        note += " With one seed the interval covers that seed's test questions only."
    head = ("condition", "after", "95 % interval", "before", "change", "per seed", "size")
    return [Table("results", "Results after training", head, _groups(report.finals, _final_row, change=False), note)]


def comparisons(report: Report) -> list[Table]:
    """Return the sizes and the certainties of all differences as two tables that fit a page; [] with one condition."""
    compared = report.comparisons
    if not compared:
        return []
    size_head = ("pair", "matched by", "difference", "95 % interval", "bootstrap interval", "per seed", "size")
    sizes = _groups(compared, _size_row, change=True)
    head = ("pair", "P(better)", "p", "p adjusted", "effect size", "MDE", "df")
    tables = [Table("differences", "Differences", size_head, sizes, _size_note(compared), words=2)]
    tested = [c for c in compared if c.interval is not None]
    if tested:
        tests = _groups(tested, _certainty_row, change=True)
        tables.append(Table("certainty", "Certainty and power", head, tests, _certainty_note(tested)))
    return tables


def _final_row(final: Final) -> tuple[str, ...]:
    what = quantity(final.metric)
    interval = bracket(*map(what.value, final.interval))
    before = (
        (NONE, NONE) if final.before is None else (what.value(final.before), what.change(final.mean - final.before))
    )
    seeds = ", ".join(what.value(value) for _, value in sorted(final.per_seed.items()))
    size = f"{final.problems:,} × {final.samples_per_problem:,}"
    return (final.condition, what.value(final.mean), interval, *before, seeds, size)


def _size_row(c: Comparison) -> tuple[str, ...]:
    what = quantity(c.metric)
    intervals = (
        NONE if edges is None else bracket(*map(what.change, edges)) for edges in (c.interval, c.bootstrap_interval)
    )
    seeds = ", ".join(what.change(value) for _, value in sorted(c.seed_differences.items()))
    return (
        pair_words(c.pair),
        budget_words(c.matched_by),
        what.change(c.difference),
        *intervals,
        seeds,
        f"{c.seeds} × {c.problems:,}",
    )


def _certainty_row(c: Comparison) -> tuple[str, ...]:
    certainty = (_or_none(p, probability) for p in (c.p_better, c.p_value, c.p_adjusted))
    effect = _or_none(c.effect_size, lambda size: signed(size, 2))
    detectable = _or_none(c.minimum_detectable_effect, quantity(c.metric).value)
    return (pair_words(c.pair), *certainty, effect, detectable, _or_none(c.degrees_of_freedom, "{:.1f}".format))


def _or_none(number: float | None, words: Callable[[float], str]) -> str:
    return NONE if number is None else words(number)


def _groups(parts: Sequence[_Part], row: Callable[[_Part], tuple[str, ...]], *, change: bool) -> Groups:
    """Return the rows of each metric under a heading with its unit."""
    groups = []
    for metric, measured in by_metric(parts).items():
        what = quantity(metric)
        unit = what.change_unit if change else what.unit
        heading = capital(what.full) + (f" ({unit})" if unit else "")
        groups.append((heading, tuple(row(part) for part in measured)))
    return tuple(groups)


def _seed_words(finals: Sequence[Final]) -> str:
    seeds = {tuple(sorted(final.per_seed)) for final in finals}
    return ", ".join(map(str, seeds.pop())) if len(seeds) == 1 else "they differ, see the conditions"


def _size_note(compared: Sequence[Comparison]) -> str:
    note = (
        "Points are rounded to 0.1. Matched by: the budget that both spent equally, within 2 %. Per seed: in ascending "
        "order of the seed. Size: seeds × problems."
    )
    if any(c.interval is None for c in compared):
        note += " Pairs of one seed have no interval: another seed may give another result."
    chance = {pair_words(c.pair): c.identical_by_construction for c in compared if c.identical_by_construction}
    if not chance:
        return note
    pairs = "; ".join(f"{pair} ({reason})" for pair, reason in chance.items())
    return f"{note} Identical by construction, so that they can differ only by chance: {pairs}."


def _certainty_note(compared: Sequence[Comparison]) -> str:
    families = " or ".join(str(family) for family in sorted({c.family for c in compared}))
    return (
        f"P(better): probability that the true difference is above 0. p adjusted: Holm, over the "
        f"comparisons of a metric ({families}). Effect size: difference over the standard deviation of the seeds' "
        "differences. MDE: minimum detectable effect, at 80 % power and 5 % over the family. "
        "df: degrees of freedom of the variance; near the number of seeds minus one if seeds cause most of it."
    )
