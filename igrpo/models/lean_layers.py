"""RMS norms and gated MLPs that keep fewer tensors for the backward pass.

As transformers writes them, a norm keeps two tensors of its input's size and an MLP four of its intermediate size: the
gate, its SiLU, the up projection and the product. The functions here keep one and two, and compute the others again in
the backward pass, which costs a pass over memory and no matrix product. Values and gradients are equal up to rounding.

Which modules have such a form is found by comparing results, not by a list of model families: a norm or an MLP whose
output differs is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

_TOLERANCE = 1e-5
_CHECKED_ROWS = 3


class _RMSNorm(torch.autograd.Function):
    """RMS norm over the last dimension; keeps its input and one number per row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        normed: Tensor = x * inverse
        return normed.mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, inverse = ctx.saved_tensors
        normed = x * inverse
        of_weight = (gradient * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        of_normed = gradient * weight
        mean = (of_normed * normed).mean(-1, keepdim=True)
        return torch.addcmul(of_normed, normed, mean, value=-1).mul_(inverse), of_weight, None


class _GatedDown(torch.autograd.Function):
    """``linear(silu(gate) * up, weight)``; keeps ``gate`` and ``up``."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        return linear(silu(gate).mul_(up), weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        gate, up, weight = ctx.saved_tensors
        sigmoid = torch.sigmoid(gate)
        activated = gate * sigmoid
        of_weight = None
        if ctx.needs_input_grad[2]:
            of_weight = gradient.flatten(0, -2).t() @ (activated * up).flatten(0, -2)
        of_product = gradient @ weight
        of_up = of_product * activated
        slope = torch.addcmul(sigmoid, activated, 1 - sigmoid)  # of SiLU
        return slope.mul_(of_product).mul_(up), of_up, of_weight


def _norm_forward(module: Any, x: Tensor) -> Tensor:
    if not _is_plain(x, module.weight):
        plain: Tensor = type(module).forward(module, x)
        return plain
    return _RMSNorm.apply(x, module.weight, module.variance_epsilon)  # type: ignore[no-any-return, no-untyped-call]


def _mlp_forward(module: Any, x: Tensor) -> Tensor:
    gate, up, down = module.gate_proj(x), module.up_proj(x), module.down_proj
    if not _is_plain(gate, down.weight):
        return down(silu(gate) * up)  # type: ignore[no-any-return]
    return _GatedDown.apply(gate, up, down.weight)  # type: ignore[no-any-return, no-untyped-call]


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """True where the functions above compute as the module does: in float32, without casts."""
    return x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)


class LeanLayers:
    """The norms and MLPs of a model that have a lean form."""

    def __init__(self, model: nn.Module | None) -> None:
        """Find the modules; one of each class and width is compared with its lean form, on random numbers.

        None: there are none.
        """
        self._forwards: list[tuple[nn.Module, Callable[..., Tensor]]] = []
        known: dict[tuple[Any, ...], Callable[..., Tensor] | None] = {}
        for module in () if model is None else model.modules():
            kind = (type(module), *(tuple(p.shape) for p in module.parameters()), _epsilon(module))
            if kind not in known:
                known[kind] = _lean_form(module)
            if (lean := known[kind]) is not None:
                self._forwards.append((module, lean))

    def __len__(self) -> int:
        return len(self._forwards)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Use the lean forms until the end of the block, which must contain the backward pass."""
        for module, lean in self._forwards:
            module.forward = MethodType(lean, module)
        try:
            yield
        finally:
            for module, _ in self._forwards:
                del module.forward


def _epsilon(module: Any) -> float | None:
    return getattr(module, "variance_epsilon", None)


@torch.no_grad()
def _lean_form(module: Any) -> Callable[..., Tensor] | None:
    """Return the lean forward pass of a module, or None if it has none."""
    if "forward" in vars(module):
        return None
    parts: dict[str, Any] = dict(module.named_children())
    parameters: dict[str, Any] = dict(module.named_parameters(recurse=False))
    if not parts and parameters.keys() == {"weight"} and _epsilon(module) is not None:
        lean: Callable[..., Tensor] = _norm_forward
        width = len(module.weight)
    elif {"gate_proj", "up_proj", "down_proj"} <= parts.keys() and not parameters:
        lean = _mlp_forward
        down = parts["down_proj"]
        if type(down) is not nn.Linear or dict(down.named_parameters()).keys() != {"weight"} or _has_hooks(down):
            return None
        width = down.out_features
    else:
        return None
    device = next(module.parameters()).device
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, _CHECKED_ROWS, width, generator=generator).to(device)
    if next(module.parameters()).dtype != x.dtype or device.type == "meta":
        return None
    expected, found = module(x), lean(module, x)
    return lean if torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE) else None


def _has_hooks(module: Any) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
