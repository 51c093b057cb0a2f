"""Adapters: the policy is unchanged at first, they alone are trained, and what they cannot go beside is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from igrpo.models.lora import add_adapters
from tests.training.models import gpt2, qwen
from tests.training.small_run import fit, fit_and_save, make

IDS = torch.tensor([[3, 1, 4, 1, 5]])
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS, use_cache=False).logits
    return found


def adapted(model: Any) -> set[str]:
    """The last part of the names of the layers that have adapters."""
    return {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, LoraLayer)}


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")])
def test_the_policy_is_unchanged_and_only_adapters_are_trained(targets: Any) -> None:
    model = qwen()
    before, names = logits(model), {name for name, _ in model.named_parameters()}
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    add_adapters(model, rank=4, alpha=8.0, targets=targets, seed=0)
    assert torch.equal(logits(model), before)
    assert adapted(model) == (LINEAR if targets == "all-linear" else set(targets))
    assert not any(module.training for module in model.modules() if isinstance(module, nn.Dropout))

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    layers = sum(isinstance(module, LoraLayer) for module in model.modules())
    assert len(trained) == 2 * layers == 2 * 2 * len(adapted(model))
    assert {name.replace(".base_layer", "") for name in dict(model.named_parameters()) if name not in trained} == names

    logits(model).square().sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == set(trained)
    # B is zero, so A has a gradient of zero in the first step, and B one that moves
    assert all(float(p.grad.abs().max()) > 0 for name, p in trained.items() if "lora_B" in name)
    with torch.no_grad():
        for p in trained.values():
            p.sub_(p.grad, alpha=0.01)
    assert not torch.allclose(logits(model), before)
    for name, value in model.state_dict().items():
        if ".lora_" not in name:
            assert torch.equal(value, frozen[name.replace(".base_layer", "")])


def test_adapters_depend_on_their_seed_and_not_on_global_state() -> None:
    def a_of(seed: int) -> torch.Tensor:
        model = qwen()
        torch.manual_seed(99)
        state = torch.get_rng_state()
        add_adapters(model, rank=2, alpha=2.0, targets=("q_proj",), seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([p.flatten() for name, p in model.named_parameters() if "lora_A" in name])

    assert torch.equal(a_of(1), a_of(1))
    assert not torch.equal(a_of(1), a_of(2))


def test_rank_and_alpha_are_those_of_the_paper() -> None:
    model = qwen()
    layer = model.model.layers[0].self_attn.q_proj
    x = torch.randn(3, 16, dtype=torch.float64)
    plain = layer(x)
    add_adapters(model, rank=4, alpha=10.0, targets=("q_proj",), seed=0)
    layer = model.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape == (4, 16)
    assert b.shape == (16, 4)
    torch.nn.init.normal_(b)
    assert torch.allclose(layer(x), plain + 10 / 4 * x @ a.T @ b.T)  # W x + alpha / r * B A x


def test_adapters_beside_bfloat16_weights_are_float32() -> None:
    """Their steps of about the learning rate would be lost in the rounding."""
    model = qwen().bfloat16()
    add_adapters(model, rank=2, alpha=4.0, targets="all-linear", seed=0)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    assert model.model.layers[0].mlp.up_proj.base_layer.weight.dtype == torch.bfloat16
    logits(model).float().square().sum().backward()
    assert any(float(p.grad.abs().sum()) > 0 for p in trained if p.grad is not None)


def test_an_untied_head_has_no_adapter() -> None:
    model = qwen()
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    add_adapters(model, rank=2, alpha=2.0, targets="all-linear", seed=0)
    assert adapted(model) == LINEAR


@pytest.mark.parametrize(
    ("targets", "wrong"),
    [
        (("q_proj", "c_attn", "Wqkv"), r"\['c_attn', 'Wqkv'\]"),
        (("lm_head",), r"\['lm_head'\]"),  # tied or not: the loss takes the head's own weight
        (("embed_tokens",), r"\['embed_tokens'\]"),
        (("mlp",), r"\['mlp'\]"),  # a module, but no linear layer
    ],
)
def test_other_targets_are_refused(targets: tuple[str, ...], wrong: str) -> None:
    model = qwen()
    with pytest.raises(ValueError, match=rf"^lora\.targets={wrong}: .*linear layers .*'down_proj'"):
        add_adapters(model, rank=4, alpha=8.0, targets=targets, seed=0)
    assert all(p.requires_grad for p in model.parameters())
    assert not adapted(model)


def test_a_model_without_linear_layers_is_refused() -> None:
    # GPT-2's are transposed: merged weights would be wrong
    with pytest.raises(ValueError, match=r"^lora\.targets=all-linear: .* has none, set lora=none$"):
        add_adapters(gpt2(), rank=4, alpha=8.0, targets="all-linear", seed=0)


def test_a_checkpoint_of_all_weights_is_none_of_adapters(tmp_path: Path) -> None:
    everything = fit_and_save(make(), 1, tmp_path, at=1)
    with pytest.raises(ValueError, match="does not hold what this run trains"):
        fit(make(adapters=True), 2, tmp_path, checkpoint=everything, start_step=1)
    adapters = fit_and_save(make(adapters=True), 1, tmp_path, at=1)
    assert len(torch.load(adapters, weights_only=True)["state_dict"]) == 2 * len(LINEAR)
