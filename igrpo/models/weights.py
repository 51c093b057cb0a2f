"""The weights of a policy as plain tensors under the names of its Hugging Face checkpoint.

Engines receive these, exports write them, and their fingerprints show which tensor is wrong.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

_BASE, _ADAPTER = ".base_layer.", ".lora_"

# Fingerprints: the constants of splitmix64, as signed integers; a chunk has as many values as fit a CPU's cache.
_STRIDE = -0x61C8864680B583EB
_ROUNDS = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))
_LAST_SHIFT = 31
CHUNK = 1 << 18
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def named_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield every parameter once, unsharded, detached, on its own device; LoRA adapters are merged in.

    A tied output head is left out: it equals the input embedding, and the loader must tie it again. Only one tensor is
    unsharded at a time. With sharded weights, every process must iterate to the end.
    """
    merged = adapted_layers(model)
    for name, parameter in model.named_parameters():  # names a tied parameter once
        if _ADAPTER in name:
            continue
        weight = whole(parameter.detach())
        module = merged.get(name.partition(_BASE)[0]) if _BASE in name else None
        if module is not None and name.endswith(".weight"):
            weight = weight + _delta(module).to(weight.dtype)
        yield name.replace(_BASE, "."), weight


def adapted_layers(model: Any) -> dict[str, LoraLayer]:
    """Return the layers with LoRA adapters by their names."""
    if "peft.tuners.lora" not in sys.modules:  # it takes a while to import, and only an imported one has made adapters
        return {}
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def whole(tensor: Tensor) -> Tensor:
    """Return the full tensor of a sharded tensor (every process must call this), and any other tensor unchanged."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def is_sharded(parameters: Iterable[Tensor]) -> bool:
    """True if each process holds only a part of the weights."""
    return any(isinstance(parameter, DTensor) for parameter in parameters)


def fingerprint(tensor: Tensor, dtype: torch.dtype, device: torch.device | None = None) -> str:
    """Return sixteen hexadecimal digits of the tensor's bytes in ``dtype``: equal for equal values of one shape.

    They are computed on ``device`` (by default the tensor's own), which does not affect the digits. Each value and its
    position are mixed (after splitmix64) and summed, in integers that wrap around in the same way everywhere. So on a
    GPU this takes as long as reading the weights, and they need not leave the GPU.
    """
    device = device or tensor.device
    chunk = CHUNK if device.type == "cpu" else 32 * CHUNK
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
    """Return the sum of what the active adapters add to a layer's weight, scaling * B A, in float32."""
    return sum((_product(layer, name) for name in layer.active_adapters), torch.zeros(()))


def _product(layer: LoraLayer, name: str) -> Tensor:
    from peft.tuners.lora import Linear as LoraLinear

    a, b = layer.lora_A[name], layer.lora_B[name]
    assert isinstance(layer, LoraLinear), f"adapters of a {type(layer).__name__} cannot be merged"
    assert isinstance(a, nn.Linear)
    assert isinstance(b, nn.Linear)
    product: Tensor = layer.scaling[name] * (whole(b.weight).float() @ whole(a.weight).float())
    return product.T if layer.fan_in_fan_out else product  # GPT-2's Conv1D keeps its weight transposed
