"""The local engine on families with attention windows, scaled logits and capped scores: the model's own numbers."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from igrpo.generation.local.checks import check_decoding
from igrpo.generation.local.engine import LocalEngine
from tests.families import ALL, NOT_LOCAL, ONLY_EAGER, WINDOW, make_family

from .conftest import params, sample_all
from .test_local_engine import generate_greedily, reference

#: Shorter and longer than the window, so that a row begins on each side of it.
PROMPTS = [[1, *range(4, 24)], [1, 5, 9, 12, 20], [7], [1, 8, 8, 8, 15, 16, 17]]
CASES = [(name, "eager") for name in ALL if name not in NOT_LOCAL]
CASES += [(name, "sdpa") for name, _ in CASES if name not in ONLY_EAGER]


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_tokens_and_log_probs_are_the_models(name: str, attention: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_family(name, attention)
    engine = LocalEngine(model, tokenizer, max_batch_rows=32)
    new_tokens = 4 * WINDOW
    greedy = params(temperature=0.0, max_new_tokens=new_tokens, stop=())
    drawn = params(0.8, max_new_tokens=new_tokens, stop=())
    calls = [(prompt, how, [i]) for i, prompt in enumerate(PROMPTS) for how in (greedy, drawn)]
    groups = sample_all(engine, *calls)
    for (prompt, how, _), (done,) in zip(calls, groups, strict=True):
        if how is greedy:
            model.generation_config.eos_token_id = None
            assert list(done.token_ids) == generate_greedily(model, prompt, new_tokens)
            continue
        expected = reference(model, prompt, done, how)
        for field in ("logprobs", "policy_entropies"):
            actual = torch.tensor(getattr(done, field), dtype=torch.float64)
            torch.testing.assert_close(actual, expected[field], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", sorted(NOT_LOCAL))
def test_what_it_cannot_follow_is_refused_with_a_way_out(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_family(name)
    with pytest.raises(ValueError, match=rf"cannot sample from {type(model).__name__}.*rollout=vllm_colocate"):
        LocalEngine(model, tokenizer, max_batch_rows=4)


@pytest.mark.parametrize("name", sorted(set(ALL) - NOT_LOCAL))
def test_decoding_is_proved_before_a_run(name: str) -> None:
    check_decoding(make_family(name, "eager" if name in ONLY_EAGER else "sdpa"))


def test_a_model_that_counts_its_own_positions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_family("llama")
    rotary = type(model.model.rotary_emb)
    own = rotary.forward
    same = torch.zeros(1, 1, dtype=torch.long)
    monkeypatch.setattr(rotary, "forward", lambda self, x, position_ids: own(self, x, same.expand_as(position_ids)))
    check_decoding(model)  # no positions at all: the same in every pass

    def by_columns(self: torch.nn.Module, x: torch.Tensor, position_ids: torch.Tensor) -> object:
        return own(self, x, torch.arange(x.shape[1]).expand_as(position_ids))

    monkeypatch.setattr(rotary, "forward", by_columns)
    with pytest.raises(ValueError, match=r"cannot sample from LlamaForCausalLM: .* nats"):
        check_decoding(model)


def test_a_model_that_fails_in_a_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_family("llama")
    rotary = type(model.model.rotary_emb)

    def fails(self: torch.nn.Module, x: torch.Tensor, position_ids: torch.Tensor) -> object:
        raise TypeError("no masks of four dimensions")

    monkeypatch.setattr(rotary, "forward", fails)
    with pytest.raises(ValueError, match=r"unequal lengths .* \(TypeError: no masks"):
        check_decoding(model)
