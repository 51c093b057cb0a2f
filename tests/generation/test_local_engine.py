"""Samples of LocalEngine compared with ``model.generate``, a fresh forward pass, and other batches."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TopKLogitsWarper, TopPLogitsWarper

from igrpo.generation.base import Engine, SamplingParams
from igrpo.generation.local.engine import LocalEngine
from igrpo.types import Completion

from .conftest import EOS, GREEDY, make_model, params, rule_out, sample_all

PROMPTS = [[1, 5, 9, 12, 20], [1, 30], [1, *range(4, 24)], [7], [1, 8, 8, 8, 15, 16, 17]]


def generate_greedily(model: PreTrainedModel, prompt: list[int], new_tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    model.eval()
    output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_tokens)
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_is_generate_token_by_token(name: str, attention: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model(name, **({} if name == "gpt2" else {"attn_implementation": attention}))
    model.set_attn_implementation(attention)
    expected = [generate_greedily(model, prompt, 40) for prompt in PROMPTS]
    assert len({tuple(tokens) for tokens in expected}) == len(PROMPTS)
    model.train()  # the engine switches dropout off, and on again
    engine = LocalEngine(model, tokenizer, max_batch_rows=32)
    mates = [(prompt, params(max_new_tokens=5 + 9 * i), range(3)) for i, prompt in enumerate(reversed(PROMPTS))]
    groups = sample_all(engine, *((prompt, params(0.0, max_new_tokens=40), [0]) for prompt in PROMPTS), *mates)
    assert [list(group[0].token_ids) for group in groups[: len(PROMPTS)]] == expected
    assert all(module.training for module in model.modules())
    assert model.config._attn_implementation == attention


def reference(
    model: PreTrainedModel, prompt: list[int], done: Completion, how: SamplingParams
) -> dict[str, torch.Tensor]:
    """Log-probs and entropies of a completion from one full forward pass, without any cache."""
    ids = torch.tensor([[*prompt, *done.token_ids]])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    scores = logits / how.temperature
    scores = TopKLogitsWarper(how.top_k)(None, scores) if how.top_k else scores
    scores = TopPLogitsWarper(how.top_p)(None, scores) if how.top_p < 1 else scores
    sampling, policy = scores.log_softmax(-1), logits.log_softmax(-1)
    return {
        "logprobs": sampling.gather(-1, torch.tensor(done.token_ids)[:, None])[:, 0],
        "sampling_entropies": -(sampling.exp() * sampling.clamp_min(-1e30)).sum(-1),
        "policy_entropies": -(policy.exp() * policy).sum(-1),
    }


@pytest.mark.parametrize("name", ["qwen2", "llama", "gpt2"])
@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"), [(1, 1, 0), (0.7, 1, 0), (1, 1, 5), (1, 0.7, 0), (0.7, 0.8, 12)]
)
def test_statistics_equal_a_fresh_forward_pass(
    name: str, temperature: float, top_p: float, top_k: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = make_model(name)
    engine = LocalEngine(model, tokenizer, max_batch_rows=32)
    how = params(temperature, top_p, top_k, max_new_tokens=20)
    groups = sample_all(engine, *((prompt, how, [11 * i, 11 * i + 1]) for i, prompt in enumerate(PROMPTS)))
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for done in group:
            for field, expected in reference(model, prompt, done, how).items():
                actual = torch.tensor(getattr(done, field), dtype=torch.float64)
                torch.testing.assert_close(
                    actual, expected, atol=3e-5, rtol=0, msg=lambda text, f=field: f"{f}: {text}"
                )


def test_greedy_log_probs_are_0_and_the_policy_keeps_its_entropy(engine: LocalEngine, model: PreTrainedModel) -> None:
    ((done,),) = sample_all(engine, (PROMPTS[0], GREEDY, [0]))
    assert set(done.logprobs) == set(done.sampling_entropies) == {0.0}
    expected = reference(model, PROMPTS[0], done, params())["policy_entropies"]
    torch.testing.assert_close(torch.tensor(done.policy_entropies, dtype=torch.float64), expected, atol=1e-5, rtol=0)


def tokens_of(group: tuple[Completion, ...]) -> list[tuple[int, ...]]:
    return [done.token_ids for done in group]


def test_a_seed_gives_its_sample_and_other_seeds_give_others(engine: LocalEngine) -> None:
    call = (PROMPTS[0], params(max_new_tokens=20, stop=()), [5, 6, 7, 5])
    first, again = sample_all(engine, call)[0], sample_all(engine, call)[0]
    assert first == again
    assert first[0] == first[3]
    assert len(set(tokens_of(first))) == 3


@pytest.mark.parametrize("rows", [64, 7, 1])
def test_a_sample_does_not_depend_on_its_batch(
    rows: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    how = params(max_new_tokens=16)
    alone = [
        tokens_of(sample_all(LocalEngine(model, tokenizer, max_batch_rows=64), (prompt, how, [i]))[0])[0]
        for i, prompt in enumerate(PROMPTS)
    ]
    mates = [
        (prompt, params(0.8, 0.9, 4, max_new_tokens=3 + i), [100 + i, 200 + i]) for i, prompt in enumerate(PROMPTS)
    ]
    calls = [call for i, prompt in enumerate(PROMPTS) for call in (mates[i], (prompt, how, [i]))]
    groups = sample_all(LocalEngine(model, tokenizer, max_batch_rows=rows, max_prefill_tokens=24), *calls)
    assert [tokens_of(group)[0] for group in groups[1::2]] == alone


@pytest.mark.parametrize(
    "others",
    [(params(0.7),), (params(0.0),), (params(top_p=0.5),), (params(top_k=3),), (params(0.7), params(0.0))],
    ids=["temperature", "greedy", "top_p", "top_k", "temperature and greedy"],
)
def test_each_row_is_sampled_by_its_own_settings(others: tuple[SamplingParams, ...], engine: LocalEngine) -> None:
    """Beside rows of other settings as well as alone: also where all but one of them need no extra work."""
    calls = [(PROMPTS[i % 5], how, range(8 * i, 8 * i + 4)) for i, how in enumerate([params(), *others])]
    alone = [tokens_of(sample_all(engine, call)[0]) for call in calls]
    assert [tokens_of(group) for group in sample_all(engine, *calls)] == alone
    assert [tokens_of(group) for group in sample_all(engine, *calls[::-1])] == alone[::-1]


def test_a_row_that_moves_keeps_its_stop_tokens(engine: LocalEngine) -> None:
    """Rows that end early leave their slots to the last rows, which stop at other tokens."""
    stops = [(), (EOS, 17, 23), (5, 6, 7, 8), (9,)]
    calls = [(PROMPTS[0], params(max_new_tokens=1 + i, stop=stops[i % 2]), range(8 * i, 8 * i + 3)) for i in range(4)]
    calls += [(PROMPTS[1], params(max_new_tokens=40, stop=stop), range(50, 54)) for stop in stops]
    alone = [tokens_of(sample_all(engine, call)[0]) for call in calls]
    assert len({len(tokens) for tokens in alone[-3]}) > 1, "stop tokens are what ends them"
    assert [tokens_of(group) for group in sample_all(engine, *calls)] == alone


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_rows_with_more_stop_tokens_than_there_are_rows(
    rows: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """And rows with fewer of them that join later."""
    rule_out(model, EOS)
    many, few = params(max_new_tokens=20, stop=(EOS, 0, 1, 3, 39)), params(max_new_tokens=2, stop=())
    calls = [(PROMPTS[0], many, [1]), (PROMPTS[1], few, [2]), (PROMPTS[2], few, [3, 4]), (PROMPTS[3], many, [5])]
    alone = [tokens_of(sample_all(LocalEngine(model, tokenizer, max_batch_rows=64), call)[0]) for call in calls]
    together = sample_all(LocalEngine(model, tokenizer, max_batch_rows=rows), *calls)
    assert [tokens_of(group) for group in together] == alone


def test_more_seeds_than_rows_are_split_and_come_back_in_order(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, watch: Any
) -> None:
    how = params(max_new_tokens=10)
    calls = [(PROMPTS[2], how, range(3)), (PROMPTS[0], how, range(20)), (PROMPTS[1], how, range(9))]
    whole = sample_all(LocalEngine(model, tokenizer, max_batch_rows=64), *calls)
    seen = watch(model)
    engine = LocalEngine(model, tokenizer, max_batch_rows=8)
    split = sample_all(engine, *calls)
    assert [tokens_of(group) for group in split] == [tokens_of(group) for group in whole]
    assert max(seen.decode_rows) <= 8
    # The first two prompts share a pass; 5 of 20 seeds start with it, the others later, from the keys that were kept.
    assert seen.prefills == [(2, 21), (1, 2)]
    assert engine.prefilled_tokens == 21 + 5 + 2


def test_stop_tokens_length_and_text(engine: LocalEngine, tokenizer: PreTrainedTokenizerFast) -> None:
    plain = 17  # an ordinary token that stops is part of the text, a special one is not
    how = params(max_new_tokens=60, stop=(EOS, plain))
    group = sample_all(engine, (PROMPTS[0], how, range(24)))[0]
    endings = {done.token_ids[-1] for done in group if done.finish_reason == "stop"}
    assert endings == {EOS, plain}
    for done in group:
        assert not set(done.token_ids[:-1]) & {EOS, plain}
        kept = done.token_ids[:-1] if done.token_ids[-1] == EOS else done.token_ids
        assert done.text == "".join(tokenizer.convert_ids_to_tokens(list(kept)))
        assert len(done.logprobs) == len(done.sampling_entropies) == len(done.policy_entropies) == len(done.token_ids)
    assert any("\\boxed{" in done.text for done in group)
    short = sample_all(engine, (PROMPTS[0], params(max_new_tokens=4, stop=()), range(5)))[0]
    assert {(len(done.token_ids), done.finish_reason) for done in short} == {(4, "length")}


def test_a_stop_at_the_limit_is_a_stop(engine: LocalEngine) -> None:
    first = sample_all(engine, (PROMPTS[0], params(max_new_tokens=1, stop=()), [3]))[0][0].token_ids[0]
    done = sample_all(engine, (PROMPTS[0], params(max_new_tokens=1, stop=(first,)), [3]))[0][0]
    assert (done.finish_reason, done.token_ids) == ("stop", (first,))


def test_versions_and_counters(engine: LocalEngine, model: PreTrainedModel) -> None:
    assert isinstance(engine, Engine)
    how = params(max_new_tokens=6, stop=())
    started = time.perf_counter()
    before = sample_all(engine, (PROMPTS[0], how, [1, 2]), (PROMPTS[1], how, [3]))
    assert 0 < engine.busy_seconds < time.perf_counter() - started
    assert (engine.prefilled_tokens, engine.generated_tokens) == (5 + 2, 18)
    with torch.no_grad():
        model.lm_head.weight.neg_()  # the weights are sampled as they are
    engine.sync_weights(4)
    after = sample_all(engine, (PROMPTS[0], how, [1, 2]))
    assert {done.policy_version for group in before for done in group} == {0}
    assert {done.policy_version for done in after[0]} == {4}
    assert tokens_of(after[0]) != tokens_of(before[0])
    assert (engine.prefilled_tokens, engine.generated_tokens) == (12, 30)


def test_growing_buffers_keep_what_they_hold(tokenizer: PreTrainedTokenizerFast) -> None:
    """One request decodes past several buffer sizes while others join it."""
    model = make_model(max_position_embeddings=400)
    rule_out(model, EOS)
    engine = LocalEngine(model, tokenizer, max_batch_rows=32)
    long = (PROMPTS[0], params(0.0, max_new_tokens=200), [0])
    alone = sample_all(engine, long)[0]

    async def with_joiners() -> tuple[Completion, ...]:
        task = asyncio.ensure_future(engine.sample(*long))
        for i in range(6):
            for _ in range(12):
                await asyncio.sleep(0)
            await engine.sample([1] * (10 + 30 * i), params(max_new_tokens=3), range(1 + 2 * i))
        return await task

    assert asyncio.run(with_joiners())[0].token_ids == alone[0].token_ids
    assert alone[0].token_ids == tuple(generate_greedily(model, PROMPTS[0], 200))


def test_bfloat16_and_autocast_run(tokenizer: PreTrainedTokenizerFast) -> None:
    engine = LocalEngine(make_model().to(torch.bfloat16), tokenizer, max_batch_rows=8)
    assert len(sample_all(engine, (PROMPTS[0], params(), [1, 2]), (PROMPTS[1], params(), [3]))[0]) == 2
    engine = LocalEngine(make_model(), tokenizer, max_batch_rows=8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert len(sample_all(engine, (PROMPTS[0], params(), [1, 2]), (PROMPTS[1], params(), [3]))[0]) == 2
