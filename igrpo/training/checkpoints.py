"""Checkpoints that are whole or absent: written atomically, checked before they are trusted, kept by rule."""

from __future__ import annotations

import json
import logging
import pickle
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from igrpo.config.schema import CheckpointConfig
from igrpo.disk import disk_errors, ensure_space
from igrpo.distributed import from_main, is_main
from igrpo.files import atomic_path, write_json_atomic
from igrpo.training.checkpoint_content import CheckpointError, check_version
from igrpo.training.module import IGRPOModule

log = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{6,})\.ckpt")

#: What readers of a damaged zip archive or pickle raise (found by flipping every byte of one).
_DAMAGED = (
    OSError, EOFError, RuntimeError, KeyError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
    pickle.UnpicklingError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint file and the rollout step that it was taken after."""

    path: Path
    step: int


def list_checkpoints(directory: Path) -> list[Checkpoint]:
    """Checkpoints in the order of their steps; whether they can be read is not looked at."""
    found = [(path, _NAME.fullmatch(path.name)) for path in directory.glob("step-*.ckpt")]
    return sorted((Checkpoint(path, int(match[1])) for path, match in found if match), key=lambda c: c.step)


def newest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; broken ones are named in the log and passed over.

    None where the run died before its first one.

    Raises:
        CheckpointError: there are some and none can be read, or another igrpo wrote them.
    """
    checkpoints = list_checkpoints(directory)
    for checkpoint in reversed(checkpoints):
        problem = _problem(checkpoint)
        if problem is None:
            return checkpoint
        log.warning("checkpoint %s is broken (%s): falling back to the one before it", checkpoint.path, problem)
    if not checkpoints:
        return None
    raise CheckpointError(
        f"every checkpoint in {directory} is broken ({', '.join(c.path.name for c in checkpoints)}); start the run "
        "anew, in a new directory"
    )


def forget_after(directory: Path, step: int) -> None:
    """Drop what a resumed run leaves behind it: checkpoints after the one it starts from (they are broken; kept, they
    would take the place of whole ones), the best one's name where it is among them, and what a kill left half
    written. The caller holds the run's lock."""
    for half in directory.glob(".step-*.tmp"):
        half.unlink()
    best = read_best(directory)
    if best is not None and best["step"] > step:
        (directory / "best.json").unlink()
    for checkpoint in list_checkpoints(directory):
        if checkpoint.step > step:
            checkpoint.path.unlink()


def _problem(checkpoint: Checkpoint) -> str | None:
    try:
        with zipfile.ZipFile(checkpoint.path) as archive:
            bad = archive.testzip()  # torch files are zip archives: a flipped bit shows in a member's checksum
        if bad is not None:
            return f"checksum of {bad}"
        state: dict[str, Any] = torch.load(checkpoint.path, map_location="cpu", weights_only=True, mmap=True)
        own = state["igrpo"]
    except _DAMAGED as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
    check_version(own, checkpoint.path)
    if own["rollout_step"] != checkpoint.step:
        return f"it holds step {own['rollout_step']}"
    return None


class FileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint straight into its file. (Lightning's own way holds all of it in memory once more and passes
    through the system's temporary directory, which may be another, smaller disk.)"""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Serialise into ``path``; the caller makes it atomic."""
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


class CheckpointCallback(lightning.Callback):
    """Saves every so many rollout steps and after the last; keeps the newest ones and the best.

    ``best.json`` names the checkpoint of the highest single-shot accuracy on the development split, which
    ``report_accuracy`` is told after each evaluation. It sees each step after the evaluation callback.
    """

    def __init__(self, directory: Path, config: CheckpointConfig) -> None:
        self._directory, self._config = directory, config
        self._accuracy: tuple[int, float] | None = None

    def report_accuracy(self, step: int, accuracy: float) -> None:
        """The development accuracy of the weights after ``step``."""
        self._accuracy = (step, accuracy)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Save when it is due; an evaluation that is the best so far makes it due."""
        assert isinstance(pl_module, IGRPOModule)
        step = pl_module.rollout_step
        best = from_main(self._is_best(step))
        if step % self._config.every and not pl_module.is_last and not best:
            return
        with pl_module.budget.phase("checkpoint"):
            self._save(trainer, step, best)

    def _is_best(self, step: int) -> bool:
        if not self._config.keep_best or self._accuracy is None or self._accuracy[0] != step:
            return False
        best = read_best(self._directory)
        return best is None or self._accuracy[1] > best["accuracy"]

    def _save(self, trainer: lightning.Trainer, step: int, best: bool) -> None:
        if not is_main():
            trainer.save_checkpoint("")  # only gives the main process, which writes, this one's shards
            return
        size_mb = max((c.path.stat().st_size for c in list_checkpoints(self._directory)), default=0) / 2**20
        needed_mb = self._config.minimum_free_mb + size_mb
        ensure_space(self._directory, needed_mb, setting="checkpoint.minimum_free_mb")
        path = self._directory / f"step-{step:06d}.ckpt"
        with disk_errors(path), atomic_path(path) as temporary:
            trainer.save_checkpoint(temporary)
        if best and self._accuracy is not None:
            record = {"step": step, "accuracy": self._accuracy[1], "split": "development"}
            with disk_errors(self._directory):
                write_json_atomic(self._directory / "best.json", record)
        self._forget()

    def _forget(self) -> None:
        best = read_best(self._directory)
        for old in list_checkpoints(self._directory)[: -self._config.keep_last]:
            if best is None or old.step != best["step"]:
                old.path.unlink()


def read_best(directory: Path) -> dict[str, Any] | None:
    """The content of ``best.json``: step, accuracy and split; None before the first evaluation."""
    path = directory / "best.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
