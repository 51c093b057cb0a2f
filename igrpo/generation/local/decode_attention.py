"""Attention for one query token per row, and a context manager for sampling from a model in training.

With a mask, transformers' SDPA path repeats the keys and values of grouped-query attention for every query head. That
copies the whole cache in every layer at every step. Here the query heads that share a key head become rows of one
matrix product instead. The result is the same, and it was 40 times faster at 32 rows of 500 tokens with 7 query heads
per key head (CPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "igrpo_decode"


def decode_attention(  # noqa: PLR0917 - the interface's own signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute ``sdpa`` attention with a fast path for a single query: same arguments, same result up to rounding.

    Shapes: query [B, heads, Q, D]; key and value [B, key heads, W, D]; mask [B, 1, Q, W]. Returns [B, Q, heads, D].
    """
    batch, heads, queries, head_dim = query.shape
    plain = dropout == 0 and kwargs.get("position_bias") is None
    if queries != 1 or attention_mask is None or attention_mask.dtype == torch.bool or not plain:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    key_heads = key.shape[1]
    grouped = query.view(batch, key_heads, heads // key_heads, head_dim) * (scaling or head_dim**-0.5)
    scores = torch.matmul(grouped, key.transpose(2, 3)) + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.matmul(weights, value).view(batch, 1, heads, value.shape[-1]), None


AttentionInterface.register(NAME, decode_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def takes_decode_attention(model: PreTrainedModel) -> bool:
    """True if the model computes ``sdpa`` attention through transformers' interface, so that it can be replaced."""
    if model.config._attn_implementation != "sdpa":
        return False
    model.set_attn_implementation(NAME)
    taken: bool = model.config._attn_implementation == NAME
    model.set_attn_implementation("sdpa")
    return taken


@contextmanager
def sampling_mode(model: PreTrainedModel, swap_attention: bool) -> Iterator[None]:
    """Switch to eval mode and, if ``swap_attention``, to ``decode_attention``; restore both on exit.

    The training mode is restored per module.
    """
    in_training = [module for module in model.modules() if module.training]
    if in_training:
        model.train(False)
    attention = model.config._attn_implementation
    if swap_attention:
        model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        if swap_attention:
            model.set_attn_implementation(attention)
        for module in in_training:
            module.training = True
