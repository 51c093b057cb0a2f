"""`igrpo eval`: evaluate a trained model, or any other, on its test split or on benchmarks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser, whole_number
from igrpo.config import ConfigError
from igrpo.console import get_console, waiting
from igrpo.files import shown_path

if TYPE_CHECKING:
    from igrpo.runs.evaluation_directory import EvaluationDirectory
    from igrpo.tools.evaluating.request import Request

_PROG = "igrpo eval"
_EXAMPLES = (
    "igrpo eval runs/DATE/TIME_NAME",
    "igrpo eval RUN_DIR evaluation=paper --checkpoint best",
    "igrpo eval RUN_DIR --checkpoint start evaluation.samples=16",
    "igrpo eval MODEL evaluation=paper evaluation.max_completion_tokens=1024 --questions 8",
    "igrpo eval resume=EVAL_DIR",
    "igrpo eval EVAL_DIR --against EVAL_DIR",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "eval",
        "Evaluate the model of a run, a Hugging Face directory, or a model of the hub: on the test split of its data, "
        "or with evaluation=NAME on the benchmarks of that file. Prompts, reward and sampling are those of the run, "
        "unless settings say otherwise (`igrpo train --help evaluation`). Every sample is kept, and resume=EVAL_DIR "
        "goes on where an evaluation was stopped.",
        _EXAMPLES,
        settings="what is evaluated, and settings of evaluation, rollout, reward, prompt, data, or the seed",
        path="RUN_DIR|MODEL",
    )
    forms = ("[OPTION ...] RUN_DIR|MODEL [SETTING=VALUE ...]", "resume=EVAL_DIR", "EVAL_DIR --against EVAL_DIR")
    made.usage = "\n       ".join(f"igrpo eval {form}" for form in forms)
    add = made.add_argument
    add("--checkpoint", metavar="best|last|STEP|start", help="checkpoint of a run (default: last); start: untrained")
    add("--questions", type=whole_number(1), metavar="N", help="at most N questions per benchmark (default: all)")
    add("--against", type=Path, metavar="EVAL_DIR", help="compare the evaluation EVAL_DIR with this one")
    add(
        "--allow-different",
        action="append",
        choices=("protocol", "questions", "prompts", "reward"),
        default=[],
        help="with --against: compare although these differ; may be given several times",
    )
    add("--out", "--output", type=Path, metavar="DIR", help="directory, new or empty (default: evals/DATE/TIME_NAME)")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments or settings; nothing was started and no directory was created.
        SystemExit: the command was stopped.
    """
    if asked.against is not None or asked.allow_different:
        from igrpo.cli.eval_against import run as compare

        return compare(asked)
    model, settings, resumed = _split(asked.settings)
    if resumed is None:
        if model is None:
            raise ConfigError(["give a run directory or a model to evaluate, or resume=EVAL_DIR"], _PROG)
        return _start(asked, model, settings)
    given = [f"--{name}" for name in ("checkpoint", "questions", "out") if getattr(asked, name) is not None]
    if model is not None or given:
        what = model or ", ".join(given)
        raise ConfigError([f"resume={resumed} and {what}: an evaluation is resumed as it was begun"], _PROG)
    return _resume(Path(resumed), settings)


def _split(arguments: Sequence[str]) -> tuple[str | None, list[str], str | None]:
    """Return the model (the only argument without '=', or one that exists), the settings, and the directory to resume.

    Raises:
        ConfigError: several models.
    """
    resumed = [text.partition("=")[2] for text in arguments if text.startswith("resume=")]
    others = [text for text in arguments if not text.startswith("resume=")]
    # os.path, since a setting may be longer than a file's name can be: Path.exists would raise
    models = [text for text in others if "=" not in text or os.path.exists(text)]
    if len(models) > 1:
        raise ConfigError([f"{' '.join(models)}: give one run directory or model"], _PROG)
    if resumed and (len(resumed) > 1 or not resumed[0]):
        raise ConfigError(["resume: give one directory, as in resume=EVAL_DIR"], _PROG)
    settings = [text for text in others if text not in models]
    return (models[0] if models else None), settings, (resumed[0] if resumed else None)


def _start(asked: argparse.Namespace, model: str, settings: Sequence[str]) -> int:
    from igrpo.tools.evaluating.execution import new_directory
    from igrpo.tools.evaluating.request import new_request

    try:
        with waiting("checking the settings"):
            request = new_request(model, settings, asked.checkpoint, asked.questions)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([str(error)], _PROG) from error
    return _execute(request, new_directory(request, asked.out))


def _resume(path: Path, settings: Sequence[str]) -> int:
    from igrpo.runs.evaluation_directory import EvaluationDirectory
    from igrpo.tools.evaluating.printing import print_results
    from igrpo.tools.evaluating.request import resumed_request

    directory = EvaluationDirectory(path)
    try:
        request, results = resumed_request(directory, settings), directory.read_results()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([f"resume={path}: {error}"], _PROG) from error
    if results.complete and not settings:
        get_console().print(
            f"{shown_path(directory.path)} is complete: these are its results, and nothing was measured again",
            soft_wrap=True,
            markup=False,
        )
        print_results(directory.read_record(), results, directory.path, get_console())
        return 0
    return _execute(request, directory)


def _execute(request: Request, directory: EvaluationDirectory) -> int:
    from igrpo.runs.lifecycle import RunError
    from igrpo.tools.evaluating.execution import execute
    from igrpo.tools.evaluating.printing import print_request, print_results

    print_request(request, directory.path, get_console())
    try:
        results = execute(request, directory)
    except RunError as error:
        return error.code
    print_results(directory.read_record(), results, directory.path, get_console())
    return 0
