"""Entry point of the `igrpo` command: runs the verb and reports user errors as one message and an exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from igrpo.config import ConfigError
from igrpo.messages import nearest
from igrpo.runs.command import as_command
from igrpo.runs.console import outlive_reader

#: Verbs and their descriptions. Each verb is a module igrpo/cli/<verb>.py with the functions `parser() -> Parser` and
#: `run(asked) -> exit code`. The module is imported when the verb is called.
VERBS = {
    "train": "train a model; `igrpo train --help` shows its settings",
    "serve": "run a vLLM server for a training process that samples from it",
    "join": "add this node's devices to a run that another node has started",
    "doctor": "estimate a run's memory, time and cost, and check that it would work",
    "eval": "evaluate a trained model, or any other, on its test split or on benchmarks",
    "report": "compare runs: tables, curves and intervals as one HTML page",
    "reproduce": "make a table or figure of the paper anew, beside its printed numbers",
    "publish": "write runs and their report as one file for others",
    "rescore": "score a run's rollouts with another reward, and compare the two",
    "export": "write a trained model as a plain Hugging Face directory",
    "chat": "ask a trained model, optionally with drafts and a refinement",
    "completion": "print a script that completes arguments in bash, zsh or fish",
}
#: Verbs that only such scripts call.
_HIDDEN = ("complete",)

EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Exit codes: 0 success, 1 failure, 2 invalid usage or settings, 69 this machine lacks what a table of the paper needs
    (`igrpo reproduce`), 75 paused at a limit (resume=RUN_DIR continues the run), 130 interrupted, 143 terminated.
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
    if verb not in VERBS and verb not in _HIDDEN:
        print(f"igrpo: {_unknown(verb)}", file=sys.stderr)
        return EXIT_USAGE
    with as_command(("igrpo", *given)):
        return _run(verb, rest)


def _run(verb: str, rest: Sequence[str]) -> int:
    module = import_module(f"igrpo.cli.{verb}")
    try:
        asked = module.parser().read(rest)
        return 0 if asked is None else int(module.run(asked))
    except ConfigError as error:
        print(f"igrpo: {error.problems[0] if len(error.problems) == 1 else error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        from igrpo.runs.lifecycle import EXIT_INTERRUPTED

        print("igrpo: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit as stop:  # a signal, or a run that has already reported its end
        return stop.code if isinstance(stop.code, int) else 1


def _overview() -> str:
    verbs = "\n".join(f"  {verb:<12}{text}" for verb, text in VERBS.items())
    flags = "  --version   print the version\n  --help      print this page; igrpo VERB --help: the page of a command"
    return f"usage: igrpo VERB [SETTING=VALUE ...]\n\n{verbs}\n\n{flags}"


def _unknown(verb: str) -> str:
    if "=" in verb:
        return f"{verb!r} is not a command; did you mean `igrpo train {shlex.quote(verb)}`?"
    from igrpo.config.composing.words import choices_named

    named = choices_named(verb)
    if named and named[0].endswith(f"={verb}"):
        return f"{verb!r} is not a command; did you mean `igrpo train {named[0]}`?"
    near = nearest(verb, VERBS)
    known = f"did you mean '{near}'?" if near else f"commands: {', '.join(VERBS)}"
    return f"no such command {verb!r}; {known}"
