"""Search over settings with optuna. Trial n is run n of the sweep.

The search maximises accuracy on the development split. The test split is reserved for the comparison that uses the
settings found.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override

from igrpo.config import ConfigError, RunConfig, read_config
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import is_hydras
from igrpo.config.composing.planned import Search
from igrpo.files import write_json_atomic
from igrpo.runs.resume import finished_summary
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory, SweepRecord, plan_cell
from igrpo.sweeps.launch import run_cells
from igrpo.sweeps.progress import SweepProgress

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

BEST_FILE = "search.json"

#: Maximum number of different errors in a message; the table of runs has all.
_MOST_ERRORS = 3


def continue_search(
    composer: Composer, sweep: SweepDirectory, overrides: Sequence[str], progress: SweepProgress | None = None
) -> None:
    """Finish the runs of an earlier driver, then pick and run new ones until the search has its number of trials."""
    search = composer.check_sweep(overrides).search
    assert search is not None
    if progress is not None:
        progress.total = search.trials
    run_cells(composer, sweep, sweep.read().cells, overrides, progress)
    while (known := len(sweep.read().cells)) < search.trials:
        picks = _pick(sweep, search, min(search.trials - known, search.at_once))
        trials = [plan_cell(known + i, picked, search.lines(picked)) for i, picked in enumerate(picks)]
        for cell in trials:
            _add_trial(composer, sweep, cell, overrides)
        run_cells(composer, sweep, trials, overrides, progress)


def _pick(sweep: SweepDirectory, search: Search, count: int) -> list[dict[str, str]]:
    """Return the values of the next trials, as texts.

    The study is made anew from the runs so far, whose directories have all that it knows, and the sampler is seeded by
    their number. So a search that was interrupted picks what it would have picked.
    """
    import optuna
    from hydra.utils import instantiate
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(logging.WARNING)
    space = {key: _distribution(item) for key, item in search.space.items()}
    cells = sweep.read().cells
    seed = search.sampler.get("seed")
    seeded = {} if seed is None else {"seed": seed + len(cells)}
    study = optuna.create_study(direction="maximize", sampler=instantiate({**search.sampler, **seeded}))
    for cell in cells:
        value = _value(sweep, cell)
        study.add_trial(
            create_trial(
                params={key: _parsed(cell.swept[key], distribution) for key, distribution in space.items()},
                distributions=space,
                value=value,
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            )
        )
    trials = [study.ask(space) for _ in range(count)]
    return [{key: str(trial.params[key]) for key in space} for trial in trials]


def _distribution(item: Override) -> BaseDistribution:
    """Return optuna's distribution for the values of a swept setting. The choices of a list are texts."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = item.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        log = "log" in value.tags
        if all(type(end) is int for end in (value.start, value.end)):
            return IntDistribution(int(value.start), int(value.end), log=log)
        return FloatDistribution(value.start, value.end, log=log)
    return CategoricalDistribution(list(item.sweep_string_iterator()))


def _parsed(text: str, distribution: BaseDistribution) -> Any:
    """Convert the text of a value back to the value that the study knows."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(distribution, IntDistribution):
        return int(text)
    return float(text) if isinstance(distribution, FloatDistribution) else text


def _add_trial(composer: Composer, sweep: SweepDirectory, cell: CellRecord, overrides: Sequence[str]) -> None:
    """Write the settings of a trial and add it to the sweep. If they are invalid, it is recorded as failed."""
    directory = sweep.run_directory(cell)
    try:
        run = composer.check_run([*filter(is_hydras, overrides), *cell.overrides], cell.number)
        sweep.write_config(cell, run.config)
    except ConfigError as error:
        directory.create()
        directory.log.write_text(f"{error}\n", encoding="utf-8")
        directory.begin(command=[])
        directory.finish("FAILED", error="; ".join(error.problems))
    sweep.add_cell(cell)


def write_best(sweep: SweepDirectory, record: SweepRecord) -> None:
    """Write search.json, which a comparison reads (``tuned=DIRECTORY``), and print the best settings."""
    trials = [
        {"number": cell.number, "settings": cell.swept, "development_accuracy": _value(sweep, cell)}
        for cell in record.cells
    ]
    known = [trial for trial in trials if trial["development_accuracy"] is not None]
    if not known:
        errors = Counter(sweep.state(cell).error or "it was stopped" for cell in record.cells)
        reasons = "; ".join(f"{error} ({count} of {len(trials)})" for error, count in errors.most_common(_MOST_ERRORS))
        print(f"igrpo: the search found nothing, since none of its trials finished: {reasons}", file=sys.stderr)
        return
    best: dict[str, Any] = max(known, key=lambda trial: trial["development_accuracy"])
    config = _config(sweep, next(cell for cell in record.cells if cell.number == best["number"]))
    write_json_atomic(
        sweep.path / BEST_FILE,
        {
            "condition": config.condition,
            "with_drafts": config.plan.drafts > 0,
            "model": config.model.name,
            "data": config.data.name,
            "best": best["settings"],
            "development_accuracy": best["development_accuracy"],
            "trials": trials,
        },
    )
    found = " ".join(f"{key}={value}" for key, value in best["settings"].items())
    print(f"best of {len(known)}: {found} ({100 * best['development_accuracy']:.1f} % on the development split)")
    print(f"use it in a comparison: igrpo train ... sweep=NAME {shlex.quote(f'tuned={sweep.path}')}")


def read_best(path: Path) -> dict[str, Any]:
    """Read the search.json of a search.

    Raises:
        ValueError: there is no search.json, or it is broken.
    """
    try:
        found: dict[str, Any] = json.loads((path / BEST_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"tuned={path}: no finished search there (it has no {BEST_FILE})") from None
    except ValueError as error:
        raise ValueError(f"tuned={path}: {BEST_FILE} is broken: {error}") from None
    return found


def is_refused(sweep: SweepDirectory, cell: CellRecord) -> bool:
    """True if the settings of a run that the search has picked are invalid, so that it cannot be run."""
    return not sweep.run_directory(cell).config.exists()


def _value(sweep: SweepDirectory, cell: CellRecord) -> float | None:
    if is_refused(sweep, cell):
        return None
    return development_accuracy(sweep.run_directory(cell).path, _config(sweep, cell))


def _config(sweep: SweepDirectory, cell: CellRecord) -> RunConfig:
    return read_config(sweep.run_directory(cell).config)


def development_accuracy(run_dir: Path, config: RunConfig) -> float | None:
    """Return single-shot accuracy on the development split after the last step, by which settings may be chosen.

    Return None if the run is not finished, or if its reward could not score any answer.
    """
    summary = finished_summary(run_dir, config)
    if summary is None:
        return None
    path = RunDirectory(run_dir).evaluations / f"development-{summary['steps']:06d}.json"
    estimate = json.loads(path.read_text(encoding="utf-8"))["single_shot"]
    return None if estimate is None else float(estimate["value"])
