"""Checkpoints of real runs: reading them, comparing them, and going back to one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.runs.run_directory import RunDirectory
from tests.end_to_end import runs


def checkpoint_file(run_dir: Path, step: int) -> Path:
    return RunDirectory(run_dir).checkpoints / f"step-{step:06d}.ckpt"


def checkpoint(run_dir: Path, step: int) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(checkpoint_file(run_dir, step), weights_only=True, mmap=True)
    return loaded


def interrupted_copy(run_dir: Path, target: Path, last: int) -> Path:
    """Copy a finished run to ``target`` without its checkpoint of step ``last``, as if it had ended before that."""
    shutil.copytree(run_dir, target)
    forget_end(target, last)
    return target


def forget_end(run_dir: Path, last: int) -> None:
    """Delete the summary and the checkpoint of step ``last``, so that resuming repeats what came after the one before."""
    checkpoint_file(run_dir, last).unlink()
    RunDirectory(run_dir).summary.unlink()


def assert_bit_equal(a: Any, b: Any, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_bit_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_bit_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def assert_close(a: Any, b: Any, where: str, *, rel: float, abs: float) -> None:  # noqa: A002
    """The same structure and the same values, but for the rounding of floats; strings, whole numbers exactly."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if "seconds" not in str(key):
                assert_close(a[key], b[key], f"{where}/{key}", rel=rel, abs=abs)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_close(x, y, f"{where}/{i}", rel=rel, abs=abs)
    elif isinstance(a, torch.Tensor):
        assert (a.dtype, a.device, a.shape) == (b.dtype, b.device, b.shape), where
        assert float((a - b).abs().max()) <= abs, where
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=rel, abs=abs), where
    else:
        assert a == b, where


def assert_same_training(whole: Path, part: Path, step: int) -> None:
    """Weights, optimizer, counters and samples after ``step`` are equal, bit by bit."""
    a, b = checkpoint(whole, step), checkpoint(part, step)
    assert_bit_equal(a["state_dict"], b["state_dict"], "weights")
    assert_bit_equal(a["optimizer_states"], b["optimizer_states"], "optimizer")
    own = [{k: v for k, v in state["igrpo"]["budget"].items() if k != "seconds"} for state in (a, b)]
    assert own[0] == own[1]
    assert min(own[0][name] for name in ("samples", "generated_tokens", "trained_tokens", "flops")) > 0
    assert [t for t in runs.rollouts(whole) if t["step"] <= step] == [
        t for t in runs.rollouts(part) if t["step"] <= step
    ]
