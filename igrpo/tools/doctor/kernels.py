"""Stand-ins for GPU kernels that save what the kernels save for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def flash_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, scaling: float | None = None, **__: Any
) -> tuple[Tensor, None]:
    """Attention that saves what flash attention does: no mask, and keys and values that are not repeated."""
    grouped = query.shape[1] != key.shape[1]
    out = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
    return out.transpose(1, 2), None


def is_mamba(module: nn.Module) -> bool:
    """Return True for a Mamba-2 mixer."""
    return all(hasattr(module, name) for name in ("in_proj", "conv1d", "norm", "out_proj"))


def mamba(mixer: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    """Mamba-2 mixer whose convolution and scan are fused kernels, which save their inputs.

    transformers' own code for machines without the kernels saves far more, and its operations depend on the length of
    its chunks.
    """
    projected = mixer.in_proj(hidden_states)
    convolved = _Kernel.apply(projected, mixer.conv1d.out_channels)  # type: ignore[no-untyped-call]
    scanned = _Kernel.apply(convolved, mixer.out_proj.in_features)  # type: ignore[no-untyped-call]
    gate = projected[..., : scanned.shape[-1]]
    gated = mixer.norm(scanned, gate) if hasattr(mixer.norm, "weight") else scanned * functional.silu(gate)
    output: Tensor = mixer.out_proj(gated)
    return output


class FakeExperts(TorchFunctionMode):
    """Replaces the grouped products of experts, which torch's fake tensors refuse in float32."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch._grouped_mm:
            states, weights = args
            return torch.ops.transformers.grouped_mm_fallback(states, weights, kwargs["offs"])
        return function(*args, **(kwargs or {}))


class _Kernel(torch.autograd.Function):
    """Fused kernel: saves its input [..., inputs] and returns [..., width]."""

    @staticmethod
    def forward(context: Any, states: Tensor, width: int) -> Tensor:
        context.save_for_backward(states)
        return states.new_empty(*states.shape[:-1], width)
