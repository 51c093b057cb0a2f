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
    baseline: Baseline
    scale: Scale
    std: Std
    std_eps: NonNegativeFloat
    tolerance: NonNegativeFloat
    select: Literal["all", "best"]


class EntropyControlConfig(Section):
    """Control of ``entropy_bonus`` by a target entropy, in nats per token (None: the bonus is constant).

    See `igrpo.training.entropy_control`.
    """

    target: PositiveFloat | None
    step: PositiveFloat
    maximum: PositiveFloat


class ObjectiveConfig(Section):
    """Settings of the loss.

    ``overlong_buffer``: number of tokens before ``sampling.max_completion_tokens`` over which the reward that is
    trained on falls linearly by 1 (None: no penalty).
    """

    name: str
    advantage: AdvantageConfig
    ratio: Ratio
    surrogate: Surrogate
    clip_low: PositiveFloat | None
    clip_high: PositiveFloat | None
    aggregation: Aggregation
    constant_divisor: PositiveFloat | None
    kl_beta: NonNegativeFloat
    kl_estimator: KLEstimator
    entropy_bonus: float
    entropy_control: EntropyControlConfig
    mask_truncated: bool
    overlong_buffer: PositiveInt | None

    @property
    def has_entropy_bonus(self) -> bool:
        """True if the loss may include the entropy."""
        return self.entropy_bonus != 0 or self.entropy_control.target is not None
