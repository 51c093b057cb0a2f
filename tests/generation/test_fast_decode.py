"""The fast decode path equals the model's own forward, follows the weights, and leaves other models alone."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from igrpo.generation.local import decode_paths, fast_decode
from igrpo.generation.local.decode_paths import FusedPath
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.model_structure import UnsupportedModelError, read_decoder
from igrpo.generation.local.projections import PackedProjection
from igrpo.models.lora import add_adapters
from igrpo.types import Completion
from tests.families import make_family

from .conftest import Call, make_model, params, sample_all

FAMILIES = ["qwen2", "qwen3", "llama"]
PROMPTS = [[1, 5, 9, 12, 20], [1, 30], [1, *range(4, 24)], [7], [1, 8, 8, 8, 15, 16, 17]]
#: Prompts of several lengths, groups of several sizes, and rows that end at different tokens.
CALLS: list[Call] = [
    (prompt, params(temperature, max_new_tokens=8 + 13 * i), range(50 * i, 50 * i + size))
    for i, (prompt, size, temperature) in enumerate(
        zip(PROMPTS, (4, 1, 7, 2, 16), (0.0, 1.0, 0.8, 0.0, 1.0), strict=True)
    )
]


@pytest.fixture
def fused_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each step of the fast path; empty if it was not used."""
    rows: list[int] = []
    step = FusedPath.step

    def counted(self: FusedPath, tokens_B: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(len(tokens_B))
        return step(self, tokens_B, *rest)

    monkeypatch.setattr(FusedPath, "step", counted)
    return rows


def engines(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, **how: Any) -> tuple[LocalEngine, LocalEngine]:
    """The fast engine and the plain one."""
    how = {"max_batch_rows": 64} | how
    return LocalEngine(model, tokenizer, **how), LocalEngine(model, tokenizer, **how, fast_decode=False)


def check_equal(
    found: list[tuple[Completion, ...]], expected: list[tuple[Completion, ...]], atol: float = 1e-5
) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert [done.token_ids for done in mine] == [done.token_ids for done in theirs]
        for field in ("logprobs", "sampling_entropies", "policy_entropies"):
            for a, b in zip(mine, theirs, strict=True):
                torch.testing.assert_close(
                    torch.tensor(getattr(a, field)), torch.tensor(getattr(b, field)), atol=atol, rtol=1e-5
                )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("packed", [0, 2048])
def test_it_is_the_models_own_forward(
    name: str, packed: int, tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]
) -> None:
    fast, plain = engines(make_model(name), tokenizer, max_packed_mib=packed)
    found = sample_all(fast, *CALLS)
    lengths = {len(done.token_ids) for group in found for done in group}
    assert len(lengths) > 8
    assert max(fused_steps) > 20
    steps = len(fused_steps)
    check_equal(found, sample_all(plain, *CALLS))
    assert len(fused_steps) == steps


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1},
        {"attention_bias": True, "mlp_bias": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}},
        {"rms_norm_eps": 0.1},
    ],
    ids=str,
)
def test_settings_of_the_model_are_heeded(
    changes: dict[str, Any], tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]
) -> None:
    model = make_model("llama", **changes)
    with torch.no_grad():
        for each in model.parameters():  # biases and norms begin as 0 and 1, and would prove nothing
            if each.ndim == 1:
                each.add_(0.3 * torch.randn(each.shape))
    fast, plain = engines(model, tokenizer)
    check_equal(sample_all(fast, *CALLS), sample_all(plain, *CALLS))
    assert fused_steps


