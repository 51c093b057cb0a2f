"""Entry point of the `igrpo` command: runs the verb and reports user errors as one message and an exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from igrpo.config import ConfigError
from igrpo.messages import nearest
from igrpo.runs.console import outlive_reader

#: Verbs and their descriptions. Each verb is a module igrpo/cli/<verb>.py with a function
#: `run(arguments) -> exit code`. The module is imported when the verb is called.
VERBS = {
    "train": "train a model; `igrpo train --help` lists every setting's choices",
    "serve": "run a vLLM server for a training that samples from it",
    "join": "lend this node's devices to a run that another node has started",
    "doctor": "say what a run needs in memory, time and cost, and whether it would work",
    "report": "compare runs: tables, curves and intervals as one HTML page",
    "rescore": "put a run's rollouts before another reward, and compare the two",
    "export": "write a trained model as a plain Hugging Face directory",
    "chat": "ask a trained model, with drafts and a refinement if wished",
}

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Exit codes: 0 success, 1 failure, 2 invalid usage or settings, 75 paused at a limit (resume=RUN_DIR continues the
    run), 130 interrupted.
    """
    if arguments is None:
        outlive_reader()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0
    if given[0] in {"--version", "-V"}:
        print(f"igrpo {version('igrpo')}")
        return 0
    verb, rest = given[0], given[1:]
    if verb not in VERBS:
        print(f"igrpo: {_unknown(verb)}", file=sys.stderr)
        return EXIT_USAGE
    return _run(verb, rest)


def _run(verb: str, rest: Sequence[str]) -> int:
    try:
        return int(import_module(f"igrpo.cli.{verb}").run(rest))
    except ConfigError as error:
        print(f"igrpo: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("igrpo: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _overview() -> str:
    verbs = "\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items())
    return f"usage: igrpo VERB [SETTING=VALUE ...]\n\n{verbs}\n\n  --version  print the version\n  --help     this page"


def _unknown(verb: str) -> str:
    if "=" in verb:
        return f"{verb!r} is no command; did you mean `igrpo train {shlex.quote(verb)}`?"
    near = nearest(verb, VERBS)
    known = f"did you mean '{near}'?" if near else f"commands: {', '.join(VERBS)}"
    return f"no such command {verb!r}; {known}"
