"""The weights of a policy as others want them: plain tensors under the names of its Hugging Face checkpoint.

Engines are given these, exports write them, and fingerprints of them tell which tensor went astray.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

_BASE, _ADAPTER = ".base_layer.", ".lora_"


@torch.no_grad()
def named_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Every parameter once, whole, detached, on its own device: shards are gathered, LoRA adapters merged in.

    A tied output head is left out: it is the input embedding, and who loads that has to see to it. One tensor is whole
    at a time. With sharded weights every process must take part, to the end.
    """
    merged = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, parameter in model.named_parameters():  # names a tied parameter once
        if _ADAPTER in name:
            continue
        weight = whole(parameter.detach())
        module = merged.get(name.partition(_BASE)[0]) if _BASE in name else None
        if module is not None and name.endswith(".weight"):
            weight = weight + _delta(module).to(weight.dtype)
        yield name.replace(_BASE, "."), weight


def whole(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor (every process must ask); any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def is_sharded(parameters: Iterable[Tensor]) -> bool:
    """Whether each process holds a part of the weights only."""
    return any(isinstance(parameter, DTensor) for parameter in parameters)


def fingerprint(tensor: Tensor, dtype: torch.dtype) -> str:
    """Sixteen hexadecimal digits of the tensor's bytes in ``dtype``: equal for equal values of one shape."""
    # a copy: what numpy has seen can never be resized again, which shards that are gathered for a moment must be
    plain = tensor.detach().to("cpu", dtype, copy=True).contiguous()
    digest = hashlib.sha256(str(tuple(plain.shape)).encode())
    flat = plain.as_strided((plain.numel(),), (1,))  # one element may have any stride, which the view would refuse
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _delta(layer: LoraLayer) -> Tensor:
    """What the active adapters add to a layer's weight: scaling * B A, summed, in float32."""
    return sum((_product(layer, name) for name in layer.active_adapters), torch.zeros(()))


def _product(layer: LoraLayer, name: str) -> Tensor:
    a, b = layer.lora_A[name], layer.lora_B[name]
    assert isinstance(layer, LoraLinear), f"adapters of a {type(layer).__name__} cannot be merged"
    assert isinstance(a, nn.Linear)
    assert isinstance(b, nn.Linear)
    product: Tensor = layer.scaling[name] * (whole(b.weight).float() @ whole(a.weight).float())
    return product.T if layer.fan_in_fan_out else product  # GPT-2's Conv1D keeps its weight transposed
