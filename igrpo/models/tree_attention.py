"""Attention over a packed sequence whose tokens form a `PrefixTree`.

On the CPU, attention is computed by torch's flash kernel in parts: each node with itself, and for each node with
descendants, all of these at once with the node's keys. The parts of a query are merged by their log-sum-exp. The
backward kernel of a part gets the merged output and log-sum-exp, which makes its gradients exact. Keys and values are
never copied per completion, and there is no mask. On CUDA the tree's mask is that of FlexAttention.

`AttentionInterface.register` extends transformers' ``sdpa``, which calls the function below with the arguments of the
model's forward pass. Without ``prefix_tree`` among them, it is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from igrpo.models.prefix_tree import PrefixTree

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class _SplitAttention(torch.autograd.Function):
    """Attention over a tree on the CPU.

    Query [1, heads, N, D], key and value [1, key heads, N, D]; returns [N, heads, D], as the next projection reads it.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - as autograd calls it
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, tree: PrefixTree, scale: float | None
    ) -> Tensor:
        heads, tokens = query.shape[1:3]
        output = query.new_empty(tokens, heads, value.shape[-1])
        sums = torch.empty(tokens, heads, dtype=torch.promote_types(query.dtype, torch.float32))
        packed = _packed(query, key, value)
        for part in tree.parts:
            own, own_sums = _FLASH(*map(part.rows, packed), 0.0, True, scale=scale)
            part.put(own, output)
            part.put(own_sums, sums)
        for node in tree.parents:
            above, below = slice(node.start, node.end), slice(node.end, node.subtree_end)
            seen, seen_sums = _packed(
                *_FLASH(query[:, :, below], key[:, :, above], value[:, :, above], 0.0, False, scale=scale)
            )
            merged = torch.logaddexp(sums[below], seen_sums)
            output[below] *= (sums[below] - merged).exp().unsqueeze(-1)
            output[below] += seen * (seen_sums - merged).exp().unsqueeze(-1)
            sums[below] = merged
        ctx.save_for_backward(query, key, value, output, sums)
        ctx.tree, ctx.scale = tree, scale
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, output, sums = ctx.saved_tensors
        packed = _packed(query, key, value)
        gradients = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in packed]
        for part in ctx.tree.parts:
            known = [*map(part.rows, packed), part.rows(output), part.rows(sums)]
            found = _FLASH_BACKWARD(part.gradient_rows(gradient), *known, 0.0, True, scale=ctx.scale)
            for rows, whole in zip(found, gradients, strict=True):
                part.put(rows, whole)
        gradient, output, sums = (tensor.transpose(0, 1).unsqueeze(0) for tensor in (gradient, output, sums))
        for node in ctx.tree.parents:
            above, below = slice(node.start, node.end), slice(node.end, node.subtree_end)
            known = [query[:, :, below], key[:, :, above], value[:, :, above], output[:, :, below], sums[:, :, below]]
            found = _FLASH_BACKWARD(gradient[:, :, below], *known, 0.0, False, scale=ctx.scale)
            for rows, whole, place in zip(_packed(*found), gradients, (below, above, above), strict=True):
                whole[place] += rows
        return *(tensor.transpose(0, 1).unsqueeze(0) for tensor in gradients), None, None


def _packed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """View [1, heads, N, ...] as [N, heads, ...]."""
    return tuple(tensor[0].transpose(0, 1) for tensor in tensors)


def tree_attention(query: Tensor, key: Tensor, value: Tensor, tree: PrefixTree, scale: float | None = None) -> Tensor:
    """Compute attention over a packed sequence.

    Args:
        query: [1, heads, N, D].
        key: [1, key heads, N, D].
        value: [1, key heads, N, D].
        tree: which tokens attend to which.
        scale: factor of the scores; None: 1 / sqrt(D).

    Returns:
        [1, N, heads, D].
    """
    if query.device.type == "cpu":
        output: Tensor = _SplitAttention.apply(query, key, value, tree, scale)  # type: ignore[no-untyped-call]
        return output.unsqueeze(0)
    if query.device.type == "cuda":
        kernel: Callable[..., Tensor] = _flex_attention()
        mixed = kernel(query, key, value, block_mask=tree.block_mask, scale=scale, enable_gqa=True)
    else:
        grouped = query.shape[1] != key.shape[1]
        mixed = scaled_dot_product_attention(query, key, value, tree.mask_NN, scale=scale, enable_gqa=grouped)
    return mixed.transpose(1, 2).contiguous()


@cache
def _flex_attention() -> Callable[..., Tensor]:
    """Return the compiled kernel. ``dynamic``: it is not compiled again for each new length."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=True)
    return compiled


def _sdpa(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Compute transformers' ``sdpa``, or attention over a tree if the model was called with ``prefix_tree``."""
    tree: PrefixTree | None = kwargs.pop("prefix_tree", None)
    if tree is None:
        return sdpa_attention_forward(module, query, key, value, *args, **kwargs)
    if kwargs.get("sliding_window") is not None or kwargs.get("position_bias") is not None:
        raise ValueError("attention over a prefix tree has neither a sliding window nor a position bias")
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast, rotary positions are float32
    return tree_attention(query, key, value, tree, kwargs.get("scaling")), None


AttentionInterface.register("sdpa", _sdpa)


def tree_arguments(token_ids_N: Tensor, positions_N: Tensor, tree: PrefixTree) -> dict[str, Any]:
    """Return the arguments of a model's forward pass over a packed sequence."""
    # transformers passes on a mask of four dimensions as it is, and does not make its own; it is not read
    mask = torch.zeros(1, 1, 1, 1, device=token_ids_N.device)
    return {
        "input_ids": token_ids_N.unsqueeze(0),
        "position_ids": positions_N.unsqueeze(0),
        "attention_mask": mask,
        "prefix_tree": tree,
    }
