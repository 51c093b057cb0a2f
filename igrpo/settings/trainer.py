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

    Runs from before ``share_prefixes`` and ``lean_layers`` existed have neither.
    """

    strategy: Literal["single", "ddp", "fsdp2"]
    """One process (`single`), one replica per process (`ddp`), or weights, gradients and optimizer state sharded over
    the processes (`fsdp2`)."""

    devices: PositiveInt
    """Number of processes per node. Each takes a share of the step's questions."""

    nodes: PositiveInt
    """Number of nodes; the others start with `igrpo join RUN_DIR`."""

    collective_timeout_s: PositiveFloat
    """Time that a process waits for another one before the run ends, in seconds."""

    device: Literal["cpu", "cuda", "auto"]
    """Device of the trainer; `auto` is CUDA if it is available."""

    precision: Literal["fp32", "bf16"]
    """Precision of the computation. The weights have that of the model (`model.dtype`)."""

    activation_checkpointing: bool
    """True: compute activations again in the backward pass, which needs less memory and more time."""

    optimizer: Literal["adamw", "adamw_8bit"]
    """Optimizer; `adamw_8bit` keeps its state in 8 bits (bitsandbytes, CUDA only)."""

    threads: PositiveInt
    """Number of torch threads on the CPU. More are no faster for a small model or on a busy machine."""

    steps: PositiveInt
    """Number of training steps; each samples, scores and trains `questions_per_step` questions."""

    questions_per_step: PositiveInt
    """Number of questions per step, over all processes."""

    epochs: PositiveInt
    """Number of passes over the samples of a step."""

    minibatches: PositiveInt
    """Number of optimizer steps per pass. With one update per step training is on-policy, and clipping has no effect.
    """

    tokens_per_microbatch: PositiveInt
    """Maximum number of tokens per forward pass, which limits memory. A longer completion is a pass of its own. Results
    do not depend on it up to rounding."""

    head_chunk: PositiveInt | None
    """Number of tokens whose logits are computed at a time, which limits memory. Null: those of 128 MiB of logits."""

    share_prefixes: bool = False
    """True: compute a prompt once for all its completions, without padding. False: once per completion."""

    lean_layers: bool = False
    """True: norms and MLPs keep less for the backward pass, and compute it again. False: the layers of transformers."""

    learning_rate: PositiveFloat
    """Peak learning rate. The value that suits a model also depends on the algorithm (`sweep=search_lr`)."""

    betas: tuple[Decay, Decay] = Field(strict=False)
    """Decay rates of AdamW's two moments."""

    adam_eps: PositiveFloat
    """AdamW's term against division by 0."""

    weight_decay: NonNegativeFloat
    """AdamW's weight decay. 0: none."""

    schedule: Literal["constant", "cosine"]
    """Course of the learning rate after the warm-up."""

    warmup_share: UnitShare
    """Share of all steps in which the learning rate rises linearly to its peak. 0: no warm-up."""

    minimum_lr_share: UnitShare
    """Learning rate at the end of the cosine schedule, as a share of `learning_rate`."""

    clip_norm: PositiveFloat
    """Maximum norm of the gradient of all weights; a larger one is scaled down."""

    on_nonfinite: Literal["stop", "skip"]
    """Reaction to a loss or gradient that is not finite: end the run and save the step's data (`stop`), or leave
    out the update and count it (`skip`)."""


class BudgetConfig(Section):
    """Limits that end a run before ``trainer.steps``. ``max_X`` limits counter X of `igrpo.budget`."""

    max_samples: PositiveInt | None
    """Limit on the completions sampled for training, drafts included. Null: no limit."""

    max_generated_tokens: PositiveInt | None
    """Limit on the tokens sampled for training. Null: no limit."""

    max_trained_tokens: PositiveInt | None
    """Limit on the prompt and completion tokens in forward and backward passes. Null: no limit."""

    max_flops: PositiveFloat | None
    """Limit on the floating-point operations of sampling and updates, computed from the model's shape. Null: no limit.
    """

    max_seconds: PositiveFloat | None
    """Limit on the training time in seconds, without evaluation and checkpoints; it depends on the machine. Null: no
    limit."""


class CheckpointConfig(Section):
    """Checkpoints, from which a run is resumed."""

    every: PositiveInt
    """Number of steps between checkpoints. After a crash, steps since the last one are done again."""

    keep_last: PositiveInt
    """Number of newest checkpoints to keep."""

    keep_best: bool
    """True: also keep the best checkpoint, by single-shot accuracy on the development split."""

    minimum_free_mb: NonNegativeInt
    """Free disk space that a checkpoint must leave, in MB. With less, the run stops cleanly."""
