"""The engine over a copy: what it samples is what LocalEngine samples from the weights of the last sync."""

from __future__ import annotations

import asyncio
import copy

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from igrpo.generation.base import Engine
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.replica import ReplicaEngine
from igrpo.models.lora import add_adapters
from tests.gloo import alone

from .conftest import make_model, params, sample_all

PROMPTS = [[1, 5, 9, 12, 20], [1, 30], [7]]


Sampled = tuple[list[tuple[int, ...]], torch.Tensor]


def sampled(engine: Engine) -> Sampled:
    """Tokens; and log-probs and both entropies of each."""
    groups = sample_all(engine, *((prompt, params(max_new_tokens=12), range(3)) for prompt in PROMPTS))
    found = [completion for group in groups for completion in group]
    values = [[*c.logprobs, *(c.sampling_entropies or ()), *(c.policy_entropies or ())] for c in found]
    return [c.token_ids for c in found], torch.tensor([value for each in values for value in each])


def same(a: Sampled, b: Sampled) -> bool:
    """But for rounding: that of a matrix product depends on where in memory its weights lie."""
    return a[0] == b[0] and torch.allclose(a[1], b[1], atol=1e-5)


def from_local(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Sampled:
    return sampled(LocalEngine(model, tokenizer, max_batch_rows=32))


def replica_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> ReplicaEngine:
    return ReplicaEngine(model, tokenizer, max_batch_rows=32, device=torch.device("cpu"))


@torch.no_grad()
def learn(model: PreTrainedModel) -> None:
    """Move every weight that is trained."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("adapters", [False, True])
def test_it_samples_from_the_weights_of_the_last_sync(
    adapters: bool, tied: bool, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = make_model(tie_word_embeddings=tied)
    if adapters:
        add_adapters(model, rank=2, alpha=8.0, targets="all-linear", seed=0)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    engine = replica_of(model, tokenizer)
    first = from_local(model, tokenizer)
    assert same(sampled(engine), first)  # it begins with a copy
    learn(model)
    second = from_local(model, tokenizer)
    assert not same(second, first)
    assert same(sampled(engine), first)
    engine.sync_weights(4)
    assert same(sampled(engine), second)
    assert {c.policy_version for (c,) in sample_all(engine, ([1], params(max_new_tokens=2), [0]))} == {4}
    assert [name for name, p in model.named_parameters() if p.requires_grad] == trained  # it is still being trained


def test_it_gathers_shards(tokenizer: PreTrainedTokenizerFast) -> None:
    model, plain = make_model(), make_model()
    engine = replica_of(model, tokenizer)
    learn(plain)
    with alone():
        mesh = init_device_mesh("cpu", (1,))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        shards = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in plain.named_parameters():
                shards[name].to_local().copy_(value)
        engine.sync_weights(1)
        assert same(sampled(engine), from_local(plain, tokenizer))


def test_nothing_changes_while_it_samples(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model()
    engine = replica_of(model, tokenizer)
    expected = from_local(copy.deepcopy(model), tokenizer)
    learn(model)

    async def sync_amid() -> None:
        task = asyncio.ensure_future(engine.sample([1, 5], params(max_new_tokens=8), [0]))
        for _ in range(4):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"sync_weights\(1\) while 1 requests"):
            engine.sync_weights(1)
        assert (await task)[0].policy_version == 0

    asyncio.run(sync_amid())
    assert same(sampled(engine), expected)


def test_another_model_is_an_error_of_ours(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model()
    engine = replica_of(model, tokenizer)
    model.lm_head.bias = nn.Parameter(torch.zeros(model.config.vocab_size))
    with pytest.raises((AssertionError, ValueError)):
        engine.sync_weights(1)
