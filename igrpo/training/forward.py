"""The trainer's forward pass: log-probs and entropies of completion tokens, never a [B, T, V] tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from igrpo.objective import token_logprobs
from igrpo.training.batching import MicroBatch

#: Largest difference between our head and the model's own logits that passes for rounding, relative to their size.
_HEAD_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class RowStats:
    """Of each completion token (zero at padding), in nats. ``entropies_BT`` are the policy's, at temperature 1,
    ``sampling_entropies_BT`` those at the sampling temperature (None: not asked for)."""

    logprobs_BT: Tensor
    entropies_BT: Tensor | None
    sampling_entropies_BT: Tensor | None


@dataclass(frozen=True, slots=True)
class PolicyForward:
    """Runs a causal LM's decoder and the output head on completion positions only.

    ``temperature`` is the sampling temperature; ``chunk`` bounds the tokens whose logits exist at a time.
    """

    temperature: float
    chunk: int
    with_entropy: bool
    entropy_grad: bool

    def __call__(self, model: Any, batch: MicroBatch) -> RowStats:
        """Statistics of a micro-batch under ``model``; gradients flow unless the caller forbids them."""
        found = model(batch, self) if isinstance(model, PolicyRoot) else _statistics(model, batch, self)
        return RowStats(*found) if self.with_entropy else RowStats(found[0], None, None)


class PolicyRoot(nn.Module):
    """A policy whose ``forward`` is the whole of ``PolicyForward``, head included.

    Sharded weights are gathered when the ``forward`` of a module begins; the head's are needed, too.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: MicroBatch, how: PolicyForward) -> tuple[Tensor, ...]:
        """The tensors of RowStats."""
        return _statistics(self.policy, batch, how)


def _statistics(model: Any, batch: MicroBatch, how: PolicyForward) -> tuple[Tensor, ...]:
    hidden_BLH = decoder_hidden(model, batch.input_ids_BL, batch.attention_mask_BL)
    index = batch.mask_BT.nonzero(as_tuple=True)
    hidden_MH = hidden_BLH[index[0], batch.positions_BT[index]]
    head = model.get_output_embeddings()
    stats = token_logprobs(
        hidden_MH,
        head.weight,
        batch.targets_BT[index],
        head_bias=head.bias,
        temperature=how.temperature,
        chunk=how.chunk,
        logit_softcap=logit_softcap(model),
        with_entropy=how.with_entropy,
        entropy_grad=how.entropy_grad,
    )
    zeros = torch.zeros(batch.mask_BT.shape, dtype=stats.logprobs.dtype, device=stats.logprobs.device)
    found = (stats.logprobs, stats.policy_entropies, stats.sampling_entropies)
    return tuple(zeros.index_put(index, values) for values in found if values is not None)


def decoder_hidden(model: Any, input_ids_BL: Tensor, attention_mask_BL: Tensor) -> Tensor:
    """The decoder's last hidden states [B, L, H], without the output head."""
    output = model.base_model(input_ids=input_ids_BL, attention_mask=attention_mask_BL, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden


def logit_softcap(model: Any) -> float | None:
    """The cap that models such as Gemma put on their final logits, None where there is none."""
    config = model.config.get_text_config().to_dict()
    value = config.get("final_logit_softcapping")
    return None if value is None else float(value)


@torch.no_grad()
def check_head(model: Any) -> None:
    """Prove on a few tokens that hidden states times the output head are the model's own logits.

    Raises:
        ValueError: they are not (a family that scales its logits in a way that is not known here): training on them
            would use wrong log-probs.
    """
    device = next(model.parameters()).device
    ids = torch.arange(1, 6, device=device).unsqueeze(0) % model.get_output_embeddings().weight.shape[0]
    mask = torch.ones_like(ids)
    expected = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    head = model.get_output_embeddings()
    logits = torch.nn.functional.linear(decoder_hidden(model, ids, mask), head.weight, head.bias).float()
    cap = logit_softcap(model)
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    error = (logits - expected).abs().max().item()
    if not error <= _HEAD_TOLERANCE * max(1.0, expected.abs().max().item()):
        raise ValueError(
            f"model.name_or_path: {type(model).__name__} changes its logits after the output head (by up to "
            f"{error:.3g}), which igrpo does not know how to follow; choose another model family"
        )
