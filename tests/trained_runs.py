"""Run directories with checkpoints: really trained ones, and ones that are written by hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from igrpo.assembly import Policy, build_policy
from igrpo.cli.main import main
from igrpo.config import RunConfig, config_values
from igrpo.runs.run_directory import RunDirectory
from tests.composed import config

#: The entropy bonus gives every row a gradient, so that the weights move whatever the rewards are.
SMALL = (
    "model.hidden=32", "model.layers=1", "model.heads=2", "model.mlp=48", "model.warm_start.steps=5",
    "trainer.steps=2", "trainer.questions_per_step=2", "completions_per_question=4", "trainer.learning_rate=0.01",
    "objective.entropy_bonus=0.1", "evaluation.questions=2", "evaluation.samples=1", "evaluation.every=1",
    "checkpoint.every=1", "tracking=none", "sampling.max_completion_tokens=8",
)  # fmt: skip
LORA = ("lora=rank_16", "lora.rank=2", "lora.alpha=4.0")


@cache
def trained_run(*overrides: str) -> Path:
    """The directory of a run of two steps of the tiny model, trained once a process. Treat it as read-only."""
    kept = Path(os.environ["IGRPO_CACHE_DIR"]) / "trained-runs" / str(os.getpid())  # the test session's own folder
    folder = kept / f"run-{len(list(kept.glob('*')))}"
    assert main(["train", f"hydra.run.dir={folder}", *SMALL, *overrides]) == 0
    return folder


def written_run(
    folder: Path, *overrides: str, changes: dict[str, Any] | None = None, step: int = 3
) -> tuple[RunConfig, Policy]:
    """A run directory with one checkpoint, of weights that no training made, and what it must be read back as."""
    settings = config(changes, *overrides)
    policy = build_policy(settings, Console(quiet=True))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
    directory = RunDirectory(folder)
    directory.create()
    directory.save_config(config_values(settings))
    frozen = {n for n, p in policy.model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    state = {f"policy.{name}": value for name, value in policy.model.state_dict().items() if name not in frozen}
    write_checkpoint(folder, step, state)
    return settings, policy


def write_checkpoint(folder: Path, step: int, state: dict[str, torch.Tensor], *, version: int = 1) -> Path:
    """A checkpoint file with these weights."""
    path = RunDirectory(folder).checkpoints / f"step-{step:06d}.ckpt"
    torch.save({"state_dict": state, "igrpo": {"schema_version": version, "rollout_step": step}}, path)
    return path


BYTES: dict[str, Any] = {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "model.mlp": 16}
#: Overrides of a run of the byte-level model, which is made without training.
BYTE_LEVEL = ("experiment=math_local", "data.path=none.jsonl")


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    """Of every position of one row."""
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return result
