"""`igrpo report`: compare runs, show the numbers, and write the page with its figures and tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.cli.arguments import Parser, number
from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.report.model import Report
    from igrpo.report.runs import LoadedRun

_PROG = "igrpo report"

#: Seconds between two looks at a watched sweep.
_EVERY_S = 10.0
_EXAMPLES = (
    "igrpo report multirun/DATE/TIME",
    "igrpo report runs/grpo-s0 runs/igrpo-s0 --out comparison",
    "igrpo report SWEEP_DIR --baseline grpo_half",
    "igrpo report BUNDLE                  # what `igrpo publish` has written",
    "igrpo report SWEEP_DIR --watch --effect 0.03",
    "igrpo report --mlflow \"tags.algorithm = 'igrpo'\" --uri http://127.0.0.1:5000",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "report",
        "Compare runs: tables, curves and differences with intervals, as one HTML page and files with its numbers.",
        _EXAMPLES,
    )
    add = made.add_argument
    add("runs", nargs="*", type=Path, metavar="RUNS", help="run or sweep directories, folders of those, or bundles")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="output directory (default: RUNS/report for one, else ./report; with --watch RUNS/watch)",
    )
    add("--baseline", metavar="NAME", help="condition to compare with (default: GRPO on the whole budget)")
    add("--pairs", choices=("baseline", "all"), default="baseline", help="pairs to compare (default: baseline)")
    add(
        "--allow-different",
        action="append",
        choices=("questions", "prompts", "reward", "model"),
        default=[],
        help="compare runs although these differ besides what is compared; may be given several times",
    )
    add("--title", metavar="TEXT", help="title of the page")
    add(
        "--effect",
        type=number(positive=True),
        default=0.05,
        metavar="SHARE",
        help="difference in accuracy for which to say how many seeds show it (default: 0.05, which is 5 points)",
    )
    add("--watch", action="store_true", help="show the progress of one sweep, and update its page until it has ended")
    add("--every", type=number(positive=True), metavar="SECONDS", help="time between updates of --watch (default: 10)")
    add("--mlflow", metavar="FILTER", help="add runs from MLflow, by a filter in its language; '' for all")
    add("--uri", metavar="URI", help="MLflow's address (default: $MLFLOW_TRACKING_URI, else ./mlflow.db)")
    add("--experiment", metavar="NAME", help="MLflow experiment (default: $MLFLOW_EXPERIMENT_NAME, else all)")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, nothing to compare, or an output directory that cannot be written.
    """
    _check(asked)
    out = _out(asked)

    from pydantic import ValidationError

    from igrpo.console import waiting
    from igrpo.disk import DiskFullError

    with waiting("importing scipy and matplotlib"):
        from igrpo.report.compare import build_report
        from igrpo.report.console import print_report
        from igrpo.report.write import write_report

    try:
        if asked.watch:
            from igrpo.cli.report_watch import FOLDER, watch
            from igrpo.runs.sweep_directory import SweepDirectory

            return watch(
                SweepDirectory(asked.runs[0]),
                asked.out or asked.runs[0] / FOLDER,
                every=asked.every or _EVERY_S,
                effect=asked.effect,
                build=lambda runs: build_report(runs, planned=True, **_options(asked)),
            )
        report: Report = build_report(list(_runs(asked)), **_options(asked))
        paths = write_report(report, out)
    except ValidationError:
        raise  # an invalid number in the report is a bug of igrpo, not an error of the user
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    print_report(report, paths)
    return 0


def _check(asked: argparse.Namespace) -> None:
    from igrpo.runs.sweep_directory import SWEEP_FILE

    problem = None
    if not asked.runs and asked.mlflow is None:
        problem = "give run or sweep directories, or --mlflow FILTER"
    elif asked.mlflow is None and (asked.uri is not None or asked.experiment is not None):
        problem = "--uri and --experiment are for --mlflow FILTER: give it, too"
    elif asked.effect >= 1:
        problem = f"--effect {asked.effect}: give a share between 0 and 1; 0.05 is 5 points"
    elif asked.every is not None and not asked.watch:
        problem = "--every is for --watch: give it, too"
    elif asked.watch and (len(asked.runs) != 1 or asked.mlflow is not None):
        problem = "--watch: give one sweep directory"
    elif asked.watch and not (asked.runs[0] / SWEEP_FILE).is_file():
        problem = f"--watch: {asked.runs[0]} is not a sweep directory: it has no {SWEEP_FILE}"
    elif asked.watch and asked.out is not None and asked.out.absolute() == (asked.runs[0] / "report").absolute():
        problem = f"--out {asked.out}: the sweep writes its own report there; give --watch another directory"
    if problem is not None:
        raise ConfigError([problem], _PROG)


def _options(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `igrpo.report.compare.build_report`."""
    return {
        "title": asked.title,
        "sources": [*map(str, asked.runs), *([f"MLflow: {asked.mlflow}"] if asked.mlflow is not None else [])],
        "baseline": asked.baseline,
        "pairs": asked.pairs,
        "allow_different": asked.allow_different,
        "effect": asked.effect,
    }


def _out(asked: argparse.Namespace) -> Path:
    if asked.out is not None:
        return Path(asked.out)
    from igrpo.report.write import default_directory

    return default_directory(asked.runs if asked.mlflow is None else [])


def _runs(asked: argparse.Namespace) -> Iterator[LoadedRun]:
    """Yield the runs from the given folders and from MLflow, each once."""
    from igrpo.report.runs import find_runs

    listed = find_runs(asked.runs)
    yield from listed
    if asked.mlflow is not None:
        from igrpo.report.mlflow_query import runs_from_mlflow
        from igrpo.runs.links import default_experiment, default_tracking_uri

        uri = asked.uri or default_tracking_uri(Path.cwd())
        known = {run.path for run in listed}
        for run in runs_from_mlflow(uri, asked.experiment or default_experiment(), asked.mlflow):
            if run.path is None or run.path.resolve() not in known:
                yield run
