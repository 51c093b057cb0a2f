"""Progress of a sweep, read from its files while other processes run it, and what its conditions show so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from igrpo.report.conditions import group_runs
from igrpo.report.labels import bracket, percent, quantity
from igrpo.report.model import METRICS, Comparison, Final, Report, metric_name
from igrpo.report.runs import LoadedRun
from igrpo.report.table import NONE, Table, ungrouped
from igrpo.report.verdict import FEW_SEEDS, SIGNIFICANCE
from igrpo.runs.params import flatten_params
from igrpo.runs.run_lock import holder
from igrpo.runs.sweep_directory import CellState, SweepDirectory
from igrpo.sweeps.power import Design, seeds_for

_HEADLINE = metric_name(METRICS[0])
_DEVELOPMENT = f"development/{METRICS[0]}/accuracy"

#: Where no number of seeds is enough.
_MORE_QUESTIONS = "no number: more test questions"


@dataclass(frozen=True, slots=True)
class ConditionProgress:
    """Progress of one condition.

    Attributes:
        seeds: number of its runs.
        finished, running, failed: numbers of them in that status; the others wait. A killed run counts as failed.
        done: share of the steps of all its runs.
        development: latest accuracy on the development split, mean over its running runs; None: not measured yet.
        final: its result on the test split, from the finished runs; None without any.
        comparison: its difference to the baseline in that; None for the baseline, or without seeds in common.
    """

    name: str
    seeds: int
    finished: int
    running: int
    failed: int
    done: float
    development: float | None
    final: Final | None
    comparison: Comparison | None


def is_at_work(sweep: SweepDirectory, found: Mapping[str, CellState]) -> bool:
    """True if a process works on the sweep or on one of its runs. It only reads files, and takes no lock."""
    driver = holder(sweep.path)
    return (driver is not None and not driver.is_dead()) or any(s.status == "RUNNING" for s in found.values())


def progress(
    runs: Sequence[LoadedRun], found: Mapping[str, CellState], report: Report | None
) -> list[ConditionProgress]:
    """Return the progress of each condition, in the order of the sweep.

    Args:
        runs: all runs of the sweep, finished or not.
        found: see `igrpo.sweeps.progress.states`.
        report: the report of the finished runs, with ``planned`` names; None if it cannot be made yet.
    """
    named: dict[str, list[LoadedRun]] = {}
    for run, entry in zip(runs, group_runs(runs, planned=True).entries, strict=True):
        named.setdefault(entry.condition, []).append(run)
    return [_of_condition(name, group, found, report) for name, group in named.items()]


def _of_condition(
    name: str, runs: Sequence[LoadedRun], found: Mapping[str, CellState], report: Report | None
) -> ConditionProgress:
    statuses = [_status(run, found) for run in runs]
    at_work = [run for run, status in zip(runs, statuses, strict=True) if status == "RUNNING"]
    latest = [value for run in at_work if (value := _latest(run)) is not None]
    finals, comparisons = ((), ()) if report is None else (report.finals, report.comparisons)
    return ConditionProgress(
        name=name,
        seeds=len(runs),
        finished=statuses.count("FINISHED"),
        running=len(at_work),
        failed=statuses.count("FAILED") + statuses.count("KILLED"),
        done=fmean(_done(run) for run in runs),
        development=fmean(latest) if latest else None,
        final=next((one for one in finals if (one.condition, one.metric) == (name, _HEADLINE)), None),
        comparison=next((one for one in comparisons if (one.pair[1], one.metric) == (name, _HEADLINE)), None),
    )


def _status(run: LoadedRun, found: Mapping[str, CellState]) -> str:
    state = found.get(run.path.name) if run.path is not None else None
    return "WAITING" if state is None else state.status


def _latest(run: LoadedRun) -> float | None:
    return next((float(line[_DEVELOPMENT]) for line in reversed(run.metrics) if _DEVELOPMENT in line), None)


def _done(run: LoadedRun) -> float:
    """Return the share of the run's steps that are done; a limit may end it before the last one."""
    if run.status == "FINISHED":
        return 1.0
    steps = flatten_params(run.config).get("trainer.steps", "")
    return min(1.0, run.steps / int(steps)) if steps.isdigit() and int(steps) else 0.0


def progress_table(conditions: Sequence[ConditionProgress], runs: Sequence[LoadedRun], effect: float) -> Table:
    """Return the progress as a table of text. ``effect``: the difference that the needed seeds are to show."""
    design = _design(runs, len(conditions) - 1)
    baselines = {one.comparison.pair[0] for one in conditions if one.comparison is not None}
    rows = ungrouped(
        (
            one.name,
            _seed_words(one),
            f"{100 * one.done:.0f} %",
            NONE if one.development is None else percent(one.development),
            NONE if one.final is None else f"{percent(one.final.mean)} {bracket(*map(percent, one.final.interval))}",
            NONE if one.comparison is None else _difference(one.comparison),
            NONE if one.name in baselines else _still_needed(one, design, effect),
        )
        for one in conditions
    )
    head = ("condition", "seeds", "steps", "dev", "single-shot", "difference", "seeds still needed")
    note = (
        "Single-shot accuracy in %, with 95 % intervals: of the running runs on the development split (dev), of "
        "finished ones on the test split; differences to the baseline in points. Seeds still needed: to show "
        f"{100 * effect:.1f} points with 80 % power at the spread measured so far; 'planned': at an assumed spread, "
        "until two seeds are finished on both sides; 'rough': two seeds hardly show a spread."
    )
    return Table("progress", "Progress", head, rows, note, words=2)


def _seed_words(one: ConditionProgress) -> str:
    parts = [f"{one.finished} of {one.seeds}"]
    parts += [f"{number} {word}" for word, number in (("running", one.running), ("failed", one.failed)) if number]
    return ", ".join(parts)


def _difference(c: Comparison) -> str:
    what = quantity(c.metric)
    return what.change(c.difference) + ("" if c.interval is None else f" {bracket(*map(what.change, c.interval))}")


def _still_needed(one: ConditionProgress, design: Design | None, effect: float) -> str:
    c = one.comparison
    if c is None or c.seeds_needed is None or c.minimum_detectable_effect is None:
        if design is None:
            return NONE
        planned = seeds_for(design, effect)
        return _MORE_QUESTIONS if planned is None else f"{max(planned - one.finished, 0):,} (planned)"
    if c.p_adjusted is not None and c.p_adjusted < SIGNIFICANCE:
        return "0: shown"
    if c.minimum_detectable_effect <= effect:
        return "0"
    needed = c.seeds_needed.seeds
    if needed is None:
        return _MORE_QUESTIONS
    return f"{max(needed - c.seeds, 1):,}" + (" (rough)" if c.seeds < FEW_SEEDS else "")


def _design(runs: Sequence[LoadedRun], comparisons: int) -> Design | None:
    """Return the design of the comparison, without its seeds; None if there is nothing to compare."""
    flats = [flatten_params(run.config) for run in runs if run.config]
    sizes = [[flat.get(f"evaluation.{name}", "") for flat in flats] for name in ("questions", "samples")]
    if comparisons < 1 or not flats or not all(text.isdigit() for texts in sizes for text in texts):
        return None
    asked, samples = (min(map(int, texts)) for texts in sizes)
    return Design(seeds=0, available=None, asked=asked, samples=samples, comparisons=comparisons)


def sweep_runs(path: Path) -> list[LoadedRun]:
    """Load the runs of a sweep, finished or not; [] before the first run's settings are written."""
    from igrpo.report.runs import find_runs

    try:
        return find_runs([path])
    except ValueError:
        return []
