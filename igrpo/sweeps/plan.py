"""Cost and statistical power of a sweep, printed before its first run starts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from igrpo.config import RunConfig
from igrpo.config.composing.planned import Cell, Sweep
from igrpo.config.facts import planned_steps, too_short
from igrpo.messages import count
from igrpo.runs.console import get_console
from igrpo.runs.printing import columns_table
from igrpo.sweeps.power import Design, can_detect, weakness
from igrpo.sweeps.split_sizes import SplitSizes, split_sizes

#: Launchers whose runs use this machine, so that a step measured here is representative.
_LOCAL = (".BasicLauncher", ".JoblibLauncher", ".LocalLauncher", ".RayLauncher")

#: Qualifier of the total number of samples. Key: whether other limits may end runs, whether dynamic sampling may add
#: samples.
_BOUND = {(False, False): "", (True, False): "at most ", (False, True): "at least ", (True, True): "very roughly "}


#: Up to this number, a brief plan lists the runs, too.
_FEW_RUNS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """Design of a sweep.

    Attributes:
        seeds: smallest number of seeds per combination of the other settings.
        sizes: sizes of the splits; None: unknown until a run has read its data.
        power: the design that determines the smallest detectable difference; None if there is nothing to compare, as
            in a search.
        too_short: the reason why a run is too short to learn; None if all runs are long enough.
    """

    runs: int
    combinations: int
    seeds: int
    samples: int
    sizes: SplitSizes | None
    power: Design | None
    too_short: str | None
    parallel: int
    is_local: bool
    is_limited: bool
    is_dynamic: bool


def plan_of(sweep: Sweep) -> Plan:
    """Return the design of a checked sweep. The runs of a search are its allowed number of trials.

    Raises:
        ConfigError: the data cannot be read, or has too few questions.
    """
    configs = sweep.configs
    seeds, sizes = _seeds(sweep.cells), split_sizes(configs)
    return Plan(
        runs=len(configs),
        combinations=len(seeds) or len(configs),
        seeds=min(seeds) if seeds else 1,
        samples=sum(_samples(config) for config in configs),
        sizes=sizes,
        power=_power(configs, seeds, sizes) if len(seeds) > 1 else None,
        too_short=next((text for config in configs for text in too_short(config)), None),
        parallel=_parallel(sweep),
        is_local=runs_here(sweep),
        is_limited=any(_ends_unforeseen(config) for config in configs),
        is_dynamic=any(config.dynamic_sampling.max_attempts for config in configs),
    )


def print_plan(
    plan: Plan, cells: Sequence[Cell], note: str | None = None, console: Console | None = None, *, brief: bool = False
) -> None:
    """Print the runs, one per line, a ``note`` on settings left out of some runs, and a table of totals.

    If there are many runs and the plan is to be ``brief``, the values of the swept settings are printed instead of the
    runs.
    """
    out = console if console is not None else get_console()
    is_short = brief and len(cells) > _FEW_RUNS
    for number, cell in enumerate(() if is_short else cells):
        out.print(f"run {number}: {_label(cell)}", highlight=False, soft_wrap=True)
    if note is not None:
        out.print(Text(note, style="yellow"), soft_wrap=True)
    table = columns_table()
    for key, values in _swept(cells).items() if is_short else ():
        table.add_row(key, Text(", ".join(values)))
    combinations = count(plan.combinations, "combination")
    table.add_row("runs", f"{plan.runs} ({combinations}, {count(plan.seeds, 'seed')} each)")
    table.add_row(
        "samples", f"{_BOUND[plan.is_limited, plan.is_dynamic]}{plan.samples:,} in training, all runs together"
    )
    table.add_row("at a time", "one run after the other" if plan.parallel == 1 else f"up to {plan.parallel} runs")
    if plan.sizes is not None:
        train, development, test = (f"{size:,}" for size in plan.sizes)
        table.add_row(
            "questions", f"{train} to train on, {development} in the development split, {test} in the test split"
        )
    if plan.power is not None:
        table.add_row("can detect", can_detect(plan.power))
    for warning in (plan.too_short, None if plan.power is None else weakness(plan.power)):
        if warning is not None:
            table.add_row("warning", Text(warning, style="yellow"))
    out.print(Text("the plan", style="bold"))
    out.print(table)


def print_time(
    plan: Plan,
    seconds: Sequence[float],
    step: float,
    console: Console | None = None,
    *,
    warm_starts: Sequence[float] = (),
) -> None:
    """Print the estimated time of the whole sweep, from the seconds of each run and of each warm start before them."""
    out = console if console is not None else get_console()
    wall = max((sum(seconds) + sum(warm_starts)) / plan.parallel, *seconds)
    warm = (
        f"{count(len(warm_starts), 'warm start')} of {duration(max(warm_starts))} each included; "
        if warm_starts
        else ""
    )
    at_once = "" if plan.parallel == 1 else f" with {plan.parallel} at a time"
    out.print(
        f"estimated time: {duration(wall)}{at_once}, {duration(sum(seconds) / len(seconds))} per run "
        f"(a measured step takes {step:.2f} s; {warm}downloads are not included)",
        highlight=False,
        soft_wrap=not out.is_terminal,
    )


def runs_here(sweep: Sweep) -> bool:
    """True if the launcher starts the runs on this machine."""
    return sweep.launcher.endswith(_LOCAL)


def _power(configs: Sequence[RunConfig], seeds: Sequence[int], sizes: SplitSizes | None) -> Design:
    return Design(
        seeds=min(seeds),
        available=None if sizes is None else sizes.test,
        asked=min(config.evaluation.questions for config in configs),
        samples=min(config.evaluation.samples for config in configs),
        comparisons=len(seeds) - 1,
    )


def _seeds(cells: Sequence[Cell]) -> list[int]:
    """Return the number of seeds of each combination of the other swept settings."""
    found: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for cell in cells:
        key = tuple(f"{name}={value}" for name, value in cell.swept.items() if name != "seed")
        found[key].add(cell.config.seed)
    return [len(seeds) for seeds in found.values()]


def _samples(config: RunConfig) -> int:
    planned = planned_steps(config) * config.trainer.questions_per_step * config.plan.samples
    if config.dynamic_sampling.max_attempts and config.budget.max_samples is not None:
        return min(planned, config.budget.max_samples)  # a lower bound: the last step may exceed the limit by less
    return planned


def _ends_unforeseen(config: RunConfig) -> bool:
    """True if a limit may end the run at a point that cannot be predicted."""
    return bool(config.budget.model_dump(exclude={"max_samples"}, exclude_none=True))


def _parallel(sweep: Sweep) -> int:
    runs = max(len(sweep.cells), 1)
    if sweep.launcher.endswith(".JoblibLauncher"):
        jobs = int(sweep.options.get("n_jobs") or 1)
        return min(runs, (os.cpu_count() or 1) + 1 + jobs if jobs < 0 else jobs)
    return 1 if sweep.is_serial else runs


def _swept(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the values of each swept setting, in order."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for key, value in cell.swept.items():
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def _label(cell: Cell) -> str:
    return " ".join(f"{key}={value}" for key, value in cell.swept.items())


def duration(seconds: float) -> str:
    """Format a duration roughly: 40 s, 14 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
