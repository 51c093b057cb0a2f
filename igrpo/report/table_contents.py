"""Contents of all tables of a report, shared by the page, Markdown and LaTeX."""

from __future__ import annotations

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.labels import integer, scientific
from igrpo.report.model import Report
from igrpo.report.table import NONE, Table, ungrouped
from igrpo.report.table_changes import changes
from igrpo.report.table_dynamics import dynamics_tables
from igrpo.report.table_results import comparisons, results


def budgets(report: Report) -> list[Table]:
    """Return the tables of budgets: counters, seconds by phase, and budget ratios of the compared pairs."""
    spent = [(condition.name, condition.spent) for condition in report.conditions]
    counters = Table(
        "budget",
        "Budget spent by a run",
        ("condition", "steps", "samples", "generated tokens", "prefilled", "trained", "FLOPs", "seconds"),
        ungrouped(
            (
                name,
                *(integer(n) for n in (s.steps, s.samples, s.generated_tokens, s.prefilled_tokens, s.trained_tokens)),
                NONE if s.flops is None else scientific(s.flops),
                f"{s.seconds:,.1f}",
            )
            for name, s in spent
        ),
        "Means over seeds. Prefilled: prompt tokens that went through the model while sampling. Trained: prompt and "
        "completion tokens that went forward and backward. FLOPs: – where a run did not count them. Seconds: of "
        "training, without evaluation and checkpoints.",
    )
    phases = tuple(dict.fromkeys(phase for _, s in spent for phase in s.seconds_by_phase))
    by_phase = Table(
        "seconds",
        "Seconds by phase",
        ("condition", *(phase.replace("_", " ") for phase in phases)),
        ungrouped(
            (name, *(f"{s.seconds_by_phase[p]:,.1f}" if p in s.seconds_by_phase else NONE for p in phases))
            for name, s in spent
        ),
        "Wall time, means over seeds; it depends on the machine and its load.",
    )
    return [counters, *([by_phase] if phases else []), *_ratios(report)]


def conditions(report: Report) -> Table:
    """Return the table of the settings in which conditions differ.

    Conditions are its columns, unless there are more of them than settings: a table is easier to read down than across.
    """
    names = tuple(dict.fromkeys(name for condition in report.conditions for name in condition.settings))
    head = ("condition", "seeds", *names)
    rows = [
        (
            c.name + (" (baseline)" if c.name == report.baseline else ""),
            ", ".join(str(seed) for seed in c.seeds),
            *(c.settings.get(name, NONE) for name in names),
        )
        for c in report.conditions
    ]
    if len(rows) <= len(names) + 1:
        head, *rows = list(zip(head, *rows, strict=True))
    note = "Settings that all conditions share are left out; runs of one condition differ only in their seed."
    return Table("conditions", "Conditions", head, ungrouped(rows), note, words=len(head))


def runs(report: Report) -> Table:
    """Return the table of all runs that were found, with the reason if a run is not used."""
    rows = ungrouped(
        (
            r.name,
            r.condition,
            NONE if r.seed is None else str(r.seed),
            r.status,
            integer(r.steps),
            "yes" if r.excluded is None else f"no: {r.excluded}",
        )
        for r in report.runs
    )
    used = sum(run.excluded is None for run in report.runs)
    note = f"{used} of {len(report.runs)} runs are used."
    return Table("runs", "Runs", ("run", "condition", "seed", "status", "steps", "used"), rows, note, words=6)


def all_tables(report: Report) -> list[Table]:
    """Return all tables in the order of the page."""
    return [
        *results(report),
        *comparisons(report),
        *changes(report),
        *dynamics_tables(report),
        *budgets(report),
        conditions(report),
        runs(report),
    ]


def _ratios(report: Report) -> list[Table]:
    pairs = {c.pair: c for c in report.comparisons}
    axes = [axis for axis in BUDGET_AXES if any(axis in c.budget_ratios for c in pairs.values())]
    if not axes:
        return []
    rows = ungrouped(
        (f"{second} / {first}", *(f"{c.budget_ratios[a]:.3f}" if a in c.budget_ratios else NONE for a in axes))
        for (first, second), c in pairs.items()
    )
    head = ("pair", *(BUDGET_AXES[axis].words for axis in axes))
    note = "A ratio within 2 % of 1 counts as matched."
    return [Table("ratios", "Budget ratios of the compared conditions", head, rows, note)]