@pytest.mark.parametrize("packed", [0, 2048])
def test_a_weight_update_is_seen_by_the_next_rollout(
    packed: int, tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]
) -> None:
    """Every weight in turn: a stale packed copy of any of them would decode with the policy of before."""
    model = make_model("qwen3", attention_bias=True)
    fast, plain = engines(model, tokenizer, max_packed_mib=packed)
    how = params(max_new_tokens=6, stop=())
    before = sample_all(fast, (PROMPTS[0], how, range(4)))
    for version, (name, weight) in enumerate(model.named_parameters()):
        with torch.no_grad():
            weight.add_(torch.randn(weight.shape))
        for engine in (fast, plain):
            engine.sync_weights(version)
        after = sample_all(fast, (PROMPTS[0], how, range(4)))
        assert [done.logprobs for done in after[0]] != [done.logprobs for done in before[0]], name
        check_equal(after, sample_all(plain, (PROMPTS[0], how, range(4))), atol=5e-5)
        before = after
    assert fused_steps


def test_data_that_is_replaced_is_seen_as_well(tokenizer: PreTrainedTokenizerFast) -> None:
    """Loading a checkpoint may replace a tensor or write past the version counter."""
    model = make_model()
    fast, plain = engines(model, tokenizer)
    sample_all(fast, *CALLS)
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.5
        parameter.data.numpy()[...] *= 1.5
    check_equal(sample_all(fast, *CALLS), sample_all(plain, *CALLS))


@pytest.mark.parametrize("rows", [64, 9, 3])
def test_requests_join_while_others_run(rows: int, tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]) -> None:
    """Second requests, whose prompts contain the first answers, begin as soon as a first request ends."""
    fast, plain = engines(make_model(), tokenizer, max_batch_rows=rows)

    async def question(engine: LocalEngine, i: int) -> list[tuple[Completion, ...]]:
        first = await engine.sample(PROMPTS[i], params(max_new_tokens=3 + 9 * i), range(10 * i, 10 * i + 2 + i))
        longer = [*PROMPTS[i], *first[0].token_ids]
        return [first, await engine.sample(longer, params(0.0 if i % 2 else 1.0, max_new_tokens=40 - 9 * i), range(3))]

    async def everyone(engine: LocalEngine) -> list[list[tuple[Completion, ...]]]:
        return list(await asyncio.gather(*(question(engine, i) for i in range(len(PROMPTS)))))

    for found, expected in zip(asyncio.run(everyone(fast)), asyncio.run(everyone(plain)), strict=True):
        check_equal(found, expected)
    assert fused_steps
    assert max(fused_steps) <= rows


def test_a_cancelled_group_takes_its_prompt_along(tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]) -> None:
    fast, plain = engines(make_model(), tokenizer)
    how = params(max_new_tokens=60, stop=())
    stays: list[Call] = [(PROMPTS[2], how, range(3)), (PROMPTS[4], how, range(5, 7))]

    async def scene() -> list[tuple[Completion, ...]]:
        leaves = [asyncio.ensure_future(fast.sample(PROMPTS[i], how, range(4))) for i in (0, 1)]
        tasks = [asyncio.ensure_future(fast.sample(*call)) for call in stays]
        for _ in range(12):
            await asyncio.sleep(0)
        for task in leaves:
            task.cancel()
        return list(await asyncio.gather(*tasks))

    check_equal(asyncio.run(scene()), sample_all(plain, *stays))
    assert set(fused_steps) == {3, 13, 5}  # 3: the check before the first rollout


