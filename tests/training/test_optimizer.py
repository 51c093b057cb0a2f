"""AdamW: which parameters, with which settings, and where its 8-bit form is refused."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from igrpo.models.lora import add_adapters
from igrpo.training.optimizer import adamw
from tests.training.models import qwen, trainer

SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "betas": (0.8, 0.9), "adam_eps": 1e-3, "weight_decay": 0.1}


def test_matrices_decay_and_vectors_do_not() -> None:
    model = qwen()
    optimizer = adamw(model, trainer(**SETTINGS))
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim == 2 for p in decayed["params"])
    assert all(p.ndim == 1 for p in others["params"])
    every = [*decayed["params"], *others["params"]]
    assert {id(p) for p in every} == {id(p) for p in model.parameters()}
    assert len(every) == len(list(model.parameters()))  # a tied head once
    for group in (decayed, others):
        assert (group["lr"], group["betas"], group["eps"]) == (0.01, (0.8, 0.9), 1e-3)


def test_two_steps_are_the_ones_of_the_paper() -> None:
    model = nn.Module()
    model.w, model.b = nn.Parameter(torch.tensor([[2.0, -1.0]])), nn.Parameter(torch.tensor([3.0]))
    optimizer = adamw(model, trainer(**SETTINGS))
    gradients = [torch.tensor([[0.5, -2.0]]), torch.tensor([[1.0, 0.0]])]
    w, m, v = model.w.detach().clone().double(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double()
    for step, gradient in enumerate(gradients, start=1):
        model.w.grad, model.b.grad = gradient.clone(), torch.zeros(1)
        optimizer.step()
        # Loshchilov and Hutter 2019: the decay beside the moments, both corrected for their beginning at zero
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        w = w - 0.01 * (m / (1 - 0.8**step) / ((v / (1 - 0.9**step)).sqrt() + 1e-3) + 0.1 * w)
    assert model.w.detach().double() == pytest.approx(w.numpy(), abs=1e-6)
    assert model.b.item() == 3.0  # no gradient, no decay


def test_what_is_frozen_is_left_out() -> None:
    model = qwen()
    add_adapters(model, rank=2, alpha=2.0, targets=("q_proj",), seed=0)
    groups = adamw(model, trainer(**SETTINGS)).param_groups
    adapters = [p for name, p in model.named_parameters() if ".lora_" in name]
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in adapters}
    assert len(groups) == 2  # a checkpoint has both, one empty


def test_8_bit_needs_cuda() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.optimizer=adamw_8bit keeps its state on CUDA; set .*=adamw$"):
        adamw(qwen(), trainer(optimizer="adamw_8bit"))


def on_cuda() -> Any:
    """As much of a model on a CUDA device as the optimizer asks for."""
    matrix = SimpleNamespace(requires_grad=True, ndim=2, device=torch.device("cuda", 0))
    vector = SimpleNamespace(requires_grad=True, ndim=1, device=torch.device("cuda", 0))
    frozen = SimpleNamespace(requires_grad=False, ndim=2, device=torch.device("cpu"))
    return SimpleNamespace(parameters=lambda: iter([matrix, frozen, vector]))


def test_8_bit_needs_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ValueError, match=r"adamw_8bit needs bitsandbytes: pip install 'igrpo\[gpu\]'"):
        adamw(on_cuda(), trainer(optimizer="adamw_8bit"))


def test_8_bit_has_the_same_groups_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(groups: list[dict[str, Any]], **settings: Any) -> Any:
        return SimpleNamespace(groups=groups, settings=settings)

    fake = ModuleType("bitsandbytes.optim")
    monkeypatch.setattr(fake, "AdamW8bit", made, raising=False)
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", fake)
    model = on_cuda()
    optimizer: Any = adamw(model, trainer(**SETTINGS, optimizer="adamw_8bit"))
    assert [[p.ndim for p in group["params"]] for group in optimizer.groups] == [[2], [1]]
    assert [group["weight_decay"] for group in optimizer.groups] == [0.1, 0.0]
    assert optimizer.settings == {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3}
