"""The objective: from tensors of a micro-batch to its loss.

The loss is the negative objective of GRPO and iGRPO (iGRPO, arXiv 2602.09000, Eq. 3-6; gradient: Eq. 22-29) and of
related algorithms, aggregated over tokens and sequences (`igrpo.losses.aggregation`):

    loss = aggregate(w * surrogate + kl_beta * KL(policy || reference)) - entropy_coefficient * mean entropy

`igrpo.losses.surrogates` has the surrogates, and `igrpo.losses.importance_weights` the weights w.

Difference from TRL's ``use_bias_correction_kl``: neither the ratio nor a weight multiplies the KL term.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from igrpo.losses.advantages import advantages_of
from igrpo.losses.aggregation import Normaliser, aggregate, batch_normaliser, zero_masked
from igrpo.losses.importance_weights import MismatchMetrics, importance_weights
from igrpo.losses.kl import kl_estimate
from igrpo.losses.metrics import LossMetrics, loss_metrics
from igrpo.losses.surrogates import RATIOS, SURROGATES, shape
from igrpo.settings.importance_weights import CrossPromptConfig, ImportanceWeightsConfig, PolicyShapingConfig
from igrpo.settings.objective import ObjectiveConfig


@dataclass(frozen=True, slots=True)
class LossTensors:
    """Inputs of the loss for B completions of up to T tokens; log-probs at the sampling temperature, in nats.

    Gradients flow through ``logprobs_BT`` and ``entropies_BT`` only. Values where the mask is False, including NaN,
    have no effect.

    Args:
        logprobs_BT: log-probs of the policy being trained.
        old_logprobs_BT: log-probs of the policy at the start of the step.
        sampler_logprobs_BT: log-probs that the engine reported when it sampled the tokens.
        advantages: one per completion, or one per token.
        mask_BT: True at valid completion tokens.
        cross_prompt_B: True for completions that were sampled from a prompt other than the trained one.
        ref_logprobs_BT: log-probs of the reference policy. If given, the KL is measured even if its weight is 0.
        entropies_BT: entropies of the policy.
    """

    logprobs_BT: Float[Tensor, "B T"]
    old_logprobs_BT: Float[Tensor, "B T"]
    sampler_logprobs_BT: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B"] | Float[Tensor, "B T"]
    mask_BT: Bool[Tensor, "B T"]
    cross_prompt_B: Bool[Tensor, "B"]
    ref_logprobs_BT: Float[Tensor, "B T"] | None = None
    entropies_BT: Float[Tensor, "B T"] | None = None


@dataclass(frozen=True, slots=True)
class LossOutput:
    """Scalar ``loss`` to call ``backward`` on, and metrics.

    ``sampler`` measures the mismatch between sampler and trainer on completions of the trained prompt, ``cross_prompt``
    that between sampled and trained prompt on the other completions (None without settings for these).
    """

    loss: Float[Tensor, ""]
    metrics: LossMetrics
    sampler: MismatchMetrics
    cross_prompt: MismatchMetrics | None


@dataclass(frozen=True, slots=True)
class Objective:
    """Loss function made from its settings.

    Args:
        settings: surrogate, clip, KL term and aggregation.
        sampler_weights: importance weights of completions that were sampled from the trained prompt.
        cross_prompt: treatment of completions that were sampled from another prompt; None if there are none.
    """

    settings: ObjectiveConfig
    sampler_weights: ImportanceWeightsConfig
    cross_prompt: CrossPromptConfig | None

    def __call__(self, tensors: LossTensors, normaliser: Normaliser, entropy_coefficient: float) -> LossOutput:
        """Compute the loss of a micro-batch, as its exact share of the batch's loss.

        Args:
            tensors: the micro-batch. It needs a reference if ``kl_beta`` is not 0, and entropies if the entropy
                coefficient is not 0.
            normaliser: denominators of the batch that the micro-batch belongs to.
            entropy_coefficient: weight of the mean entropy of the batch's valid tokens, whatever the aggregation.
        """
        settings, mask_BT = self.settings, tensors.mask_BT
        logprobs_BT = zero_masked(tensors.logprobs_BT, mask_BT)
        old_BT = zero_masked(tensors.old_logprobs_BT.detach(), mask_BT)
        advantages = tensors.advantages if tensors.advantages.ndim == 2 else tensors.advantages.unsqueeze(-1)
        advantages_BT = advantages.detach().expand_as(logprobs_BT)
        weights_BT, sampler, cross_prompt = self._importance_weights(tensors)

        ratio_BT = RATIOS[settings.ratio](logprobs_BT, old_BT, mask_BT)
        surrogate = SURROGATES[settings.surrogate](logprobs_BT, ratio_BT, advantages_BT, *self._ratio_bounds)
        if isinstance(self.cross_prompt, PolicyShapingConfig):
            gamma = self.cross_prompt.gamma
            surrogate = shape(surrogate, logprobs_BT, advantages_BT, tensors.cross_prompt_B, gamma)
        loss_BT = surrogate.loss_BT if weights_BT is None else surrogate.loss_BT * weights_BT
        if settings.kl_beta != 0:
            assert tensors.ref_logprobs_BT is not None, "the KL term needs a reference"
            kl_BT = kl_estimate(logprobs_BT, tensors.ref_logprobs_BT.detach(), settings.kl_estimator)
            loss_BT = loss_BT + settings.kl_beta * kl_BT
        loss = aggregate(
            loss_BT,
            mask_BT,
            aggregation=settings.aggregation,
            constant_divisor=settings.constant_divisor,
            normaliser=normaliser,
        )
        if entropy_coefficient != 0:
            assert tensors.entropies_BT is not None, "the entropy bonus needs entropies"
            loss = loss - entropy_coefficient * aggregate(
                tensors.entropies_BT, mask_BT, aggregation="token_mean", constant_divisor=None, normaliser=normaliser
            )

        metrics = loss_metrics(
            loss,
            logprobs_BT=logprobs_BT,
            old_logprobs_BT=old_BT,
            ref_logprobs_BT=tensors.ref_logprobs_BT,
            mask_BT=mask_BT,
            ratio_BT=ratio_BT,
            below_BT=surrogate.below_BT,
            above_BT=surrogate.above_BT,
            level=settings.ratio,
        )
        return LossOutput(loss, metrics, sampler, cross_prompt)

    def loss(
        self,
        logprobs_BT: Float[Tensor, "B T"],
        advantages: Float[Tensor, "B"] | Float[Tensor, "B T"],
        mask_BT: Bool[Tensor, "B T"],
        *,
        old_logprobs_BT: Float[Tensor, "B T"] | None = None,
        sampler_logprobs_BT: Float[Tensor, "B T"] | None = None,
        ref_logprobs_BT: Float[Tensor, "B T"] | None = None,
        entropies_BT: Float[Tensor, "B T"] | None = None,
    ) -> LossOutput:
        """Compute the loss of a whole batch of B completions, each sampled from the prompt that it is trained on.

        ``mask_truncated`` and ``overlong_buffer`` do not apply: set ``mask_BT`` to False at the tokens of truncated
        completions, and subtract the penalty (`overlong_penalty`) from the rewards.

        Args:
            logprobs_BT: log-probs of the sampled tokens under the policy being trained, in nats, with gradient (see
                `token_logprobs`).
            advantages: one per completion, as from `advantages`, or one per token.
            mask_BT: True at valid completion tokens; values elsewhere, including NaN, have no effect.
            old_logprobs_BT: log-probs under the policy that sampled. None: that of ``logprobs_BT`` (ratio 1).
            sampler_logprobs_BT: log-probs that the engine reported. None: ``old_logprobs_BT``.
            ref_logprobs_BT: log-probs under the reference policy; needed if ``kl_beta`` is not 0.
            entropies_BT: entropies of the policy, in nats, with gradient; needed if ``entropy_bonus`` is not 0.

        Raises:
            ValueError: reference log-probs or entropies are needed and missing, or the settings contain
                ``entropy_control.target``, which needs a training loop.
        """
        settings = self.settings
        if settings.kl_beta != 0 and ref_logprobs_BT is None:
            raise ValueError(f"kl_beta={settings.kl_beta:g} needs ref_logprobs_BT, the reference policy's log-probs")
        if settings.entropy_bonus != 0 and entropies_BT is None:
            raise ValueError(f"entropy_bonus={settings.entropy_bonus:g} needs entropies_BT, the policy's entropies")
        if settings.entropy_control.target is not None:
            raise ValueError(
                f"entropy_control.target={settings.entropy_control.target:g} changes the bonus from step to step: use "
                "the training loop (igrpo.train), or set it to None and give entropy_bonus"
            )
        old_BT = logprobs_BT.detach() if old_logprobs_BT is None else old_logprobs_BT
        tensors = LossTensors(
            logprobs_BT=logprobs_BT,
            old_logprobs_BT=old_BT,
            sampler_logprobs_BT=old_BT if sampler_logprobs_BT is None else sampler_logprobs_BT,
            advantages=advantages,
            mask_BT=mask_BT,
            cross_prompt_B=torch.zeros(len(mask_BT), dtype=torch.bool, device=mask_BT.device),
            ref_logprobs_BT=ref_logprobs_BT,
            entropies_BT=entropies_BT,
        )
        return self(tensors, batch_normaliser(mask_BT), settings.entropy_bonus)

    def advantages(
        self, rewards_G: Float[Tensor, "*S G"], accepted_G: Bool[Tensor, "*S G"] | None = None
    ) -> Float[Tensor, "*S G"]:
        """Return the advantages of groups of G completions, along the last dimension of their rewards.

        Args:
            rewards_G: rewards, best in float64.
            accepted_G: with ``advantage.select=best``, True for completions that may be imitated. None: those whose
                reward is positive.

        Raises:
            ValueError: see `group_advantages` and `imitation_weights`.
        """
        return advantages_of(rewards_G, rewards_G > 0 if accepted_G is None else accepted_G, self.settings.advantage)

    def uses_zero_advantages(self, entropy_coefficient: float) -> bool:
        """Return True if a completion with advantage 0 has a gradient, from the KL term or the entropy bonus."""
        return self.settings.kl_beta != 0 or entropy_coefficient != 0

    @property
    def _ratio_bounds(self) -> tuple[float, float]:
        low, high = self.settings.clip_low, self.settings.clip_high
        return -inf if low is None else 1 - low, inf if high is None else 1 + high

    def _importance_weights(
        self, tensors: LossTensors
    ) -> tuple[Float[Tensor, "B T"] | None, MismatchMetrics, MismatchMetrics | None]:
        """Return the weights (None: all are 1) and the mismatch of both kinds of completions."""
        old_BT, sampler_BT, mask_BT = tensors.old_logprobs_BT, tensors.sampler_logprobs_BT, tensors.mask_BT
        if self.cross_prompt is None:
            own = importance_weights(old_BT, sampler_BT, mask_BT, self.sampler_weights)
            return (None if self.sampler_weights.level == "none" else own.weights_BT), own.metrics, None
        cross_B1 = tensors.cross_prompt_B.unsqueeze(-1)
        own = importance_weights(old_BT, sampler_BT, mask_BT & ~cross_B1, self.sampler_weights)
        other = importance_weights(old_BT, sampler_BT, mask_BT & cross_B1, self.cross_prompt.weights)
        return own.weights_BT + other.weights_BT, own.metrics, other.metrics