def test_bfloat16_agrees_to_its_precision(tokenizer: PreTrainedTokenizerFast, fused_steps: list[int]) -> None:
    """Log-probs of the same tokens: by each path, and by the model in float32."""
    model = make_model("qwen2", initializer_range=0.1).to(torch.bfloat16)
    exact = copy.deepcopy(model).float().eval()
    how = params(max_new_tokens=20, stop=())
    gaps = []
    for engine in engines(model, tokenizer):
        groups = sample_all(engine, *((prompt, how, range(4)) for prompt in PROMPTS))
        errors = []
        for prompt, group in zip(PROMPTS, groups, strict=True):
            for done in group:
                ids = torch.tensor([[*prompt, *done.token_ids]])
                with torch.no_grad():
                    logits = exact(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
                true = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
                errors.append((true - torch.tensor(done.logprobs)).abs())
        gaps.append(float(torch.cat(errors).mean()))
    assert fused_steps
    assert gaps[0] < 1.2 * gaps[1] < 0.05


def reason(model: PreTrainedModel) -> str:
    with pytest.raises(UnsupportedModelError) as refused:
        read_decoder(model)
    return str(refused.value)


def test_what_the_fast_path_leaves_to_the_model() -> None:
    assert "none of transformers' families" in reason(make_model("gpt2"))
    assert "sliding window" in reason(make_family("mistral"))
    assert "sliding window" in reason(make_family("qwen2_with_a_window"))
    read_decoder(make_family("mistral_without_a_window"))
    adapted = make_model()
    add_adapters(adapted, rank=2, alpha=8.0, targets="all-linear", seed=0)
    assert reason(adapted)
    hooked = make_model()
    hooked.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert "model.layers.1.mlp has a hook" in reason(hooked)
    replaced = make_model()
    replaced.model.layers[0].mlp.act_fn = nn.GELU()
    assert "GELU" in reason(replaced)
    mixed = make_model()
    mixed.lm_head = nn.Linear(32, 40, bias=False, dtype=torch.float64)
    assert "lm_head.weight" in reason(mixed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in reason(make_model())


def test_a_fallback_says_why_once(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture, fused_steps: list[int]
) -> None:
    engine = LocalEngine(make_model("gpt2"), tokenizer, max_batch_rows=8)
    with caplog.at_level(logging.INFO, logger=fast_decode.__name__):
        for _ in range(2):
            sample_all(engine, (PROMPTS[0], params(), range(2)))
    (record,) = caplog.records
    assert "GPT2LMHeadModel decodes by its own forward" in record.getMessage()
    assert not fused_steps


@pytest.mark.parametrize("part", ["rms_norm", "embedding"])
def test_a_path_with_other_numbers_is_not_used(
    part: str, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(decode_paths, part)
    monkeypatch.setattr(decode_paths, part, lambda *given: right(*given) * 1.001)
    model = make_model()
    fast, plain = engines(model, tokenizer)
    with caplog.at_level(logging.INFO, logger=fast_decode.__name__):
        check_equal(sample_all(fast, *CALLS), sample_all(plain, *CALLS), atol=1e-7)
    assert "its logits differ by" in caplog.text


def test_copies_of_weights_are_limited_and_freed(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: set[int] = set()
    made: list[int] = []
    init = PackedProjection.__init__

    def counted(self: PackedProjection, linears: Any) -> None:
        init(self, linears)
        alive.add(id(self))
        made.append(sum(linear.weight.nbytes for linear in linears))

    monkeypatch.setattr(PackedProjection, "__init__", counted)
    monkeypatch.setattr(PackedProjection, "__del__", lambda self: alive.discard(id(self)), raising=False)
    model = make_model(vocab_size=40_000)  # a head of 4.9 MiB
    layers = sum(each.weight.nbytes for each in model.model.layers.modules() if isinstance(each, nn.Linear))
    for limit, expected in ((0, 0), (4, layers), (2048, layers + model.lm_head.weight.nbytes)):
        made.clear()
        sample_all(LocalEngine(model, tokenizer, max_batch_rows=8, max_packed_mib=limit), (PROMPTS[0], params(), [1]))
        assert sum(made) == expected
        assert not alive
    model = make_model(vocab_size=40_900)  # a head of 5 MiB less 7.5 KiB: the rest is not enough for all layers
    made.clear()
    sample_all(LocalEngine(model, tokenizer, max_batch_rows=8, max_packed_mib=5), (PROMPTS[0], params(), [1]))
    assert made[0] == model.lm_head.weight.nbytes
    assert len(made) > 1
    assert sum(made) <= 5 << 20
