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

# of fingerprints: the constants of splitmix64, as signed integers; values at a time, as many as a CPU's cache holds
_STRIDE = -0x61C8864680B583EB
_ROUNDS = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))
_LAST_SHIFT = 31
_CHUNK = 1 << 18
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


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


def fingerprint(tensor: Tensor, dtype: torch.dtype, device: torch.device | None = None) -> str:
    """Sixteen hexadecimal digits of the tensor's bytes in ``dtype``: equal for equal values of one shape.

    They are made on ``device`` (by default where the tensor is), which adds nothing to the digits: each value and its
    position are mixed (after splitmix64) and added up, in integers that wrap around in the same way
    everywhere. So a GPU takes as long as reading its weights, and they need not leave it.
    """
    device = device or tensor.device
    chunk = _CHUNK if device.type == "cpu" else 32 * _CHUNK
    flat = tensor.detach().reshape(-1)
    total = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, flat.numel(), chunk):
        mixed = flat[start : start + chunk].to(device, dtype).view(_INTEGERS[dtype.itemsize]).long()
        mixed += torch.arange(start, start + mixed.numel(), device=device) * _STRIDE
        for shift, factor in _ROUNDS:
            mixed ^= mixed >> shift
            mixed *= factor
        mixed ^= mixed >> _LAST_SHIFT
        total += mixed.sum()
    return hashlib.sha256(f"{tuple(tensor.shape)} {int(total)}".encode()).hexdigest()[:16]


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
