"""Prompts that begin like earlier ones: the tokens and log-probs of whole prompts, from fewer computed tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from igrpo import assembly
from igrpo.generation.base import keep_prompts
from igrpo.generation.local.checks import check_prefix_caching
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.prefix_cache import _MIN_TOKENS, PrefixCache
from tests.assembly.parts import tiny_policy
from tests.composed import config
from tests.families import ALL, NOT_LOCAL, ONLY_EAGER, make_family

from .conftest import make_model, params, sample_all
from .test_local_engine import generate_greedily, reference
from .test_local_families import CASES

STEM, OTHER = [1, *range(4, 24)], [1, *range(30, 20, -1)]
#: Several tokens after a stem, one token, none; part of a stem; and a prompt that shares nothing.
CONTINUED = [[*STEM, 9, 9, 30], [*OTHER, 7], STEM, [*STEM[:12], 30, 31], [5, 6]]


def engine_of(model: object, tokenizer: PreTrainedTokenizerFast, *, caching: bool = True) -> LocalEngine:
    return LocalEngine(model, tokenizer, max_batch_rows=32, prefix_caching=caching)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_tokens_and_log_probs_are_those_of_whole_prompts(
    name: str, attention: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = make_family(name, attention)
    model.generation_config.eos_token_id = None
    engine = engine_of(model, tokenizer)
    greedy, drawn = (params(temperature, max_new_tokens=12, stop=()) for temperature in (0.0, 0.8))
    with keep_prompts(engine):
        sample_all(engine, (STEM, drawn, [0, 1]), (OTHER, drawn, [2]))
        calls = [(prompt, how, [i]) for i, prompt in enumerate(CONTINUED) for how in (greedy, drawn)]
        groups = sample_all(engine, *calls)
    for (prompt, how, _), (done,) in zip(calls, groups, strict=True):
        if how is greedy:
            assert list(done.token_ids) == generate_greedily(model, prompt, 12)
        else:
            expected = reference(model, prompt, done, how)["logprobs"]
            torch.testing.assert_close(torch.tensor(done.logprobs, dtype=torch.float64), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("fast", [False, True])
def test_only_the_rest_of_a_prompt_is_computed(fast: bool, tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model("qwen2")
    engine = LocalEngine(model, tokenizer, max_batch_rows=32, prefix_caching=True, fast_decode=fast)
    how = params(max_new_tokens=2)
    with keep_prompts(engine):
        sample_all(engine, (STEM, how, [0]), (OTHER, how, [0]))
        assert engine.computed_prompt_tokens == len(STEM) + len(OTHER)
        # a pass computes equally many tokens of each prompt: 3, as the first one has 3 that are new
        sample_all(engine, ([*STEM, 9, 9, 30], how, [0]), ([*OTHER, 7], how, [0]))
        assert engine.computed_prompt_tokens == len(STEM) + len(OTHER) + 2 * 3
        sample_all(engine, (STEM, how, [1]))
        assert engine.computed_prompt_tokens == len(STEM) + len(OTHER) + 2 * 3 + 1


def test_nothing_is_kept_outside_a_scope_or_from_one_to_the_next(tokenizer: PreTrainedTokenizerFast) -> None:
    engine = engine_of(make_model("qwen2"), tokenizer)
    how = params(max_new_tokens=2)
    for _ in range(2):
        before = engine.computed_prompt_tokens
        sample_all(engine, (STEM, how, [0]))
        assert engine.computed_prompt_tokens == before + len(STEM)
    with keep_prompts(engine):
        sample_all(engine, (STEM, how, [0]))
    with keep_prompts(engine):
        before = engine.computed_prompt_tokens
        sample_all(engine, (STEM, how, [0]))
        assert engine.computed_prompt_tokens == before + len(STEM)


def test_it_is_off_unless_asked_for(tokenizer: PreTrainedTokenizerFast) -> None:
    engine = engine_of(make_model("qwen2"), tokenizer, caching=False)
    with keep_prompts(engine):
        for _ in range(2):
            before = engine.computed_prompt_tokens
            sample_all(engine, (STEM, params(max_new_tokens=2), [0]))
            assert engine.computed_prompt_tokens == before + len(STEM)


@pytest.mark.parametrize("name", sorted(set(ALL) - NOT_LOCAL))
def test_it_is_proved_before_a_run(name: str) -> None:
    check_prefix_caching(make_family(name, "eager" if name in ONLY_EAGER else "sdpa"))


def test_a_model_that_does_not_read_the_cache_is_refused_unless_it_is_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It decodes one token at a time as it should, so the check of decoding does not notice."""
    policy = tiny_policy()
    attention = type(policy.model.model.layers[0].self_attn)
    attend = attention.forward

    def forgets(self: Any, hidden_states: Any, *args: Any, past_key_values: Any = None, **kwargs: Any) -> Any:
        if past_key_values is not None and hidden_states.shape[1] > 1 and past_key_values.get_seq_length():
            past_key_values.layers[self.layer_idx].keys.zero_()
        return attend(self, hidden_states, *args, past_key_values=past_key_values, **kwargs)

    monkeypatch.setattr(attention, "forward", forgets)
    on, off = (config(None, f"rollout.prefix_caching={value}") for value in ("true", "false"))
    prompts = assembly.build_prompts(on.prompt, policy.tokenizer)
    with pytest.raises(
        ValueError, match=r"rollout.prefix_caching=true: the logits of Qwen2ForCausalLM differ.* set it to false"
    ):
        assembly.build_engine(on, policy, prompts, tmp_path)
    assembly.build_engine(off, policy, prompts, tmp_path)


TOKENS = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=20).map(tuple)


@given(st.lists(TOKENS, min_size=1, max_size=6), st.lists(TOKENS, min_size=1, max_size=6))
def test_the_longest_common_beginning_is_found(kept: list[tuple[int, ...]], asked: list[tuple[int, ...]]) -> None:
    cache = PrefixCache(make_model("qwen2", num_hidden_layers=1, hidden_size=8), enabled=True)
    with cache.scope():
        stored: list[tuple[int, ...]] = []
        for prompt in kept:
            if not cache.known_tokens(prompt):
                stored.append(prompt)
            cache.prefill([prompt])
        for prompt in asked:
            longest = max((_common(prompt, other) for other in stored), default=0)
            expected = min(longest, len(prompt) - 1)
            assert cache.known_tokens(prompt) == (expected if expected >= _MIN_TOKENS else 0)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(n for n in range(min(len(one), len(other)) + 1) if one[:n] == other[:n])
