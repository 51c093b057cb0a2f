"""Small real runs of the whole program."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from igrpo.cli.main import main

SMALL = (
    "model.hidden=32", "model.layers=1", "model.heads=2", "model.mlp=48", "model.warm_start.steps=120",
    "trainer.steps=6", "trainer.questions_per_step=4", "completions_per_question=4",
    "evaluation.questions=8", "evaluation.samples=2", "evaluation.every=3", "checkpoint.every=2",
    "tracking.rollout_steps_per_file=2",
)  # fmt: skip

TIMEOUT_S = 240


def start(arguments: Sequence[str], folder: Path, **variables: str) -> subprocess.Popen[str]:
    """``igrpo ARGUMENTS`` in ``folder``, with the test session's cache, one thread and more variables."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"} | variables
    return subprocess.Popen(
        [sys.executable, "-m", "igrpo", *arguments],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout_s: float = TIMEOUT_S) -> str:
    """What it printed, once it has ended; its exit code is in ``process.returncode``."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return output


def run(arguments: Sequence[str], folder: Path, code: int = 0, timeout_s: float = TIMEOUT_S) -> str:
    """Run it to its end and expect an exit code."""
    process = start(arguments, folder)
    output = finish(process, timeout_s)
    assert process.returncode == code, output
    return output


def run_here(arguments: Sequence[str], code: int = 0) -> None:
    """Run it in this process, which has imported everything already; it prints to what pytest captures."""
    assert main(arguments) == code


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    """Wait for a living process to get somewhere."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert process.poll() is None, f"it ended before: {finish(process)}"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def train(folder: Path, name: str, *overrides: str) -> list[str]:
    """Arguments of a small run in ``folder/name``."""
    return ["train", f"hydra.run.dir={folder / name}", *SMALL, *overrides]


def read_json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl, without what measures time."""
    return [{k: v for k, v in line.items() if "seconds" not in k and k != "time"} for line in lines(run_dir)]


def training_steps(run_dir: Path) -> list[dict[str, Any]]:
    """Lines of training steps, not of evaluations."""
    return [line for line in lines(run_dir) if "budget/samples" in line]


def steps_done(run_dir: Path) -> int:
    """The newest step in metrics.jsonl; 0 before there is one."""
    path = run_dir / "metrics.jsonl"
    if not path.exists():
        return 0
    return max((json.loads(line)["step"] for line in path.read_text().splitlines() if line.endswith("}")), default=0)


def rollouts(run_dir: Path) -> list[dict[str, Any]]:
    """Lines of the rollout log, in order."""
    found: list[dict[str, Any]] = []
    for path in sorted((run_dir / "rollouts").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return found


def summary(run_dir: Path) -> dict[str, Any]:
    return read_json(run_dir / "summary.json")


def status(run_dir: Path) -> str:
    """The run's status in run.json, which MLflow must share where it was told."""
    record = read_json(run_dir / "run.json")
    if record.get("mlflow_run_id"):
        assert in_mlflow(run_dir).info.status == record["status"]
    return str(record["status"])


def error(run_dir: Path) -> str:
    """The reason in run.json why the run ended early."""
    return str(read_json(run_dir / "run.json")["error"])


def in_mlflow(run_dir: Path) -> Any:
    from mlflow.tracking import MlflowClient

    record = read_json(run_dir / "run.json")
    return MlflowClient(record["mlflow_tracking_uri"]).get_run(record["mlflow_run_id"])


def tags(run_dir: Path) -> dict[str, str]:
    """The run's tags in MLflow."""
    found: dict[str, str] = in_mlflow(run_dir).data.tags
    return found


def shape(line: dict[str, Any]) -> list[tuple[str, bool, int]]:
    """(role, whether it is trained, samples) of each sampling round of a line of the rollout log."""
    trained = [one for group in line["groups"] for one in group["samples"]]
    rounds = groupby(line["samples"], key=lambda sample: sample["id"][0])
    each = [list(samples) for _, samples in rounds]
    return [(one[0]["role"], all(sample["id"] in trained for sample in one), len(one)) for one in each]
