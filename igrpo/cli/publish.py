"""`igrpo publish`: write runs and their report as one file that another machine's `igrpo report` reads."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.tools.publish import Published

_PROG = "igrpo publish"
_EXAMPLES = (
    "igrpo publish multirun/DATE/TIME",
    "igrpo publish runs/grpo-s0 runs/igrpo-s0 --out comparison.igrpo.tar.gz",
    "igrpo publish SWEEP_DIR --no-rollouts --weights best",
    "igrpo report BUNDLE                  # on the other machine",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "publish",
        "Write runs as one file, a bundle: settings, fingerprints, measurements, verdicts per question, every sample, "
        "and the report. `igrpo report BUNDLE` reads it on another machine.\n\n"
        "Passwords and keys in settings, addresses and command lines are removed, as are host names, process numbers, "
        "the tracking address and absolute paths. Questions, prompts and what the model wrote are published as they "
        "are. Logs, failures, checkpoints and the code of rewards are not published.",
        _EXAMPLES,
    )
    add = made.add_argument
    add("runs", nargs="*", type=Path, metavar="RUNS", help="run directories, sweep directories, or folders of those")
    add("--out", type=Path, metavar="FILE", help="path of the bundle, or a folder for it (default: NAME.igrpo.tar.gz)")
    add(
        "--no-rollouts",
        action="store_true",
        help="leave out the largest part, the samples of training, and the report's examples of them",
    )
    add(
        "--weights",
        choices=("best", "last"),
        help="add each run's weights, as `igrpo export` writes them",
    )
    add("--unfinished", action="store_true", help="publish unfinished runs, too; reports leave them out")
    add("--with-machine", action="store_true", help="keep host names, process numbers and absolute paths")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, nothing to publish, unfinished runs, or a file that cannot be written.
    """
    if not asked.runs:
        raise ConfigError(["give run or sweep directories"], _PROG)

    from pydantic import ValidationError

    from igrpo.disk import DiskFullError
    from igrpo.tools.publish import Choice, publish

    choice = Choice(
        rollouts=not asked.no_rollouts,
        weights=asked.weights,
        unfinished=asked.unfinished,
        with_machine=asked.with_machine,
    )
    try:
        published = publish(asked.runs, choice, asked.out)
    except ValidationError:
        raise  # an invalid record is a bug of igrpo, not an error of the user
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    _show(published)
    return 0


def _show(published: Published) -> None:
    from rich.filesize import decimal
    from rich.text import Text

    from igrpo.messages import count
    from igrpo.runs.console import get_console

    for warning in published.warnings:
        print(f"igrpo: warning: {warning}", file=sys.stderr)
    manifest = published.manifest
    size = decimal(published.path.stat().st_size)
    lines = {
        "bundle": str(published.path),
        "contents": f"{count(len(manifest.runs), 'run')}, {count(len(manifest.files), 'file')}, {size}",
        "left out": ", ".join(manifest.left_out) or "nothing",
        "SHA-256": published.sha256,
        "read it by": f"igrpo report {shlex.quote(published.path.name)}",
    }
    for name, text in lines.items():
        get_console().print(Text.assemble((f"{name:<12}", "cyan"), text), soft_wrap=True)
