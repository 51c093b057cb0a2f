"""Linear layers of a decode step: with weights that oneDNN has packed for few rows, or with the model's own tensors.

A matrix product with few rows spends its time on reading the weights. Packed once per rollout, they are read in the
order in which the kernel needs them: 1.1 to 1.6 times faster than ``linear`` for the layers of a small model, 1.6 to 3
times for a large output head (16 to 64 rows, AVX-512, one thread). SiLU, product and sum come without another pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

#: Rows for which oneDNN chooses the layout. All sizes above a few give the same layout; it serves any number of rows.
_ROWS_HINT = 64


class Projection(Protocol):
    """A linear layer, or several with the same input whose outputs are concatenated. ``x_BI``: [B, inputs]."""

    def __call__(self, x_BI: Tensor) -> Tensor:
        """Return the outputs, [B, outputs]."""
        ...

    def silu(self, x_BI: Tensor) -> Tensor:
        """Return the SiLU of the outputs."""
        ...

    def times(self, x_BI: Tensor, factor_BO: Tensor) -> Tensor:
        """Return the outputs times ``factor_BO``."""
        ...

    def plus(self, x_BI: Tensor, summand_BO: Tensor) -> Tensor:
        """Return the outputs plus ``summand_BO``."""
        ...


class LiveProjection:
    """Uses the weights of the modules themselves, at their current values."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        self._linears = linears

    def __call__(self, x_BI: Tensor) -> Tensor:
        outputs = [linear(x_BI, layer.weight, layer.bias) for layer in self._linears]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    def silu(self, x_BI: Tensor) -> Tensor:
        return silu(self(x_BI))

    def times(self, x_BI: Tensor, factor_BO: Tensor) -> Tensor:
        return self(x_BI) * factor_BO

    def plus(self, x_BI: Tensor, summand_BO: Tensor) -> Tensor:
        return summand_BO + self(x_BI)


class PackedProjection:
    """Uses a packed copy of the weights, made when the object is made. float32 only."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        weights = [layer.weight.detach() for layer in linears]
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_HINT)
        self._bias = _joined_bias(linears)

    def __call__(self, x_BI: Tensor) -> Tensor:
        return _unary(x_BI, self._weight, self._bias, "none")

    def silu(self, x_BI: Tensor) -> Tensor:
        return _unary(x_BI, self._weight, self._bias, "swish")

    def times(self, x_BI: Tensor, factor_BO: Tensor) -> Tensor:
        return _binary(x_BI, factor_BO, self._weight, self._bias, "mul")

    def plus(self, x_BI: Tensor, summand_BO: Tensor) -> Tensor:
        return _binary(x_BI, summand_BO, self._weight, self._bias, "add")


def can_pack(dtype: torch.dtype) -> bool:
    """True if this build of torch packs weights of ``dtype``."""
    built = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    return built and dtype == torch.float32


class Packer:
    """Makes projections, packed as long as the copies fit into ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    def __call__(self, *linears: nn.Linear) -> Projection:
        """Return a projection of layers with the same input."""
        size = sum(layer.weight.numel() * layer.weight.itemsize for layer in linears)
        if size > self._left or not can_pack(linears[0].weight.dtype):
            return LiveProjection(linears)
        self._left -= size
        return PackedProjection(linears)


def _joined_bias(linears: Sequence[nn.Linear]) -> Tensor | None:
    if all(layer.bias is None for layer in linears):
        return None
    return torch.cat(
        [layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach() for layer in linears]
    )


def _unary(x_BI: Tensor, weight: Tensor, bias: Tensor | None, function: str) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise(x_BI, weight, bias, function, [], "")
    return output


def _binary(x_BI: Tensor, other_BO: Tensor, weight: Tensor, bias: Tensor | None, function: str) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x_BI, other_BO, weight, bias, function)
    return output
