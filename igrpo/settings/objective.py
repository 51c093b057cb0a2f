"""Settings of the loss. Any loss can be combined with any algorithm."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from igrpo.settings.base import Section

Baseline = Literal["mean", "leave_one_out", "none"]
Scale = Literal["std", "none"]
Std = Literal["sample", "population"]
Ratio = Literal["token", "sequence"]
Surrogate = Literal["clip", "detached", "reinforce"]
Aggregation = Literal["sequence_mean", "token_mean", "constant"]
KLEstimator = Literal["k1", "k2", "k3"]


class AdvantageConfig(Section):
    """Advantages of the completions of a group."""

    baseline: Baseline
    """Number that is subtracted from the rewards of a group: their mean, for each completion the mean of the others
    (`leave_one_out`), or nothing."""

    scale: Scale
    """Number that the result is divided by: the standard deviation of the group's rewards, or nothing."""

    std: Std
    """Estimator of the standard deviation: with n - 1 (`sample`, as in the paper), or with n (`population`)."""

    std_eps: NonNegativeFloat
    """Added to the standard deviation. TRL uses 1e-4, verl 1e-6."""

    tolerance: NonNegativeFloat
    """A group whose rewards differ by no more than this, relative to their size, has advantages of 0."""

    select: Literal["all", "best"]
    """Completions of a group that are trained: all of them, or the best right one, with weight 1 (`best`, imitation).
    """


class EntropyControlConfig(Section):
    """Control of ``entropy_bonus`` by a target entropy (see `igrpo.training.entropy_control`)."""

    target: PositiveFloat | None
    """Target of the policy's entropy, in nats per token. Below it the bonus is on and its weight grows; above it the
    bonus is off and its weight shrinks. Null: the weight is constant."""

    step: PositiveFloat
    """Change of the weight per training step."""

    maximum: PositiveFloat
    """Maximum of the weight; its minimum is 0."""


class ObjectiveConfig(Section):
    """Settings of the loss."""

    name: str
    """Name of the loss in tables and MLflow. The other settings define the loss."""

    advantage: AdvantageConfig
    """Advantages of the completions of a group."""

    ratio: Ratio
    """Ratio pi / pi_old per token, or one length-normalised ratio per completion (`sequence`, as in GSPO)."""

    surrogate: Surrogate
    """How the ratio enters the loss: clipped as in PPO (`clip`), clipped and detached, as a weight of the log-probs
    (`detached`, as in CISPO), or not at all (`reinforce`)."""

    clip_low: PositiveFloat | None
    """The ratio is clipped from below at 1 - clip_low. Null: no bound on that side."""

    clip_high: PositiveFloat | None
    """The ratio is clipped from above at 1 + clip_high. Null: no bound on that side."""

    aggregation: Aggregation
    """Sum of the losses of tokens: mean over completions of the mean over their tokens (`sequence_mean`), mean over all
    tokens (`token_mean`), or the mean over completions of the sum over their tokens divided by `constant_divisor`
    (`constant`)."""

    constant_divisor: PositiveFloat | None
    """Divisor for `aggregation=constant`, in tokens. Null with the other aggregations."""

    kl_beta: NonNegativeFloat
    """Weight of the KL term towards the weights at the start. Above 0 a reference model is kept in memory, except with
    LoRA adapters."""

    kl_estimator: KLEstimator
    """Estimator of the KL divergence per token: k1 (log-ratio), k2 (half of its square) or k3 (unbiased and never
    negative)."""

    entropy_bonus: float
    """Weight of the mean entropy in the loss. 0: no bonus. With `entropy_control.target`, its value at the start."""

    entropy_control: EntropyControlConfig
    """Control of `entropy_bonus` by a target entropy (arXiv 2505.22312)."""

    mask_truncated: bool
    """True: completions that reached the token limit are not trained."""

    overlong_buffer: PositiveInt | None
    """Number of tokens before `sampling.max_completion_tokens` over which the reward that is trained on falls linearly
    by 1. Null: no penalty. Not with `mask_truncated`."""

    @property
    def has_entropy_bonus(self) -> bool:
        """True if the loss may include the entropy."""
        return self.entropy_bonus != 0 or self.entropy_control.target is not None
