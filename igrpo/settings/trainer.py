"""Settings of optimization, hardware, budgets and checkpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Decay, Section, UnitShare

#: Default size of the logits that exist at once. A few more tensors of their size exist with them.
_LOGITS_BYTES = 128 * 2**20


def rows_of_logits(vocabulary: int) -> int:
    """Return the number of rows of float32 logits that 128 MiB hold, at least one: ``trainer.head_chunk=null``."""
    return max(1, _LOGITS_BYTES // (4 * vocabulary))


class TrainerConfig(Section):
    """Optimization, hardware and batch sizes.

    ``strategy``: ``single`` (one process), ``ddp`` (one replica per process) or ``fsdp2`` (weights, gradients and
    optimizer state sharded over the processes). ``devices`` is the number of processes per node; with several
    processes, each takes a share of the step's questions. After ``collective_timeout_s`` seconds of waiting for a
    missing process, the run ends. ``share_prefixes`` computes a prompt once for all its completions, ``lean_layers``
    keeps less for the backward pass. (Runs from before they existed have neither.)
    """

    strategy: Literal["single", "ddp", "fsdp2"]
    devices: PositiveInt
    nodes: PositiveInt
    collective_timeout_s: PositiveFloat
    device: Literal["cpu", "cuda", "auto"]
    precision: Literal["fp32", "bf16"]
    activation_checkpointing: bool
    optimizer: Literal["adamw", "adamw_8bit"]
    threads: PositiveInt
    steps: PositiveInt
    questions_per_step: PositiveInt
    epochs: PositiveInt
    minibatches: PositiveInt
    tokens_per_microbatch: PositiveInt
    head_chunk: PositiveInt | None
    share_prefixes: bool = False
    lean_layers: bool = False
    learning_rate: PositiveFloat
    betas: tuple[Decay, Decay] = Field(strict=False)
    adam_eps: PositiveFloat
    weight_decay: NonNegativeFloat
    schedule: Literal["constant", "cosine"]
    warmup_share: UnitShare
    minimum_lr_share: UnitShare
    clip_norm: PositiveFloat
    on_nonfinite: Literal["stop", "skip"]


class BudgetConfig(Section):
    """Limits that end a run before ``trainer.steps`` (None: no limit). ``max_X`` limits counter X of `igrpo.budget`."""

    max_samples: PositiveInt | None
    max_generated_tokens: PositiveInt | None
    max_trained_tokens: PositiveInt | None
    max_flops: PositiveFloat | None
    max_seconds: PositiveFloat | None


class CheckpointConfig(Section):
    every: PositiveInt
    keep_last: PositiveInt
    keep_best: bool
    minimum_free_mb: NonNegativeInt
