"""`igrpo ... | head -1`: no traceback when the reader leaves, and the exit code that the command has without a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from igrpo.models.byte_level import ByteLevelShape, make_byte_level_model
from tests.report.run_dirs import write_run


def without_reader(
    arguments: Sequence[str], folder: Path, *, errors_too: bool = False, text: str = "", **variables: str
) -> tuple[int, str]:
    """The exit code, and what was printed to the standard error, where nobody reads the standard output."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "igrpo", *arguments],
            cwd=folder, input=text, text=True, check=False, timeout=120, stdout=writer,
            stderr=writer if errors_too else subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        )  # fmt: skip
    finally:
        os.close(writer)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["-h"], 0),
        (["--version"], 0),
        (["train", "--help"], 0),
        (["doctor", "--help"], 0),
        (["report", "--help"], 0),
        (["rescore", "--help"], 0),
        (["export", "--help"], 0),
        (["chat", "--help"], 0),
        (["serve", "--help"], 0),
        (["join", "--help"], 0),
        (["train", "--check"], 0),
        (["train", "--multirun", "seed=0,1", "--plan", "--no-measure"], 0),
        (["doctor", "experiment=paper/openmath_nemotron_7b", "--memory", "1"], 1),
    ],
)
def test_a_reader_that_leaves(arguments: list[str], code: int, tmp_path: Path) -> None:
    assert without_reader(arguments, tmp_path) == (code, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_of_the_errors_that_leaves(unbuffered: str, tmp_path: Path) -> None:
    given = {"errors_too": True, "PYTHONUNBUFFERED": unbuffered}
    assert without_reader(["trian"], tmp_path, **given)[0] == 2  # type: ignore[arg-type]
    assert without_reader(["train", "seed=x"], tmp_path, **given)[0] == 2  # type: ignore[arg-type]


def test_a_report_is_written_though_nobody_reads_its_table(tmp_path: Path) -> None:
    for name in ("grpo", "igrpo"):
        write_run(tmp_path / "runs" / name, f"algorithm={name}", after=[0.5, 0.25, 1.0])
    assert without_reader(["report", "runs"], tmp_path) == (0, "")
    assert (tmp_path / "runs" / "report" / "report.html").exists()


def test_a_chat_ends_when_nobody_reads_its_answers(tmp_path: Path) -> None:
    shape = ByteLevelShape(hidden=16, layers=1, heads=2, mlp=16)
    make_byte_level_model(tmp_path / "model", shape, 0, chat_template=False)
    questions = "1 +1\n" * 100_000  # more than it could answer in the time that it has
    assert without_reader(["chat", "model", "--max-tokens", "2"], tmp_path, text=questions) == (0, "")
