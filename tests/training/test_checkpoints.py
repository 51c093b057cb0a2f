"""Checkpoints: whole or absent, kept by rule, and never trusted when damaged."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from igrpo.disk import DiskFullError
from igrpo.settings.trainer import CheckpointConfig
from igrpo.training.checkpoint_content import CHECKPOINT_VERSION, CheckpointError
from igrpo.training.checkpoints import (
    CheckpointCallback,
    forget_after,
    list_checkpoints,
    newest_checkpoint,
    read_best,
)
from tests.training.small_run import fit, make

WEIGHTS = torch.arange(4.0)


def state(step: int, version: int = CHECKPOINT_VERSION) -> dict[str, Any]:
    return {"state_dict": {"w": WEIGHTS}, "igrpo": {"schema_version": version, "rollout_step": step}}


def write(directory: Path, name: int, step: int | None = None, version: int = CHECKPOINT_VERSION) -> Path:
    path = directory / f"step-{name:06d}.ckpt"
    torch.save(state(name if step is None else step, version), path)
    return path


def steps(directory: Path) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(directory)]


class FakeTrainer:
    """Saves what a Trainer would hand over, or fails with half of it written."""

    def __init__(self) -> None:
        self.step = 0
        self.error: Exception | None = None

    def save_checkpoint(self, path: Path) -> None:
        torch.save(state(self.step), path)
        if self.error is not None:
            path.write_bytes(path.read_bytes()[:100])
            raise self.error


class Run(NamedTuple):
    """``step(number, accuracy)`` ends that rollout step, after an evaluation where there is an accuracy."""

    step: Callable[..., None]
    trainer: FakeTrainer


def a_run(directory: Path, last_step: int = 100, **changes: Any) -> Run:
    settings: dict[str, Any] = {"every": 2, "keep_last": 2, "keep_best": True, "minimum_free_mb": 0}
    callback = CheckpointCallback(directory, CheckpointConfig(**(settings | changes)))
    module, trainer = make("grpo", steps=last_step), FakeTrainer()

    def step(number: int, accuracy: float | None = None) -> None:
        module.rollout_step = trainer.step = number
        if accuracy is not None:
            callback.report_accuracy(number, accuracy)
        callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]

    return Run(step, trainer)


def test_every_so_many_steps_and_after_the_last(tmp_path: Path) -> None:
    run = a_run(tmp_path, last_step=7, every=3, keep_last=9)
    for number in range(1, 8):
        run.step(number)
    assert steps(tmp_path) == [3, 6, 7]
    assert read_best(tmp_path) is None


def test_the_last_k_and_the_best_are_kept(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for number, accuracy in [(1, None), (2, None), (3, 0.5), (4, None), (5, 0.4), (6, None), (8, None)]:
        run.step(number, accuracy)
    assert steps(tmp_path) == [3, 6, 8]  # 3 is no multiple of 2: the best is saved when it is measured
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 3, "accuracy": 0.5, "split": "development"}
    run.step(9, 0.6)  # better: the old best may go
    assert steps(tmp_path) == [8, 9]
    assert read_best(tmp_path) == {"step": 9, "accuracy": 0.6, "split": "development"}


def test_an_equal_accuracy_is_not_better_and_best_can_be_off(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.step(2, 0.5)
    run.step(4, 0.5)
    assert read_best(tmp_path) == {"step": 2, "accuracy": 0.5, "split": "development"}
    other = tmp_path / "other"
    other.mkdir()
    run = a_run(other, keep_best=False)
    run.step(3, 0.9)
    run.step(4, 0.9)
    assert steps(other) == [4]
    assert read_best(other) is None


def test_a_save_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.step(2)
    run.trainer.error = RuntimeError("killed in the middle")
    with pytest.raises(RuntimeError, match="in the middle"):
        run.step(4)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002.ckpt"]
    run.trainer.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskFullError, match=r"cannot write .*step-000004\.ckpt: No space left"):
        run.step(4)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002.ckpt"]


def test_a_full_disk_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50 * 2**20))
    with pytest.raises(DiskFullError, match=r"50 MiB free, and 200 MiB are needed \(checkpoint\.minimum_free_mb\)"):
        a_run(tmp_path, minimum_free_mb=200).step(2)
    assert list(tmp_path.iterdir()) == []
    a_run(tmp_path, minimum_free_mb=40).step(2)
    assert steps(tmp_path) == [2]


def test_none_before_the_first(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "missing") is None
    (tmp_path / "step-last.ckpt").touch()  # not one of ours
    assert newest_checkpoint(tmp_path) is None


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << (at % 8)
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def damage_a_weight(path: Path) -> None:
    flip(path, path.read_bytes().index(WEIGHTS.numpy().tobytes()) + 5)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (truncate, "BadZipFile"),
        (damage_a_weight, r"checksum of .*data/0"),
        (lambda path: path.write_bytes(b""), "BadZipFile"),
        (lambda path: path.write_text("not a checkpoint"), "BadZipFile"),
        (lambda path: torch.save(state(3), path), "it holds step 3"),
        (lambda path: torch.save({"state_dict": {}}, path), "KeyError"),
        (lambda path: torch.save({"igrpo": Path("x")}, path), "UnpicklingError"),
    ],
)
def test_a_broken_one_is_passed_over_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object], word: str
) -> None:
    for step in (2, 4, 10):
        path = write(tmp_path, step)
    damage(path)
    with caplog.at_level(logging.WARNING):
        found = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.path.name) == (4, "step-000004.ckpt")
    (record,) = caplog.records
    assert "step-000010.ckpt is broken" in record.getMessage()
    assert record.getMessage().endswith("falling back to the one before it")
    assert re.search(word, record.getMessage())


def test_any_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    path = write(tmp_path, 4)
    whole = path.read_bytes()
    found = 0
    for at in range(0, len(whole), 7):
        flip(path, at)
        try:
            newest_checkpoint(tmp_path)
        except CheckpointError:
            found += 1
        else:  # padding, or a time stamp
            loaded = torch.load(path, weights_only=True)
            assert loaded["igrpo"] == state(4)["igrpo"]
            assert torch.equal(loaded["state_dict"]["w"], WEIGHTS)
        path.write_bytes(whole)
    assert found > 50


def test_all_broken_is_an_error_that_names_them(tmp_path: Path) -> None:
    for step in (2, 4):
        truncate(write(tmp_path, step))
    with pytest.raises(
        CheckpointError, match=r"every checkpoint .*step-000002\.ckpt, step-000004\.ckpt.*start the run"
    ):
        newest_checkpoint(tmp_path)


def test_another_version_is_an_error_and_no_damage(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 4, version=CHECKPOINT_VERSION + 1)
    with pytest.raises(CheckpointError, match=r"step-000004\.ckpt has checkpoint version 2; igrpo reads 1 here"):
        newest_checkpoint(tmp_path)


def test_a_resumed_run_forgets_what_lies_behind_its_checkpoint(tmp_path: Path) -> None:
    run = a_run(tmp_path, keep_last=1)
    for number, accuracy in [(2, None), (4, None), (6, 0.5)]:
        run.step(number, accuracy)
    write(tmp_path, 4)
    truncate(tmp_path / "step-000006.ckpt")
    (tmp_path / ".step-000008.ckpt.x1.tmp").touch()  # killed while it saved
    forget_after(tmp_path, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000004.ckpt"]
    run = a_run(tmp_path, keep_last=1)
    run.step(5, 0.5)  # else the broken one would be kept as the newest, and this one dropped
    assert steps(tmp_path) == [5]
    assert read_best(tmp_path) == {"step": 5, "accuracy": 0.5, "split": "development"}
    forget_after(tmp_path, 5)
    assert (steps(tmp_path), read_best(tmp_path)) == ([5], {"step": 5, "accuracy": 0.5, "split": "development"})


def test_the_step_at_which_a_budget_ends_the_run_is_saved(tmp_path: Path) -> None:
    config = CheckpointConfig(every=10, keep_last=1, keep_best=False, minimum_free_mb=0)
    module = make("igrpo", steps=9, limits={"max_samples": 25})  # 12 samples a step
    fit(module, 9, tmp_path, callbacks=[CheckpointCallback(tmp_path, config)])
    assert steps(tmp_path) == [3]


def test_with_lightnings_own_trainer(tmp_path: Path) -> None:
    config = CheckpointConfig(every=2, keep_last=1, keep_best=False, minimum_free_mb=0)
    module = make("igrpo", steps=3)
    fit(module, 3, tmp_path, callbacks=[CheckpointCallback(tmp_path / "checkpoints", config)])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000003.ckpt"]
    newest = newest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    saved = torch.load(newest.path, weights_only=True)
    assert saved["igrpo"]["rollout_step"] == 3
    assert all(
        torch.equal(value, saved["state_dict"][f"policy.{name}"]) for name, value in module.policy.state_dict().items()
    )
    assert module.budget.seconds["checkpoint"] > 0
