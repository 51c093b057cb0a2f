"""Forward pass of the trainer: log-probs and entropies of completion tokens, without a [B, T, V] tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from igrpo.losses import token_logprobs
from igrpo.models.logits import logit_transform
from igrpo.training.batching import MicroBatch

Entropies = Literal["none", "value", "gradient"]

#: Size to which the check scales the head's outputs: a cap of 30 changes small outputs by less than rounding.
_CHECKED_LOGITS = 100.0

_OTHER = "so its log-probs would be wrong; choose another model family"


@dataclass(frozen=True, slots=True)
class RowStats:
    """Statistics of each completion token in nats, zero at padding.

    ``entropies_BT`` are the policy's entropies at temperature 1, ``sampling_entropies_BT`` those at the sampling
    temperature. Both are None if entropies were not requested.
    """

    logprobs_BT: Tensor
    entropies_BT: Tensor | None
    sampling_entropies_BT: Tensor | None


@dataclass(frozen=True, slots=True)
class PolicyForward:
    """Runs a causal LM's decoder and the output head on completion positions only.

    ``temperature`` is the sampling temperature. ``chunk`` limits the number of tokens whose logits exist at a
    time; None: `igrpo.settings.trainer.rows_of_logits`.
    """

    temperature: float
    chunk: int | None

    def __call__(self, model: Any, batch: MicroBatch, entropies: Entropies = "none") -> RowStats:
        """Return the statistics of a micro-batch under ``model``. Gradients flow unless the caller disables them.

        ``entropies``: do not compute entropies, compute their value, or let gradients flow through ``entropies_BT``.
        """
        arguments = (batch, self, entropies)
        stats = model(*arguments) if isinstance(model, PolicyRoot) else _statistics(model, *arguments)
        return RowStats(*stats) if entropies != "none" else RowStats(stats[0], None, None)


class PolicyRoot(nn.Module):
    """Policy wrapper whose ``forward`` computes all of ``PolicyForward``, including the output head.

    Sharded weights are gathered when the ``forward`` of a module begins. The head's weights must be among them.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: MicroBatch, how: PolicyForward, entropies: Entropies) -> tuple[Tensor, ...]:
        """Return the tensors of `RowStats`."""
        return _statistics(self.policy, batch, how, entropies)


def _statistics(model: Any, batch: MicroBatch, how: PolicyForward, entropies: Entropies) -> tuple[Tensor, ...]:
    hidden_RLH = decoder_hidden(model, batch.inputs.arguments)
    index = batch.mask_BT.nonzero(as_tuple=True)
    hidden_MH = hidden_RLH.flatten(0, 1)[batch.predictors_BT[index]]
    head = model.get_output_embeddings()
    transform = logit_transform(model)
    stats = token_logprobs(
        hidden_MH,
        head.weight,
        batch.targets_BT[index],
        head_bias=head.bias,
        temperature=how.temperature,
        chunk=how.chunk,
        logit_scale=transform.scale,
        logit_softcap=transform.softcap,
        with_entropy=entropies != "none",
        entropy_grad=entropies == "gradient",
    )
    zeros = torch.zeros(batch.mask_BT.shape, dtype=stats.logprobs.dtype, device=stats.logprobs.device)
    tensors = (stats.logprobs, stats.policy_entropies, stats.sampling_entropies)
    return tuple(zeros.index_put(index, values) for values in tensors if values is not None)


def decoder_hidden(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Return the decoder's last hidden states [B, L, H], without the output head."""
    output = model.base_model(**inputs, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden


@torch.no_grad()
def check_head(model: Any) -> None:
    """Check on a few tokens that `igrpo.models.logits.logit_transform` reproduces the model's own logits.

    The inputs of the head are scaled up for the check, so that the logits are as large as they may become in training,
    however small they are for these tokens.

    Raises:
        ValueError: the logits differ, because this model family changes its logits in an unknown way. Training would
            use wrong log-probs.
    """
    head = model.get_output_embeddings()
    ids = torch.arange(1, 6, device=head.weight.device).unsqueeze(0) % head.weight.shape[0]
    mask = torch.ones_like(ids)
    if model.base_model is model:
        raise ValueError(
            f"model.name_or_path: {type(model).__name__} has no decoder apart from its output head, {_OTHER}"
        )
    hidden = decoder_hidden(model, {"input_ids": ids, "attention_mask": mask})
    outputs = functional.linear(hidden, head.weight).float()
    factor = max(1.0, _CHECKED_LOGITS / max(outputs.abs().max().item(), 1e-6))
    handle = head.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * factor,))
    try:
        expected = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    finally:
        handle.remove()
    logits = logit_transform(model)(functional.linear(hidden * factor, head.weight, head.bias).float())
    error = (logits - expected).abs().max().item()
    # a few rounding errors of the model's dtype; float32 may use another order of multiplication
    tolerance = max(1e-4, 3 * torch.finfo(head.weight.dtype).eps)
    if not error <= tolerance * max(1.0, expected.abs().max().item()):
        raise ValueError(
            f"model.name_or_path: {type(model).__name__} changes its logits after the output head (by up to "
            f"{error:.3g}), which igrpo does not know how to follow, {_OTHER}"
        )
