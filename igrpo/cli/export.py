"""`igrpo export`: write the weights of a run as a plain Hugging Face directory."""

from __future__ import annotations

import argparse
from pathlib import Path

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

_PROG = "igrpo export"
_EXAMPLES = (
    "igrpo export runs/DATE/TIME_NAME",
    "igrpo export RUN_DIR --checkpoint best --out models/mine --dtype bfloat16",
    "igrpo export RUN_DIR --adapters",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "export",
        "Write a trained model as a directory that transformers and vLLM load: weights, tokenizer, chat template, "
        "generation settings and a README.",
        _EXAMPLES,
    )
    add = made.add_argument
    add("run_dir", type=Path, metavar="RUN_DIR", help="directory of a run")
    add(
        "--checkpoint",
        default="last",
        metavar="best|last|STEP",
        help="best on the development questions, last, or a step (default: last, whose test accuracy the run reports)",
    )
    add("--out", type=Path, metavar="DIR", help="output directory, new or empty (default: RUN_DIR/export/step-NUMBER)")
    form = made.add_mutually_exclusive_group()
    form.add_argument(
        "--merge", action="store_true", help="one model, with LoRA adapters merged into its weights (the default)"
    )
    form.add_argument("--adapters", action="store_true", help="only the LoRA adapters, in the format of peft")
    add("--dtype", choices=("float32", "bfloat16"), help="data type of the weights (default: as they were trained)")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, nothing to export, or an output directory that cannot be written.
    """
    from rich.text import Text

    from igrpo.disk import DiskFullError
    from igrpo.runs.console import get_console, waiting

    with waiting("importing torch and transformers"):
        from igrpo.tools.export import export
    try:
        with waiting("reading the checkpoint and writing the model"):
            path = export(
                asked.run_dir, checkpoint=asked.checkpoint, out=asked.out, adapters=asked.adapters, dtype=asked.dtype
            )
    except ConfigError:
        raise
    except (ValueError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    label = "Adapter directory:" if asked.adapters else "Model directory:"
    get_console().print(Text.assemble((f"{label} ", "cyan"), str(path)), soft_wrap=True)
    return 0
