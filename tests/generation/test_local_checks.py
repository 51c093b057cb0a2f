"""Requests and models that LocalEngine refuses, and the messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    MambaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3NextConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from igrpo.generation.local.engine import LocalEngine

from .conftest import EOS, MAX_POSITIONS, make_model, params, rule_out, sample_all

PROMPT = [1, 5, 9, 12, 20]


@pytest.mark.parametrize(
    ("prompt", "changes", "seeds", "message"),
    [
        ([], {}, [1], "the prompt is empty"),
        ([1, 40], {}, [1], "token id 40; the model has ids 0 to 39"),
        ([1, -3], {}, [1], "token id -3"),
        (
            [1] * 100,
            {"max_new_tokens": 30},
            [1],
            f"100 tokens and max_new_tokens=30 make 130, .*={MAX_POSITIONS}: .* by 2",
        ),
        (PROMPT, {"temperature": -1.0}, [1], "temperature=-1"),
        (PROMPT, {"temperature": float("nan")}, [1], "temperature=nan"),
        (PROMPT, {"top_p": 0.0}, [1], "top_p=0"),
        (PROMPT, {"top_k": -1}, [1], "top_k=-1"),
        (PROMPT, {"max_new_tokens": 0}, [1], "max_new_tokens=0"),
        (PROMPT, {}, [1, 1 << 63], "seed=9223372036854775808"),
        (PROMPT, {}, [0, -1], "seed=-1"),
        ([1, -1], {}, [1], "token id -1"),
        (PROMPT, {"temperature": float("inf")}, [1], "temperature=inf"),
        (PROMPT, {"top_p": 1.001}, [1], "top_p=1.001"),
    ],
)
def test_bad_requests_are_refused_and_others_are_served(
    prompt: list[int], changes: dict[str, Any], seeds: list[int], message: str, engine: LocalEngine
) -> None:
    with pytest.raises(ValueError, match=message):
        sample_all(engine, (prompt, replace(params(), **changes), seeds))
    assert len(sample_all(engine, (PROMPT, params(), [1]))[0]) == 1


def test_a_prompt_that_just_fits_is_sampled(engine: LocalEngine, model: PreTrainedModel) -> None:
    rule_out(model, EOS)
    how = params(max_new_tokens=28)
    groups = sample_all(engine, ([1] * (MAX_POSITIONS - 28), how, [1]), (PROMPT, how, []))
    assert [len(group) for group in groups] == [1, 0]
    assert engine.prefilled_tokens == 100


def test_every_limit_is_served_itself(engine: LocalEngine) -> None:
    how = params(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=1)
    groups = sample_all(engine, ([0, 39], how, [0, (1 << 63) - 1]), ([0], params(top_p=1e-9, top_k=1), [0]))
    assert [len(group) for group in groups] == [2, 1]


SMALL = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, state_size=4), "MambaForCausalLM.*recurrent"),
        (Qwen3NextConfig(**SMALL, num_experts=2, num_attention_heads=2, num_key_value_heads=2), "Qwen3Next.*hybrid"),
    ],
)
def test_models_with_another_state_are_refused(config: Any, message: str, tokenizer: PreTrainedTokenizerFast) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match=message):
        LocalEngine(model, tokenizer, max_batch_rows=4)


def test_other_refusals_name_the_setting(tokenizer: PreTrainedTokenizerFast) -> None:
    with torch.device("meta"):
        t5 = T5ForConditionalGeneration(T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    with pytest.raises(ValueError, match=r"T5ForConditionalGeneration.*encoder-decoder"):
        LocalEngine(t5, tokenizer, max_batch_rows=4)
    with pytest.raises(ValueError, match="max_batch_rows=0"):
        LocalEngine(make_model(), tokenizer, max_batch_rows=0)
    flash = make_model()
    flash.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(ValueError, match="'flash_attention_2': load it with 'sdpa'"):
        LocalEngine(flash, tokenizer, max_batch_rows=4)
