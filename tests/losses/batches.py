"""Random batches for the tests: ragged, with holes, with rows without a valid token, with ratios on both clip sides."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from igrpo.losses import LossOutput, LossTensors, Normaliser, Objective, batch_normaliser
from igrpo.settings.importance_weights import ImportanceWeightsConfig, PolicyShapingConfig
from igrpo.settings.objective import ObjectiveConfig

from .presets import LOSSES, NO_WEIGHTS


@dataclass(frozen=True)
class Batch:
    """float64 inputs of the objective for B completions, which the policy itself sampled from the trained prompt."""

    logprobs: Tensor
    old: Tensor
    ref: Tensor | None
    entropies: Tensor | None
    advantages: Tensor
    mask: Tensor

    def select(self, rows: Any) -> "Batch":
        return Batch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def with_(self, **changes: Tensor | None) -> "Batch":
        return replace(self, **changes)


def random_batch(seed: int, rows: int = 6, length: int = 7, sigma: float = 0.4) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logprobs = -normal(rows, length).abs() - 0.05
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    mask = torch.arange(length) < lengths.unsqueeze(1)
    if rows > 2:
        mask[1] = False  # a completion without a valid token
        mask[2, 0] = False  # a hole: a token that the policy did not write
    return Batch(
        logprobs=logprobs,
        old=logprobs + sigma * normal(rows, length),
        ref=logprobs + sigma * normal(rows, length),
        entropies=normal(rows, length).abs(),
        advantages=normal(rows),
        mask=mask,
    )


def loss_of(
    batch: Batch,
    settings: dict[str, Any],
    normaliser: Normaliser | None = None,
    *,
    sampler: Tensor | None = None,
    weights: ImportanceWeightsConfig = NO_WEIGHTS,
    cross_prompt_B: Tensor | None = None,
    shaping: PolicyShapingConfig | None = None,
) -> LossOutput:
    """The loss with some settings changed from those of objective=grpo. The batch is a whole one by default."""
    objective = Objective(ObjectiveConfig.model_validate(LOSSES["grpo"] | settings), weights, shaping)
    tensors = LossTensors(
        batch.logprobs,
        batch.old,
        batch.old if sampler is None else sampler,
        batch.advantages,
        batch.mask,
        torch.zeros(len(batch.mask), dtype=torch.bool) if cross_prompt_B is None else cross_prompt_B,
        batch.ref,
        batch.entropies,
    )
    whole = batch_normaliser(batch.mask) if normaliser is None else normaliser
    return objective(tensors, whole, objective.settings.entropy_bonus)


def loss_and_grads(
    batch: Batch, settings: dict[str, Any], normaliser: Normaliser | None = None, **treatment: Any
) -> tuple[float, Tensor, Tensor]:
    """The loss and its gradients in the log-probs and the entropies (zeros where it does not depend on them)."""
    logprobs, entropies = batch.logprobs.clone().requires_grad_(), batch.entropies.clone().requires_grad_()
    loss = loss_of(batch.with_(logprobs=logprobs, entropies=entropies), settings, normaliser, **treatment).loss
    if not loss.requires_grad:
        return loss.item(), torch.zeros_like(logprobs), torch.zeros_like(entropies)
    grads = torch.autograd.grad(loss, [logprobs, entropies], allow_unused=True)
    return loss.item(), *(torch.zeros_like(logprobs) if grad is None else grad for grad in grads)
