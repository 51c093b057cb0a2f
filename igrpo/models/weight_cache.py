"""Trained weights in the user's cache directory: one safetensors file per entry, written atomically, and verified."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from igrpo.files import atomic_path
from igrpo.models.cache import cache_root

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(__name__)


def entry_path(name: str, settings: DataclassInstance, version: int, cache_dir: Path | None) -> Path:
    """Return the file of an entry; its name contains a hash of the settings and of the recipe's version."""
    description = json.dumps({"version": version, "settings": asdict(settings)}, sort_keys=True)
    digest = hashlib.sha256(description.encode()).hexdigest()[:16]
    return (cache_root() if cache_dir is None else cache_dir) / "warm_start" / f"{name}-{digest}.safetensors"


def load(model: torch.nn.Module, entry: Path) -> bool:
    """Load ``model``'s weights from the entry; returns False if there is none, or (with a warning) if it is broken."""
    if not entry.exists():
        return False
    try:
        with safe_open(entry, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            recorded = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError) as error:
        return _broken(entry, str(error))
    if recorded != _digest(weights):
        return _broken(entry, "its weights do not match their checksum")
    parameters = dict(model.named_parameters())
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != {name: weight.shape for name, weight in weights.items()}:
        return _broken(entry, "its weights are those of another model")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return True


def save(model: torch.nn.Module, entry: Path, seconds: float | None = None) -> None:
    """Write the entry atomically; a tied weight is stored once. ``seconds`` is the time that its training took."""
    weights = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    with atomic_path(entry) as temporary:
        times = {} if seconds is None else {"seconds": f"{seconds:.1f}"}
        save_file(weights, temporary, metadata={"sha256": _digest(weights), **times})


def seconds(entry: Path) -> float | None:
    """Return the time that the training of an entry took; None if it is unknown, or if there is no such entry."""
    try:
        with safe_open(entry, framework="pt") as file:
            return float((file.metadata() or {})["seconds"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _broken(entry: Path, reason: str) -> bool:
    log.warning("the cache entry %s is broken (%s): rebuilding it", entry, reason)
    return False


def _digest(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}:{weights[name].dtype}:".encode())
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()
