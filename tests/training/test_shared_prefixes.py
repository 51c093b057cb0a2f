"""Updates with shared prefixes against updates of separate rows: losses, metrics and gradients are the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from igrpo.models.lora import add_adapters
from igrpo.models.prefix_tree import Node, PrefixTree
from igrpo.training.packing import pack, packs_rows, sorted_rows
from igrpo.training.rows import Row
from igrpo.training.strategies import checkpoint_activations
from tests.training.models import gemma_with_softcap, gpt2, qwen, trainer
from tests.training.test_update import close, naive_gradient, update

_SHAPE: dict[str, Any] = {
    "vocab_size": 23, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 128,
}  # fmt: skip


def exact(model: Any) -> Any:
    """Compute norms in float64 too, which transformers computes in float32 whatever the model's type."""
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            size = tuple(module.weight.shape)
            module.forward = partial(functional.rms_norm, normalized_shape=size, weight=module.weight, eps=1e-6)
    return model.double().eval()


def family(name: str) -> Any:
    torch.manual_seed(0)
    if name == "gpt2":
        return gpt2()
    classes = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    config, model = classes[name]
    extra = {"head_dim": 6} if name == "qwen3" else {}
    return exact(model(config(**_SHAPE, **extra)))


def tokens(generator: torch.Generator, count: int) -> tuple[int, ...]:
    return tuple(torch.randint(0, 23, (count,), generator=generator).tolist())


def groups(seed: int = 0) -> list[list[Row]]:
    """Two questions of four answers, and one of two drafts and three refinements, whose prompts begin alike."""
    generator = torch.Generator().manual_seed(seed)
    questions = []
    for prompts in (
        [tokens(generator, 9)] * 4,
        [tokens(generator, 3)] * 4,
        [(stem := tokens(generator, 20))] * 2 + [(*stem, *tokens(generator, 7))] * 3,
    ):
        sizes = torch.randint(1, 9, (len(prompts),), generator=generator).tolist()
        questions.append([
            Row(prompt, tokens(generator, n), (-1.0,) * n, (-1.0) ** i * (0.5 + 0.25 * i), valid=True)
            for i, (prompt, n) in enumerate(zip(prompts, sizes, strict=True))
        ])  # fmt: skip
    return questions


def both(model: Any, questions: Sequence[Sequence[Row]], **settings: Any) -> tuple[Any, Any]:
    """Gradients and results with shared prefixes and without."""
    return tuple(update(model, questions, share_prefixes=shared, **settings) for shared in (True, False))  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "gpt2"])
def test_float64_gradients_agree_to_ten_digits(name: str) -> None:
    model, questions = family(name), groups()
    (shared, result), (separate, expected) = both(model, questions)
    error = (shared.seen[0] - separate.seen[0]).norm() / separate.seen[0].norm()
    assert float(error) < 1e-10
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-9, abs=1e-12)
    flat = [row for rows in questions for row in rows]
    close(shared.seen[0], naive_gradient(model, flat))


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "gpt2"])
def test_float32_gradients_agree_to_five_digits(name: str) -> None:
    (shared, _), (separate, _) = both(family(name).float(), groups())
    assert float((shared.seen[0] - separate.seen[0]).norm() / separate.seen[0].norm()) < 1e-5


@pytest.mark.parametrize("budget", [29, 45, 4096])
def test_several_updates_with_a_reference_and_entropies_agree(budget: int) -> None:
    settings: dict[str, Any] = {"epochs": 2, "minibatches": 2, "tokens_per_microbatch": budget, "temperature": 0.7}
    terms = {"kl_beta": 0.1, "entropy_bonus": 0.01}
    results = both(exact(qwen()), groups(1), reference=exact(qwen(1)), objective_changes=terms, **settings)
    (shared, result), (separate, expected) = results
    assert len(shared.seen) == len(separate.seen) == 4
    for mine, theirs in zip(shared.seen, separate.seen, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-12)
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-8, abs=1e-12)
    assert (result.trained_tokens, result.flops) == (expected.trained_tokens, expected.flops)


def test_recomputed_activations_have_the_same_gradients() -> None:
    model, questions = family("qwen2"), groups()
    plain, _ = update(model, questions)
    checkpoint_activations(model)
    recomputed, _ = update(model, questions)
    torch.testing.assert_close(recomputed.seen[0], plain.seen[0], rtol=1e-10, atol=1e-14)


def test_adapters_have_the_same_gradients() -> None:
    model = family("llama")
    add_adapters(model, 2, 4.0, "all-linear", seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(3))
    model = model.double()
    (shared, _), (separate, _) = both(model, groups())
    assert float((shared.seen[0] - separate.seen[0]).norm() / separate.seen[0].norm()) < 1e-10


def test_a_group_s_prompt_is_computed_once() -> None:
    rows = groups()[0]
    assert len(pack(sorted_rows(rows)).token_ids) == 9 + sum(len(row.completion_ids) - 1 for row in rows)


def test_rows_without_loss_do_not_change_the_others() -> None:
    model, questions = family("qwen2"), groups()
    masked = [[replace(row, valid=i % 2 == 0) for i, row in enumerate(rows)] for rows in questions]
    (shared, _), (separate, _) = both(model, masked)
    torch.testing.assert_close(shared.seen[0], separate.seen[0], rtol=1e-9, atol=1e-13)


def test_a_model_that_cannot_share_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not packs_rows(gemma_with_softcap(), trainer())
    (record,) = caplog.records
    assert "trainer.share_prefixes: Gemma2ForCausalLM does not support it" in record.getMessage()
    assert packs_rows(qwen(), trainer())
    assert not packs_rows(qwen(), trainer(share_prefixes=False))


def test_a_wrong_tree_is_found_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that ignores the tree, or attends across completions, must not pass for one that follows it."""
    monkeypatch.setattr("igrpo.models.tree_support._CHECKED", PrefixTree((Node(0, 9, 9),)))
    assert not packs_rows(qwen(), trainer())
