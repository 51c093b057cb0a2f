"""vLLM in this process against the local engine and the trainer's own forward pass."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from igrpo.generation.base import Engine
from igrpo.generation.vllm.colocate import VllmColocateEngine
from igrpo.generation.vllm.in_process import read_answer
from igrpo.models.lora import add_adapters
from igrpo.settings.rollout import VllmColocateConfig
from tests.vllm.conftest import Start
from tests.vllm.models import (
    CLOSE,
    FAR,
    MAX_LEN,
    PROMPTS,
    Small,
    check_five_updates,
    check_many_prompts,
    check_seeds,
    engine_labels,
    greedy,
    largest_gap,
    local_greedy,
    make_small,
    perturb,
    sample_all,
    trainer_labels,
)


@pytest.mark.parametrize("name", ["tied_qwen", "untied_llama", "tied_qwen3"])
def test_it_samples_from_the_weights_of_each_of_five_updates(
    name: str, colocated: Start, request: pytest.FixtureRequest
) -> None:
    small: Small = request.getfixturevalue(name)
    engine = colocated(small)
    assert isinstance(engine, Engine)
    check_five_updates(engine, small, 50)


def test_mamba_layers_are_read_back(colocated: Start, nemotron: Small) -> None:
    """Their inputs are stacked in the checkpoint already, under the name that they have in vLLM."""
    engine = colocated(nemotron, prefix_caching=False)  # with Mamba it needs chunks, which a CPU does not do
    for version in range(2):
        perturb(nemotron.model, 56 + version)
        engine.sync_weights(version)
        assert engine_labels(engine) == trainer_labels(nemotron)
        sampled = sample_all(engine, [(prompt, nemotron.params(0.8), range(2)) for prompt in PROMPTS])
        for prompt, completions in zip(PROMPTS, sampled, strict=True):
            # measured: up to 0.012 between vLLM's Mamba and that of transformers
            assert max(largest_gap(nemotron, prompt, completion, 0.8) for completion in completions) < FAR


def test_more_prompts_than_a_batch_holds(tied_qwen: Small, colocated: Start) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(9)
    check_many_prompts(engine, tied_qwen)


def test_old_weights_would_be_noticed(tied_qwen: Small, colocated: Start) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(10)
    (old,) = sample_all(engine, [(PROMPTS[2], tied_qwen.params(1.0), (3,))])[0]
    perturb(tied_qwen.model, 60)
    assert largest_gap(tied_qwen, PROMPTS[2], old, 1.0) > FAR
    assert engine_labels(engine) != trainer_labels(tied_qwen)


def test_without_the_repack_a_tied_head_is_stale(
    tied_qwen: Small, colocated: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(11)
    perturb(tied_qwen.model, 61)
    with monkeypatch.context() as patched:
        patched.setattr("igrpo.generation.vllm.worker.retie_head", lambda *args, **kwargs: None)
        engine.sync_weights(12)
        (stale,) = sample_all(engine, [(PROMPTS[3], tied_qwen.params(1.0), (3,))])[0]
    assert largest_gap(tied_qwen, PROMPTS[3], stale, 1.0) > FAR
    engine.sync_weights(13)
    (fresh,) = sample_all(engine, [(PROMPTS[3], tied_qwen.params(1.0), (3,))])[0]
    assert largest_gap(tied_qwen, PROMPTS[3], fresh, 1.0) < CLOSE


def test_the_prefix_cache_does_not_survive_an_update(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    prompt = tuple(6 + i % 250 for i in range(150))  # more than a block of vLLM's cache on a CPU (128 tokens)
    engine.sync_weights(20)
    start = engine.prefilled_tokens
    sample_all(engine, [(prompt, tied_qwen.params(1.0, 4), (1,))])
    first = engine.prefilled_tokens - start
    sample_all(engine, [(prompt, tied_qwen.params(1.0, 4), (2,))])
    second = engine.prefilled_tokens - start - first
    perturb(tied_qwen.model, 62)
    engine.sync_weights(21)
    ((third,),) = sample_all(engine, [(prompt, tied_qwen.params(1.0, 4), (2,))])
    after = engine.prefilled_tokens - start - first - second
    assert (first, second, after) == (150, 150 - 128, 150)
    assert largest_gap(tied_qwen, prompt, third, 1.0) < CLOSE


def test_a_seed_is_a_sample_whoever_shares_the_batch(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(22)
    check_seeds(engine, tied_qwen)


def test_the_distribution_is_that_of_temperature_top_k_and_top_p(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(23)
    prompt, seeds = PROMPTS[1], range(400)
    params = tied_qwen.params(0.7, new=1, top_k=5, top_p=0.9)
    (completions,) = sample_all(engine, [(prompt, params, seeds)])
    with torch.no_grad():
        logits = tied_qwen.model(torch.tensor([prompt])).logits[0, -1].double() / 0.7
    top = logits.topk(5)
    probs = top.values.softmax(-1)
    kept = int((probs.cumsum(-1) - probs < 0.9).sum())  # the smallest set of at least that mass
    probs = probs[:kept] / probs[:kept].sum()
    ids = top.indices[:kept].tolist()
    counts = [sum(completion.token_ids == (token,) for completion in completions) for token in ids]
    assert sum(counts) == len(seeds)
    for completion in completions:
        assert completion.logprobs[0] == pytest.approx(float(probs[ids.index(completion.token_ids[0])].log()), abs=1e-4)
    for count, prob in zip(counts, probs.tolist(), strict=True):
        assert abs(count - 400 * prob) < 4.5 * (400 * prob * (1 - prob)) ** 0.5 + 1


def test_only_our_stop_tokens_stop_and_the_stop_token_is_kept(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(24)
    (tokens,) = [greedy(engine, tied_qwen)[5]]
    third = tokens[2]
    params = tied_qwen.params(0.0)
    stopping = type(params)(0.0, 1.0, 0, 24, (third,))
    ((completion,),) = sample_all(engine, [(PROMPTS[5], stopping, (0,))])
    assert completion.token_ids == tokens[: tokens.index(third) + 1]
    assert completion.finish_reason == "stop"
    assert completion.text == tied_qwen.tokenizer.decode(list(completion.token_ids))  # no special token: it is text
    assert completion.logprobs == (0.0,) * len(completion.token_ids)


def test_requests_join_while_others_are_decoded(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(25)
    order = []

    async def two() -> None:
        async def long() -> None:
            await engine.sample(PROMPTS[0], type(tied_qwen.params(1.0))(1.0, 1.0, 0, 60, ()), (1,))
            order.append("long")

        async def short() -> None:
            await asyncio.sleep(0.02)
            await engine.sample(PROMPTS[1], tied_qwen.params(1.0, 2), (1,))
            order.append("short")

        await asyncio.gather(long(), short())

    asyncio.run(two())
    assert order == ["short", "long"]


def test_a_cancelled_sample_leaves_the_engine_free(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(26)

    async def cancelled() -> None:
        task = asyncio.ensure_future(engine.sample(PROMPTS[0], tied_qwen.params(1.0, 60), range(8)))
        await asyncio.sleep(0.02)
        with pytest.raises(RuntimeError, match="while 8 samples"):
            engine.sync_weights(27)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    engine.sync_weights(27)
    assert greedy(engine, tied_qwen) == local_greedy(tied_qwen)


def test_what_cannot_be_sampled_is_refused(colocated: Start, tied_qwen: Small) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(28)
    with pytest.raises(ValueError, match=rf"max_new_tokens={MAX_LEN - 8} make {MAX_LEN + 1}.*rollout.max_model_len"):
        sample_all(engine, [(PROMPTS[0], tied_qwen.params(1.0, MAX_LEN - 8), (1,))])
    with pytest.raises(ValueError, match=r"temperature=0\.001"):
        sample_all(engine, [(PROMPTS[0], tied_qwen.params(0.001), (1,))])


def test_adapters_are_merged(colocated: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    small = make_small(tmp_path_factory.mktemp("lora"), "llama", tied=True, seed=9)
    add_adapters(small.model, rank=4, alpha=8.0, targets="all-linear", seed=3)
    engine = colocated(small)
    engine.sync_weights(0)
    base = greedy(engine, small)
    for version in (1, 2):
        perturb(small.model, 70 + version, scale=0.2)
        engine.sync_weights(version)
        answers = greedy(engine, small)
        assert answers == local_greedy(small)
        assert answers != base
        assert engine_labels(engine) == trainer_labels(small)


def test_starting_it_leaves_the_process_as_it_was(colocate_config: VllmColocateConfig, untied_llama: Small) -> None:
    grouped = torch.distributed.is_initialized()  # by an engine of another test
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), torch.get_num_threads())
    setter = torch.set_num_threads
    engine = VllmColocateEngine(
        untied_llama.model, untied_llama.tokenizer, untied_llama.served, colocate_config, max_model_len=MAX_LEN, seed=5
    )
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.get_num_threads() == before[3]
    assert torch.set_num_threads is setter
    with pytest.raises(RuntimeError, match="first sync_weights"):
        sample_all(engine, [(PROMPTS[0], untied_llama.params(1.0), (1,))])
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        sample_all(engine, [(PROMPTS[0], untied_llama.params(1.0), (1,))])
    assert torch.distributed.is_initialized() == grouped


def test_a_failure_of_vllm_reaches_every_caller(
    colocated: Start, tied_qwen: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = colocated(tied_qwen)
    engine.sync_weights(30)
    with monkeypatch.context() as patched:
        # as if the tokens had come from other weights than those of the last sync
        patched.setattr("igrpo.generation.vllm.stepped.read_answer", _of_another_version)
        with pytest.raises(RuntimeError, match=r"with weights \('29',\), not 30"):
            sample_all(engine, [(prompt, tied_qwen.params(1.0), range(3)) for prompt in PROMPTS])
    assert greedy(engine, tied_qwen) == local_greedy(tied_qwen)


def _of_another_version(output: Any) -> Any:
    return replace(read_answer(output), versions=("29",))
