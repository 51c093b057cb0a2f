"""`igrpo export`: write the weights of a run as a plain Hugging Face directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

_PROG = "igrpo export"
_EXAMPLES = (
    "igrpo export runs/DATE/TIME_NAME",
    "igrpo export RUN_DIR --checkpoint best --out models/mine --dtype bfloat16",
    "igrpo export RUN_DIR --adapters",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, nothing to export, or an output directory that cannot be written.
    """
    asked = _parser().read(arguments)
    if asked is None:
        return 0

    from rich.text import Text

    from igrpo.disk import DiskFullError
    from igrpo.runs.console import get_console
    from igrpo.tools.export import export

    try:
        path = export(
            asked.run_dir, checkpoint=asked.checkpoint, out=asked.out, adapters=asked.adapters, dtype=asked.dtype
        )
    except ConfigError:
        raise
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    what = "the adapters lie in" if asked.adapters else "the model lies in"
    get_console().print(Text.assemble((f"{what}   ", "cyan"), str(path)), soft_wrap=True)
    return 0


def _parser() -> Parser:
    parser = Parser(
        _PROG,
        "Write a trained model as a directory that transformers and vLLM load: weights, tokenizer, chat template, "
        "generation settings and a README.",
        _EXAMPLES,
    )
    add = parser.add_argument
    add("run_dir", type=Path, metavar="RUN_DIR", help="the directory of a run")
    add(
        "--checkpoint",
        default="last",
        metavar="best|last|STEP",
        help="which weights: the best on the development questions, the last, or those after a step (default: last, "
        "which the run's test accuracy belongs to)",
    )
    add("--out", type=Path, metavar="DIR", help="where to, new or empty (default: RUN_DIR/export/step-NUMBER)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--merge", action="store_true", help="one model, LoRA adapters merged into its weights (the default)"
    )
    form.add_argument("--adapters", action="store_true", help="the LoRA adapters alone, in peft's format")
    add("--dtype", choices=("float32", "bfloat16"), help="of the weights (default: as they were trained)")
    return parser
