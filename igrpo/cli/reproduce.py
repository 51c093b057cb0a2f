"""`igrpo reproduce`: make a table or a figure of the paper anew, with its printed numbers beside the measured ones."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from igrpo.cli.arguments import Parser

_DESCRIPTION = """\
Train and evaluate the models of a table (or figure) of the paper, and print it with intervals, seeds, budgets,
hardware, commit and config hash; the numbers that the paper prints stand apart, with their known defects. What is there
already is not run again: the same command continues after a stop. Writes table.md and table.json.

table=1 compares the methods, 2 the objectives with and without iGRPO, 3 a rule and a judge, s1 has the larger data set,
s3 memory and throughput, s4 KL coefficients and completions per question, fig2 the transfer, fig3 the entropy.
quick=true does the same on a small model and task, on a CPU, in minutes; its numbers are not comparable.

Exit code: 0 if the table was made, 1 if a run failed, 2 for invalid settings, 69 if this machine lacks what the runs
need (nothing was started; the needs are printed), 75 if a run has paused at a limit, 130 if interrupted."""

_EXAMPLES = (
    "igrpo reproduce table=1 quick=true",
    "igrpo reproduce table=1 quick=true model=smollm2_135m_q4",
    "igrpo reproduce table=s4 --plan",
    "igrpo reproduce table=1 model=deepseek_r1_distill_qwen_7b seed=0 rollout.url=http://NODE:8000",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "reproduce",
        _DESCRIPTION,
        _EXAMPLES,
        settings="table=NAME, quick=true, model=NAME, seed=A,B; others as for `igrpo train`",
        own=own_settings,
    )
    made.add_argument(
        "--output", type=Path, metavar="DIR", help="runs and results (default: reproduce/TABLE, TABLE-quick)"
    )
    made.add_argument("--plan", action="store_true", help="print the runs and what they need; run nothing")
    return made


def own_settings() -> dict[str, list[str]]:
    """Return the values of the command's own settings, for their completion."""
    from igrpo.tools.reproduce.names import model_names, table_names

    return {"table": table_names(), "quick": ["true", "false"], "model": model_names()}


def run(asked: argparse.Namespace) -> int:
    """Make the table and return the exit code.

    Raises:
        ConfigError: invalid settings, or an unknown table.
    """
    from igrpo.tools.reproduce.request import read_request

    request = read_request(asked.settings, asked.output)
    from igrpo.tools.reproduce.session import reproduce

    words = ["igrpo", "reproduce", *asked.settings, *(["--output", str(asked.output)] if asked.output else [])]
    return reproduce(request, shlex.join(words), plan=asked.plan)
