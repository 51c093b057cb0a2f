"""Writing, verifying and pruning of checkpoints. Files are written atomically and verified before they are used."""

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

from igrpo.disk import disk_errors, ensure_space
from igrpo.distributed import from_main, is_main
from igrpo.files import atomic_path, write_json_atomic
from igrpo.settings.trainer import CheckpointConfig
from igrpo.training.checkpoint_content import CheckpointError, check_version
from igrpo.training.module import IGRPOModule

log = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{6,})\.ckpt")

#: Exceptions raised on reading a damaged zip archive or pickle (found by flipping every byte of one).
_DAMAGED = (
    OSError, EOFError, RuntimeError, KeyError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
    pickle.UnpicklingError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Checkpoint file, and the rollout step after which it was saved."""

    path: Path
    step: int


def list_checkpoints(directory: Path) -> list[Checkpoint]:
    """Return the checkpoints ordered by step, without checking that they can be read."""
    found = [(path, _NAME.fullmatch(path.name)) for path in directory.glob("step-*.ckpt")]
    return sorted((Checkpoint(path, int(match[1])) for path, match in found if match), key=lambda c: c.step)


def newest_checkpoint(directory: Path) -> Checkpoint | None:
    """Return the newest readable checkpoint, or None if there is no checkpoint yet.

    Broken checkpoints are logged and skipped.

    Raises:
        CheckpointError: there are checkpoints and none can be read, or one has another version.
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
    """Delete checkpoints after ``step``, from which the run is resumed, and half-written temporary files.

    Checkpoints after ``step`` are broken; if kept, they would count among the newest ones in place of whole ones.
    ``best.json`` is deleted if it names one of them. The caller holds the run's lock.
    """
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
            bad = archive.testzip()  # torch files are zip archives: checksums reveal a flipped bit
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
    """Checkpoint IO that writes directly into the target file.

    Lightning's own IO keeps a second copy of the checkpoint in memory and uses the system's temporary directory, which
    may be on another, smaller disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Serialise into ``path``. The caller makes the write atomic."""
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


class CheckpointCallback(lightning.Callback):
    """Callback that saves every ``config.every`` rollout steps and after the last; keeps the newest and the best.

    ``best.json`` names the checkpoint with the highest single-shot accuracy on the development split.
    ``report_accuracy`` receives that accuracy after each evaluation. The callback must run after the evaluation
    callback.
    """

    def __init__(self, directory: Path, config: CheckpointConfig) -> None:
        self._directory, self._config = directory, config
        self._accuracy: tuple[int, float] | None = None

    def report_accuracy(self, step: int, accuracy: float) -> None:
        """Record the development accuracy of the weights after ``step``."""
        self._accuracy = (step, accuracy)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Save if a checkpoint is due, or if this step has the best evaluation so far."""
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
            trainer.save_checkpoint("")  # sends this process's shards to the main process, which writes
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
    """Return the content of ``best.json`` (step, accuracy and split), or None if the file does not exist."""
    path = directory / "best.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
