"""The trainer's weights as one file, for a server that sees the same folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor


class WeightFiles:
    """Weight files of one training run in a folder; only the newest is kept. ``session`` is the run's unique name."""

    def __init__(self, folder: Path, session: str, dtype: torch.dtype) -> None:
        self._folder, self._session, self._dtype = folder, session, dtype
        self._written: list[Path] = []

    def write(self, version: int, weights: Iterable[tuple[str, Tensor]]) -> Path:
        """Write all tensors, cast, in one atomic replacement. The previous file is kept."""
        from safetensors.torch import save_file

        path = self._folder.absolute() / f"igrpo-{self._session}-{version}.safetensors"
        partial = path.with_suffix(".partial")
        tensors = {name: weight.to("cpu", self._dtype).contiguous() for name, weight in weights}
        # only after all shards are gathered, so that no other process waits for this one if it fails
        self._folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        os.replace(partial, path)
        if path not in self._written:
            self._written.append(path)
        return path

    def forget_before(self, path: Path) -> None:
        """Delete the files that were written before ``path``."""
        for old in [other for other in self._written if other != path]:
            old.unlink(missing_ok=True)
            self._written.remove(old)

    def forget(self) -> None:
        """Delete all files."""
        while self._written:
            self._written.pop().unlink(missing_ok=True)
