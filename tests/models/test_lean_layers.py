"""Lean norms and MLPs: values and gradients of transformers' own, with fewer tensors kept."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from igrpo.models.lean_layers import LeanLayers, _GatedDown, _RMSNorm
from tests.training.models import qwen

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 24, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip


def qwen3() -> nn.Module:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES))


def llama() -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def gradients(model: nn.Module) -> list[Tensor]:
    torch.manual_seed(1)
    for norm in model.modules():
        if type(norm).__name__.endswith("RMSNorm"):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    ids = torch.arange(30).view(2, 15) % 10
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def saved_bytes(model: nn.Module) -> int:
    """Bytes of the distinct storages that a forward pass keeps, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=torch.arange(64).view(1, 64) % 10).logits
    assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(
    ("make", "found"), [(lambda: qwen().float(), 2 * 3 + 1), (qwen3, 2 * 5 + 1), (llama, 2 * 3 + 1)]
)
def test_values_and_gradients_are_equal(make: Any, found: int) -> None:
    model = make()
    lean = LeanLayers(model)
    assert len(lean) == found
    expected = gradients(model)
    with lean.active():
        got = gradients(model)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert not any("forward" in vars(module) for module in model.modules())


def test_less_is_kept() -> None:
    model = llama()
    plain = saved_bytes(model)
    with LeanLayers(model).active():
        assert saved_bytes(model) < 0.75 * plain


def test_functions_are_right_in_float64() -> None:
    torch.manual_seed(0)
    x, weight = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2, 5), (5,)))
    assert torch.autograd.gradcheck(lambda x, weight: _RMSNorm.apply(x, weight, 1e-6), (x, weight))  # type: ignore[no-untyped-call]
    gate, up, down = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 4),) * 2 + ((5, 4),)
    )
    assert torch.autograd.gradcheck(_GatedDown.apply, (gate, up, down))


def test_frozen_weights_get_no_gradient() -> None:
    model = llama()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "q_proj" in name
    expected = gradients(model)
    with LeanLayers(model).active():
        for one, other in zip(gradients(model), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GPT2LMHeadModel(GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=50)),
        lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES)),  # norms have 1 + weight; the activation is GELU
        lambda: llama().double(),
        lambda: llama().bfloat16(),
    ],
)
def test_other_modules_are_left_alone(make: Any) -> None:
    assert len(LeanLayers(make())) == 0


def test_a_module_that_computes_something_else_is_left_alone() -> None:
    model = llama()
    with torch.no_grad():
        wrong = deepcopy(model)
        wrong.model.layers[0].mlp.act_fn = nn.ReLU()
        wrong.model.norm.forward = lambda x: 2 * x
    assert len(LeanLayers(model)) - len(LeanLayers(wrong)) == 2


def test_under_autocast_and_in_float64_the_modules_compute_as_before() -> None:
    model = llama()
    lean = LeanLayers(model)
    ids = torch.arange(6).view(1, 6)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(input_ids=ids).logits
        with lean.active():
            assert torch.equal(model(input_ids=ids).logits, expected)


def test_an_error_ends_the_lean_forms() -> None:
    model = llama()
    with pytest.raises(ZeroDivisionError), LeanLayers(model).active():
        1 / 0  # noqa: B018
    assert not any("forward" in vars(module) for module in model.modules())
