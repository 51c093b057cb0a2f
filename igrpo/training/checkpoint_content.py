"""Contents of a checkpoint in addition to Lightning's own state: the trained tensors and plain values.

The values are plain Python types, so that a checkpoint loads without executing code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from igrpo.algorithms.base import AlgorithmState
from igrpo.budget import Budget
from igrpo.training.entropy_control import EntropyControl

CHECKPOINT_VERSION = 1


class CheckpointError(ValueError):
    """Raised when no checkpoint of a run can be used."""


@dataclass(frozen=True, slots=True)
class PlainState:
    """State of a run that is not in tensors. Loading updates these objects; the caller keeps the rollout step."""

    budget: Budget
    control: EntropyControl | None
    algorithm: AlgorithmState | None

    def save(self, rollout_step: int) -> dict[str, Any]:
        """Return the state after ``rollout_step`` steps."""
        state = {
            "schema_version": CHECKPOINT_VERSION,
            "rollout_step": rollout_step,
            "budget": self.budget.state_dict(),
        }
        if self.control is not None:
            state["entropy_coefficient"] = self.control.coefficient
        if self.algorithm is not None:
            state["algorithm"] = self.algorithm.state_dict()
        return state

    def load(self, state: Mapping[str, Any]) -> int:
        """Restore the state that `save` returned, and return its rollout step."""
        self.budget.load_state_dict(state["budget"])
        if self.control is not None:
            self.control.coefficient = state["entropy_coefficient"]
        if self.algorithm is not None:
            self.algorithm.load_state_dict(state["algorithm"])
        step: int = state["rollout_step"]
        return step


def check_version(state: Mapping[str, Any], path: Path) -> None:
    """Check the version of the plain state read from the file ``path``.

    Raises:
        CheckpointError: the checkpoint has another version.
    """
    found = state.get("schema_version")
    if found != CHECKPOINT_VERSION:
        raise CheckpointError(f"{path} has checkpoint version {found}; igrpo reads {CHECKPOINT_VERSION} here")


def trained_tensors(module: torch.nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trained part of a module's ``state``. With adapters, the base model provides the frozen weights."""
    named = module.named_parameters(remove_duplicate=False)  # lists a tied head under its own name, too
    frozen = {name for name, parameter in named if not parameter.requires_grad}
    return {name: tensor for name, tensor in state.items() if name not in frozen}


def check_names(state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Check that a checkpoint holds exactly the tensors that this run trains.

    Raises:
        ValueError: some tensors are on one side only.
    """
    different = sorted(set(state) ^ set(own))
    if different:
        raise ValueError(
            f"the checkpoint does not hold what this run trains; {len(different)} tensors are on one side only: "
            f"{', '.join(different[:4])}"
        )
