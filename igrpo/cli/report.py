"""`igrpo report`: compare runs, show the numbers, and write the page with its figures and tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.report.model import Report
    from igrpo.report.runs import LoadedRun

_SOURCE = "igrpo report"

_EXAMPLES = """\
examples:
  igrpo report multirun/DATE/TIME
  igrpo report runs/grpo-s0 runs/igrpo-s0 --out comparison
  igrpo report SWEEP_DIR --baseline grpo_half
  igrpo report --mlflow "tags.algorithm = 'igrpo'" --uri http://127.0.0.1:5000"""


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, nothing to compare, or an output directory that cannot be written.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.help:
        print(parser.format_help(), end="")
        return 0
    if not asked.runs and asked.mlflow is None:
        raise ConfigError(["give run or sweep directories, or --mlflow FILTER"], _SOURCE)
    if asked.mlflow is None and (asked.uri is not None or asked.experiment is not None):
        raise ConfigError(["--uri and --experiment say where --mlflow FILTER looks: give it, too"], _SOURCE)
    out = _out(asked)

    from pydantic import ValidationError

    from igrpo.cli.report_console import print_report
    from igrpo.disk import DiskFullError
    from igrpo.report.compare import build_report
    from igrpo.report.write import write_report

    try:
        sources = [*map(str, asked.runs), *([f"MLflow: {asked.mlflow}"] if asked.mlflow is not None else [])]
        report: Report = build_report(
            list(_runs(asked)),
            title=asked.title,
            sources=sources,
            baseline=asked.baseline,
            pairs=asked.pairs,
            allow_different=asked.allow_different,
        )
        paths = write_report(report, out)
    except ValidationError:
        raise  # an invalid number in the report is a bug of igrpo, not an error of the user
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _SOURCE) from error
    print_report(report, paths)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError([message], _SOURCE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="igrpo report",
        description="Compare runs: tables, curves, differences with intervals, as one HTML page beside its numbers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUNS", help="run directories, sweep directories, or folders of those")
    add(
        "--out", type=Path, metavar="DIR", help="where to write (default: RUNS/report for one directory, else ./report)"
    )
    add("--baseline", metavar="NAME", help="the condition to compare with (default: GRPO on the whole budget)")
    add("--pairs", choices=("baseline", "all"), default="baseline", help="what to compare (default: baseline)")
    add(
        "--allow-different",
        action="append",
        choices=("questions", "prompts", "reward", "model"),
        default=[],
        help="compare runs although these differ beside what is compared; may be given several times",
    )
    add("--title", metavar="TEXT", help="the title of the page")
    add("--mlflow", metavar="FILTER", help="runs that MLflow finds, in its filter language; '' for all")
    add("--uri", metavar="URI", help="where MLflow is (default: $MLFLOW_TRACKING_URI, else ./mlflow.db)")
    add("--experiment", metavar="NAME", help="the MLflow experiment (default: $MLFLOW_EXPERIMENT_NAME, else igrpo)")
    add("--help", "-h", action="store_true", help="this page")
    return parser


def _out(asked: argparse.Namespace) -> Path:
    if asked.out is not None:
        return Path(asked.out)
    return asked.runs[0] / "report" if len(asked.runs) == 1 and asked.mlflow is None else Path("report")


def _runs(asked: argparse.Namespace) -> Iterator[LoadedRun]:
    """Yield the runs from the given folders and from MLflow, each once."""
    from igrpo.report.runs import find_runs

    found = find_runs(asked.runs)
    yield from found
    if asked.mlflow is not None:
        from igrpo.report.mlflow_query import runs_from_mlflow
        from igrpo.runs.links import default_experiment, default_tracking_uri

        uri = asked.uri or default_tracking_uri(Path.cwd())
        known = {run.path for run in found}
        for run in runs_from_mlflow(uri, asked.experiment or default_experiment(), asked.mlflow):
            if run.path is None or run.path.resolve() not in known:
                yield run
