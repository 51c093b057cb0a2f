"""Loading of a trained policy from the settings and a checkpoint of its run."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from igrpo.assembly import Policy, build_policy
from igrpo.config import RunConfig, read_config
from igrpo.messages import hint, nearest
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import SweepDirectory
from igrpo.training.checkpoint_content import check_version
from igrpo.training.checkpoints import Checkpoint, list_checkpoints, newest_checkpoint, read_best

_PREFIX = "policy."
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Trained:
    """Settings of a run, and its policy (in eval mode, on the CPU) with the weights of ``checkpoint``."""

    config: RunConfig
    checkpoint: Checkpoint
    policy: Policy


def load_trained(run_dir: Path, checkpoint: str, console: Console, others: Sequence[str] = ()) -> Trained:
    """Load the policy with the weights of a checkpoint.

    Args:
        run_dir: the run directory.
        checkpoint: ``best``, ``last``, or a step's number.
        console: shows progress.
        others: further names that the command knows, for the message about one that does not exist.

    Raises:
        ValueError: the run or checkpoint does not exist, the checkpoint is broken, or its weights do not fit the model.
    """
    config = run_config(run_dir)
    chosen = find_checkpoint(run_dir, checkpoint, others)
    policy = build_policy(config, console)
    _load(policy.model, chosen)
    policy.model.eval()
    return Trained(config, chosen, policy)


def run_config(run_dir: Path) -> RunConfig:
    """Read the settings of the run in ``run_dir``.

    Raises:
        ValueError: it is not a run directory; the message suggests a similar name, or runs of the sweep.
    """
    directory = RunDirectory(run_dir)
    if directory.config.is_file():
        return read_config(directory.config)
    sweep = SweepDirectory(run_dir)
    if sweep.exists:
        runs = ", ".join(cell.folder for cell in sweep.read().cells[:_SHOWN])
        raise ValueError(f"{run_dir} is a sweep; give one of the runs in it, such as {runs}")
    raise ValueError(f"{run_dir} is no run directory{_neighbour(run_dir)}")


def find_checkpoint(run_dir: Path, wanted: str, others: Sequence[str] = ()) -> Checkpoint:
    """Return the checkpoint that ``wanted`` names; ``last`` is the newest complete one.

    ``others`` are further names that the command knows, for the message.

    Raises:
        ValueError: the checkpoint does not exist.
    """
    folder = RunDirectory(run_dir).checkpoints
    kept = {str(checkpoint.step): checkpoint for checkpoint in list_checkpoints(folder)}
    if not kept:
        raise ValueError(f"{run_dir} has no checkpoint yet")
    if wanted == "last":
        newest = newest_checkpoint(folder)
        assert newest is not None, "there are some, and broken ones raise"
        return newest
    best = read_best(folder)
    if wanted == "best":
        if best is None:
            raise ValueError(f"--checkpoint best: {run_dir} was not evaluated yet, or checkpoint.keep_best is off")
        wanted = str(best["step"])
    number = str(int(wanted)) if wanted.isdecimal() else wanted
    if number not in kept:
        names = [*(["best"] if best is not None else []), "last", *others, *kept]
        misspelled = "" if wanted.isdecimal() else wanted  # for a number, a similar one is not a useful suggestion
        raise ValueError(f"--checkpoint {wanted}: {run_dir} keeps no such one{hint(misspelled, names)}")
    return kept[number]


def _neighbour(path: Path) -> str:
    folder = path.absolute().parent
    if path.exists():
        return ": it has no config.yaml"
    beside = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    near = nearest(path.name, beside)
    return f"; did you mean '{path.with_name(near)}'?" if near else ": there is no such directory"


def _load(model: Any, checkpoint: Checkpoint) -> None:
    """Load the checkpoint's weights into the model. Frozen weights may be missing, since the base model has them."""
    given = _weights(checkpoint)
    own: dict[str, Tensor] = model.state_dict()
    parameters = model.named_parameters(remove_duplicate=False)  # a tied head has two names
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    wrong = {
        "lacks": sorted(own.keys() - frozen - given.keys()),
        "has, and the model has not,": sorted(given.keys() - own.keys()),
        "has in another shape": sorted(n for n in given.keys() & own.keys() if given[n].shape != own[n].shape),
    }
    problems = [f"{what} {_shown(names)}" for what, names in wrong.items() if names]
    if problems:
        raise ValueError(f"{checkpoint.path} does not fit the model of the run's settings: it {'; it '.join(problems)}")
    model.load_state_dict(given, strict=False)


def _weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the policy's tensors by name, read from the file lazily (memory-mapped)."""
    try:
        with zipfile.ZipFile(checkpoint.path) as archive:
            damaged = archive.testzip()  # torch's files are zip archives with one checksum per member
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{checkpoint.path} cannot be read: {error}") from None
    if damaged is not None:
        raise ValueError(f"{checkpoint.path} is broken (checksum of {damaged}); choose another --checkpoint")
    content: dict[str, Any] = torch.load(checkpoint.path, map_location="cpu", weights_only=True, mmap=True)
    check_version(content["igrpo"], checkpoint.path)
    return {name.removeprefix(_PREFIX): tensor for name, tensor in content["state_dict"].items()}


def _shown(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
