"""Activation bytes against the tensors that autograd saves, and peaks against what torch's allocator counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from igrpo.losses import token_logprobs
from igrpo.tools.doctor.activations import Saved, Widths, chunk_bytes, saved_by
from igrpo.tools.doctor.fake_model import FakeModel
from igrpo.training.strategies import checkpoint_activations
from tests.families import ONLY_EAGER, make_family

ROWS, TOKENS, VOCABULARY = 2, 96, 64
WIDTHS = {
    "fp32": Widths(4, 4, 4, autocast=False),
    "autocast": Widths(4, 2, 4, autocast=True),
    "bf16": Widths(2, 2, 2, autocast=False),
}
FAMILIES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaForCausalLM, LlamaConfig),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config),
}


def small(family: str, layers: int, dtype: torch.dtype, attention: str) -> Any:
    """A model of odd sizes, so that no two kinds of tensor have the same."""
    make, config = FAMILIES[family]
    torch.manual_seed(0)
    settings = config(
        vocab_size=VOCABULARY, hidden_size=128, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=352, max_position_embeddings=2048, tie_word_embeddings=True, head_dim=32,
        attn_implementation=attention,
    )  # fmt: skip
    return make(settings).to(dtype).eval()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.ones(ROWS, TOKENS, dtype=torch.long)
    mask[0, -5:] = 0  # a padded row: without padding the mask would be dropped
    return torch.arange(ROWS * TOKENS).reshape(ROWS, TOKENS) % 40, mask


def saved_bytes(model: Any, kind: str) -> int:
    """Of every storage that autograd saves in a forward pass, once, without the parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no address is used twice
        return tensor

    ids, mask = batch()
    half = torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast", cache_enabled=False)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), half:
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(storages.values())


def predicted_bytes(saved: Saved) -> float:
    parts = [*saved.layers, saved.outside]
    return sum(part.constant + ROWS * TOKENS * part.per_token(TOKENS) for part in parts)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("family", FAMILIES)
def test_predicted_activations_are_what_autograd_saves(family: str, kind: str, attention: Any) -> None:
    model = small(family, 3, torch.bfloat16 if kind == "bf16" else torch.float32, attention)
    saved = saved_by(FakeModel(model.config), WIDTHS[kind], attention)
    assert predicted_bytes(saved) == pytest.approx(saved_bytes(model, kind), rel=0.01)


@pytest.mark.parametrize("family", ["gemma2", "mixtral", "gpt_oss", "cohere2", "granitemoe", "opt"])
def test_activations_of_other_families_are_what_autograd_saves(family: str) -> None:
    attention: Any = "eager" if family in ONLY_EAGER else "sdpa"
    model = make_family(family, attention)
    saved = saved_by(FakeModel(model.config), WIDTHS["fp32"], attention)
    assert predicted_bytes(saved) == pytest.approx(saved_bytes(model, "fp32"), rel=0.01)


def test_activations_of_a_layer_by_hand() -> None:
    """In float32, with hidden 128, 4 query and 2 key heads of 32, and an MLP of 352."""
    saved = saved_by(FakeModel(small("qwen2", 3, torch.float32, "sdpa").config), WIDTHS["fp32"], "flash_attention_2")
    norms = 2 * (4 * 128 + 4 * 128 + 4)  # input, result, and its scale
    attention = 4 * 128 + 2 * 4 * 128 + 2 * 4 * 64 + 4 * 4  # input; queries, output; keys, values; sums
    mlp = 4 * 128 + 4 * 4 * 352  # input; gate, its SiLU, up, their product
    assert {layer.token for layer in saved.layers} == {norms + attention + mlp}
    assert {layer.pair for layer in saved.layers} == {0}  # no mask
    assert saved.widest == 4 * 352


def peak_of(action: Callable[[], object]) -> int:
    """The most bytes that the CPU allocator had handed out on top of what was there before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        action()
    running, peak = 0, 0
    events = sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    for event in events:
        if event.name() == "[memory]":
            running += event.nbytes()
            peak = max(peak, running)
    return peak


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_logits_of_a_chunk_at_the_peak_of_the_backward_pass(dtype: torch.dtype, with_entropy: bool) -> None:
    vocabulary, tokens, hidden, chunk = 4096, 256, 16, 128
    torch.manual_seed(0)
    head = torch.randn(vocabulary, hidden, requires_grad=True, dtype=dtype)
    states = torch.randn(tokens, hidden, requires_grad=True, dtype=dtype)

    def step() -> None:
        stats = token_logprobs(
            states, head, torch.arange(tokens), temperature=0.7, chunk=chunk, with_entropy=with_entropy,
            entropy_grad=with_entropy,
        )  # fmt: skip
        total = stats.logprobs.sum()
        if stats.policy_entropies is not None:
            total = total + stats.policy_entropies.sum()
        total.backward()

    predicted = chunk * chunk_bytes(vocabulary, with_entropy=with_entropy) + head.nbytes  # and the head's gradient
    assert predicted == pytest.approx(peak_of(step), rel=0.05)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_peak_of_a_pass_through_the_layers(checkpointing: bool) -> None:
    layers = 6
    model = small("qwen2", layers, torch.float32, "sdpa")
    saved = saved_by(FakeModel(model.config), WIDTHS["fp32"], "sdpa")
    if checkpointing:
        checkpoint_activations(model)
    ids, mask = batch()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # gradients are counted elsewhere

    def step() -> None:
        hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        hidden.sum().backward()

    each = saved.layers[0].per_token(TOKENS)
    kept = layers * 4 * 128 if checkpointing else layers * each
    outside = saved.outside.per_token(TOKENS) + 4 * 128
    predicted = ROWS * TOKENS * (kept + outside + 2 * saved.widest + (each if checkpointing else 0))
    assert predicted == pytest.approx(peak_of(step), rel=0.25)
