"""Search over settings (hydra-optuna-sweeper), with its study in the sweep's directory so that it can be resumed.

Trial n is run n. The search maximises accuracy on the development split. The test split is reserved for the comparison
that uses the settings found.
"""

from __future__ import annotations

import json
import logging
import shlex
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.config import ConfigError, RunConfig, read_config
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.launching import is_serial
from igrpo.config.composing.overrides import quoted
from igrpo.files import write_json_atomic
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory, SweepRecord
from igrpo.sweeps.cell import development_accuracy, hydra_job, jobs_of
from igrpo.sweeps.watch import Watch, wait_for

if TYPE_CHECKING:
    from optuna.study import Study

BEST_FILE = "search.json"

#: Maximum number of different errors in a message; the table of runs has all.
_MOST_ERRORS = 3

_STUDY = "igrpo"
_DATABASE = "search.db"


def continue_search(composer: Composer, sweep: SweepDirectory, overrides: Sequence[str]) -> None:
    """Finish the runs of an earlier driver, then pick new runs until the search has the configured number."""
    master = [*overrides, f"hydra.sweeper.storage={quoted(_storage(sweep))}", f"hydra.sweeper.study_name={_STUDY}"]
    if not (sweep.path / _DATABASE).is_file():
        _make_storage(sweep)
    study = _study(sweep)
    if study is not None:
        _settle(composer, sweep, master, study)
    planned = composer.search_settings(master)
    left = int(planned["n_trials"]) - len(sweep.read().cells)
    if left <= 0:
        return
    first = 0 if study is None else len(study.trials)
    added = [f"hydra.sweeper.n_trials={left}"]
    seed = planned["sampler"].get("seed")
    if first and seed is not None:
        added.append(f"hydra.sweeper.sampler.seed={seed + first}")  # else it would repeat its first values
    with nullcontext() if is_serial(composer.launcher(master)) else Watch(sweep):
        try:
            composer.search([*master, *added], hydra_job, first=first)
        except ConfigError:
            # at its end the sweeper asks the study for the best trial, which does not exist if all trials have failed
            if len(sweep.read().cells) < int(planned["n_trials"]) or _best_known(sweep):
                raise


def _settle(composer: Composer, sweep: SweepDirectory, master: Sequence[str], study: Study) -> None:
    """Finish the runs of an earlier driver, and tell the study their results.

    Runs that are still active are waited for; killed and failed ones are launched again. A failed trial cannot be
    updated, so its value is added as a new trial.
    """
    from optuna.trial import TrialState, create_trial

    cells = {cell.number: cell for cell in sweep.read().cells}
    alive = [cell for cell in cells.values() if sweep.state(cell).status == "RUNNING"]
    if alive:
        wait_for(sweep, alive)
    left = [cell for cell in cells.values() if sweep.state(cell).status != "FINISHED" and not is_refused(sweep, cell)]
    if left:
        composer.launch(master, jobs_of(left), hydra_job)
    known = [trial.params for trial in study.trials if trial.state == TrialState.COMPLETE]
    for trial in study.trials:
        cell = cells.get(trial.number)
        value = None if cell is None else _value(sweep, cell)
        if trial.state == TrialState.RUNNING:
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.tell(trial.number, value, state=state)
        elif trial.state == TrialState.FAIL and value is not None and trial.params not in known:
            study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=value))


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


def _best_known(sweep: SweepDirectory) -> bool:
    return any(_value(sweep, cell) is not None for cell in sweep.read().cells)


def is_refused(sweep: SweepDirectory, cell: CellRecord) -> bool:
    """True if the settings of a run that the search has picked are invalid, so that it cannot be run."""
    return not sweep.run_directory(cell).config.exists()


def _value(sweep: SweepDirectory, cell: CellRecord) -> float | None:
    if is_refused(sweep, cell):
        return None
    return development_accuracy(sweep.run_directory(cell).path, _config(sweep, cell))


def _config(sweep: SweepDirectory, cell: CellRecord) -> RunConfig:
    return read_config(sweep.run_directory(cell).config)


def _storage(sweep: SweepDirectory) -> str:
    return f"sqlite:///{sweep.path / _DATABASE}"


def _make_storage(sweep: SweepDirectory) -> None:
    """Create an empty database with the version of optuna's table schema.

    optuna 2 would write the version itself, but under SQLAlchemy 2 (which MLflow's server needs) it never commits it,
    and the database stays locked.
    """
    import optuna
    from alembic.script import ScriptDirectory

    migrations = Path(optuna.__file__).parent / "storages" / "_rdb" / "alembic"
    version = ScriptDirectory(str(migrations)).get_current_head()
    with closing(sqlite3.connect(sweep.path / _DATABASE)) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (version,))


def _study(sweep: SweepDirectory) -> Study | None:
    """Load the study of an earlier driver; return None if there is none."""
    if not (sweep.path / _DATABASE).is_file():
        return None
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    if not any(summary.study_name == _STUDY for summary in optuna.get_all_study_summaries(_storage(sweep))):
        return None
    return optuna.load_study(study_name=_STUDY, storage=_storage(sweep))
