"""The trainer's log-probs of families that scale or cap their logits: those of the model's own logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from igrpo.models.tree_support import tree_problem
from igrpo.training.batching import collate, collate_packed
from igrpo.training.forward import PolicyForward, check_head
from igrpo.training.packing import sorted_rows
from igrpo.training.rows import Row
from tests.families import ALL, make_family

TEMPERATURE = 0.7


@pytest.mark.parametrize("name", ALL)
def test_log_probs_and_gradients_are_those_of_the_models_logits(name: str) -> None:
    model = make_family(name)
    check_head(model)
    generator = torch.Generator().manual_seed(1)
    prompt, completion = torch.randint(3, 40, (2, 12), generator=generator).tolist()
    batch = collate([Row(tuple(prompt), tuple(completion), (-1.0,) * 12, 1.0, valid=True)], 0)
    stats = PolicyForward(TEMPERATURE, 5)(model, batch, entropies="value")
    logits = model(input_ids=torch.tensor([[*prompt, *completion]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    expected = (logits / TEMPERATURE).log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]
    torch.testing.assert_close(stats.logprobs_BT[0], expected, atol=1e-4, rtol=0)
    policy = logits.log_softmax(-1)
    assert stats.entropies_BT is not None
    torch.testing.assert_close(stats.entropies_BT[0], -(policy.exp() * policy).sum(-1), atol=1e-4, rtol=0)
    weight = model.get_output_embeddings().weight
    (mine,), (own,) = (torch.autograd.grad(values.sum(), weight) for values in (stats.logprobs_BT[0], expected))
    torch.testing.assert_close(mine, own, atol=1e-3 * float(own.abs().max()), rtol=0)


#: Families that compute each row by itself: other attention than sdpa, a window, a state, or positions of their own.
SEPARATE = {
    "bloom", "cohere2", "falcon_h1", "falcon_with_alibi", "gemma2", "gemma3", "gpt_neo", "gpt_oss", "gptj", "mamba",
    "mistral", "mixtral", "olmo3", "phi3", "qwen2_with_a_window", "recurrent_gemma", "starcoder2",
}  # fmt: skip


def rows_with_shared_prompts() -> list[Row]:
    """Three completions of a prompt, two of one that begins as it does, and two of a short one."""
    generator = torch.Generator().manual_seed(1)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 40, (count,), generator=generator).tolist())

    long, short = tokens(20), tokens(4)
    other = (*long[:17], *tokens(5))
    prompts = (long, long, long, other, other, short, short)
    sizes = (5, 1, 9, 6, 2, 3, 4)
    return sorted_rows([Row(p, tokens(n), (-1.0,) * n, 1.0, valid=True) for p, n in zip(prompts, sizes, strict=True)])


@pytest.mark.parametrize("name", ALL)
def test_packed_rows_have_the_values_of_separate_rows(name: str) -> None:
    model, rows = make_family(name), rows_with_shared_prompts()
    assert (tree_problem(model) is not None) == (name in SEPARATE)
    if name in SEPARATE:
        return
    packed, padded = collate_packed(rows, 0), collate(rows, 0)
    assert packed.inputs.tree.tokens == 17 + (3 + 4 + 0 + 8) + (5 + 5 + 1) + (4 + 2 + 3)
    found, expected = (PolicyForward(TEMPERATURE, 5)(model, batch).logprobs_BT for batch in (packed, padded))
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    parameters = list(model.parameters())
    mine, theirs = (
        torch.autograd.grad((values * direction).sum(), parameters, allow_unused=True) for values in (found, expected)
    )
    largest = max(float(gradient.abs().max()) for gradient in theirs if gradient is not None)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5 * largest, rtol=0)


@pytest.mark.parametrize("cap", [30.0, 50.0])
def test_an_unknown_cap_is_found_however_small_the_logits_are(cap: float) -> None:
    """Small logits hardly change by it: it would show when training has made them large."""
    model: Any = make_family("llama")
    with torch.no_grad():
        model.lm_head.weight.mul_(1e-3)
    check_head(model)
    original = model.forward

    def capped(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.logits = cap * torch.tanh(output.logits / cap)
        return output

    model.forward = capped
    with pytest.raises(ValueError, match="LlamaForCausalLM changes its logits after the output head"):
        check_head(model)


def test_a_scale_that_its_configuration_does_not_tell_is_refused() -> None:
    model: Any = make_family("granite")
    model.config.logits_scaling = 8.0
    check_head(model)
    del model.config.logits_scaling
    original = model.forward

    def scaled(*args: Any, **kwargs: Any) -> Any:
        model.config.logits_scaling = 8.01
        output = original(*args, **kwargs)
        del model.config.logits_scaling
        return output

    model.forward = scaled
    with pytest.raises(ValueError, match="GraniteForCausalLM changes its logits"):
        check_head(model)


def test_a_model_without_a_decoder_of_its_own_is_refused() -> None:
    model: Any = make_family("llama")
    model.base_model_prefix = "nothing"
    with pytest.raises(ValueError, match="LlamaForCausalLM has no decoder apart from its output head"):
        check_head(model)
