"""Weights as others want them: whole, merged, under their plain names; fingerprints tell any two apart."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from igrpo.models.lora import add_adapters
from igrpo.models.weights import fingerprint, is_sharded, named_weights, whole
from tests.gloo import alone
from tests.training.models import gpt2, qwen


def with_adapters(model: Any, targets: Any = "all-linear") -> Any:
    """The model with adapters that do something."""
    add_adapters(model, rank=3, alpha=7.0, targets=targets, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".lora_" in name:
                p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def untied(model: Any) -> Any:
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach() + 1)
    return model


@pytest.mark.parametrize("targets", ["all-linear", ("v_proj",)])
def test_merged_weights_are_pefts_own(targets: Any) -> None:
    plain = qwen()
    model = with_adapters(copy.deepcopy(plain), targets)
    before = copy.deepcopy(model.state_dict())
    found = dict(named_weights(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # nothing is merged in

    for module in list(model.modules()):
        if isinstance(module, LoraLayer):
            module.merge()  # peft's own arithmetic, in place
    merged = {name.replace(".base_layer.", "."): p for name, p in model.named_parameters() if ".lora_" not in name}
    assert found.keys() == merged.keys() == dict(plain.named_parameters()).keys()
    changed = set()
    for name, value in found.items():
        assert torch.allclose(value, merged[name], atol=1e-5), name  # B A is in float32 here
        if not torch.equal(value, plain.get_parameter(name)):
            changed.add(name.split(".")[-2])
    every = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert changed == (every if targets == "all-linear" else {"v_proj"})


def test_merged_weights_make_the_same_policy() -> None:
    model, plain = with_adapters(qwen()), qwen()
    assert plain.load_state_dict(dict(named_weights(model)), strict=False).unexpected_keys == []
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    assert torch.allclose(plain(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-4)
    assert not torch.allclose(plain(input_ids=ids).logits, qwen()(input_ids=ids).logits, atol=0.1)


@pytest.mark.parametrize("adapters", [False, True])
def test_a_tied_head_is_left_out_and_another_is_not(adapters: bool) -> None:
    for model, has_head in ((qwen(), False), (untied(qwen()), True)):
        names = [name for name, _ in named_weights(with_adapters(model) if adapters else model)]
        assert len(names) == len(set(names))
        assert "model.embed_tokens.weight" in names
        assert ("lm_head.weight" in names) == has_head


@pytest.mark.parametrize("make", [qwen, gpt2])
def test_without_adapters_they_are_the_parameters(make: Any) -> None:
    model = make()
    found = list(named_weights(model))
    assert [name for name, _ in found] == [name for name, _ in model.named_parameters()]
    for name, value in found:
        own = model.get_parameter(name)
        assert value.data_ptr() == own.data_ptr()  # no copy
        assert not value.requires_grad
        assert own.requires_grad


def test_of_a_shard_it_is_the_whole() -> None:
    plain = torch.arange(12.0).view(4, 3)
    assert whole(plain) is plain
    assert not is_sharded([plain])
    with alone():
        shard = distribute_tensor(plain, init_device_mesh("cpu", (1,)), [Shard(0)])
        assert is_sharded([plain, shard])
        assert torch.equal(whole(shard), plain)
        assert type(whole(shard)) is torch.Tensor
        model = qwen()
        model.lm_head.weight = model.model.embed_tokens.weight = nn.Parameter(
            distribute_tensor(model.lm_head.weight.detach(), shard.device_mesh, [Shard(0)])
        )
        found = dict(named_weights(model))
        assert torch.equal(found["model.embed_tokens.weight"], qwen().lm_head.weight)


FLOATS = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=st.floats(width=32)
)


@given(FLOATS, FLOATS)
def test_fingerprints_are_equal_only_for_equal_bytes_and_shape(a: Any, b: Any) -> None:
    same = a.shape == b.shape and a.tobytes() == b.tobytes()
    prints = [fingerprint(torch.from_numpy(np.array(x)), torch.float32) for x in (a, b)]
    assert (prints[0] == prints[1]) == same
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in prints)


@given(FLOATS.filter(lambda a: a.size > 0), st.data())
def test_a_fingerprint_sees_every_bit(a: Any, data: Any) -> None:
    flipped = np.array(a).reshape(-1).view(np.uint32)
    position = data.draw(st.integers(0, flipped.size - 1))
    flipped[position] ^= 1 << data.draw(st.integers(0, 31))
    other = torch.from_numpy(flipped.view(np.float32).reshape(a.shape))
    assert fingerprint(other, torch.float32) != fingerprint(torch.from_numpy(np.array(a)), torch.float32)


def test_a_fingerprint_is_of_values_and_not_of_how_they_lie() -> None:
    value = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    expected = fingerprint(value, torch.float32)
    assert fingerprint(value.T.contiguous().T, torch.float32) == expected
    assert fingerprint(torch.cat([value, value])[6:], torch.float32) == expected
    assert fingerprint(nn.Parameter(value), torch.float32) == expected
    assert fingerprint(value[:1, 1:2], torch.float32) == fingerprint(value[:1, 1:2].clone(), torch.float32)
    assert fingerprint(value.double(), torch.float32) == expected
    assert fingerprint(value.view(4, 6), torch.float32) != expected
    # an engine in bfloat16 has rounded them
    assert fingerprint(value, torch.bfloat16) == fingerprint(value.bfloat16(), torch.bfloat16) != expected


def test_a_fingerprint_does_not_depend_on_the_chunk_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = torch.randn(700, generator=torch.Generator().manual_seed(0))
    whole_at_once = fingerprint(value, torch.float32)
    swapped = value.clone()
    swapped[[3, 650]] = value[[650, 3]]
    for chunk in (1, 64, 699, 700):
        monkeypatch.setattr("igrpo.models.weights.CHUNK", chunk)
        assert fingerprint(value, torch.float32) == whole_at_once
        assert fingerprint(value, torch.float32, torch.device("cpu")) == whole_at_once
        assert fingerprint(swapped, torch.float32) != whole_at_once


def test_a_fingerprint_leaves_the_storage_free_to_be_resized() -> None:
    """Shards that are gathered for a moment give their memory back so; what numpy has seen could not."""
    tensor = torch.ones(4)
    fingerprint(tensor, torch.float32)
    tensor.untyped_storage().resize_(0)
    assert tensor.untyped_storage().size() == 0
