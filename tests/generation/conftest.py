"""Tiny random models of several architectures, a tokenizer, and helpers that watch the engine's forward passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.engine import LocalEngine
from igrpo.types import Completion

VOCABULARY = 40
EOS = 2
MAX_POSITIONS = 128
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": EOS,
    "initializer_range": 0.4,  # far from uniform, so that a wrong position or mask changes tokens
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_model(name: str = "qwen2", **changes: Any) -> PreTrainedModel:
    torch.manual_seed(7)
    shape = SHAPE | changes
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shape))
    if name == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(head_dim=8, **shape))
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    assert name == "gpt2"
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=MAX_POSITIONS, bos_token_id=1,
                   eos_token_id=EOS, pad_token_id=0, initializer_range=0.4, resid_pdrop=0.1)
    )  # fmt: skip


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Ids 0-3 are special, ``\\boxed{`` among them; the others are single characters."""
    words = ["<pad>", "<bos>", "<eos>", "\\boxed{", *"0123456789+-*=}abcdefghijklmnopqrstu"]
    assert len(words) == VOCABULARY
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    backend.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["\\boxed{"],
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def model() -> PreTrainedModel:
    return make_model()


@pytest.fixture
def engine(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> LocalEngine:
    return LocalEngine(model, tokenizer, max_batch_rows=64)


def params(
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_new_tokens: int = 12,
    stop: tuple[int, ...] = (EOS,),
) -> SamplingParams:
    return SamplingParams(temperature, top_p, top_k, max_new_tokens, stop)


GREEDY = params(temperature=0.0)
Call = tuple[Sequence[int], SamplingParams, Sequence[int]]


def sample_all(engine: LocalEngine, *calls: Call) -> list[tuple[Completion, ...]]:
    """Make all calls at the same time, in a fresh event loop."""

    async def together() -> list[tuple[Completion, ...]]:
        return list(await asyncio.gather(*(engine.sample(*call) for call in calls)))

    return asyncio.run(together())


@dataclass
class ForwardPasses:
    """Shapes of forward passes, (rows, tokens) each; a prefill has more than one token per row."""

    shapes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def decode_rows(self) -> list[int]:
        return [rows for rows, tokens in self.shapes if tokens == 1]

    @property
    def prefills(self) -> list[tuple[int, int]]:
        return [shape for shape in self.shapes if shape[1] > 1]


@pytest.fixture
def watch() -> Iterator[Callable[[PreTrainedModel], ForwardPasses]]:
    handles = []

    def attach(model: PreTrainedModel) -> ForwardPasses:
        seen = ForwardPasses()

        def look(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
            rows, tokens = kwargs["input_ids"].shape
            seen.shapes.append((rows, tokens))

        handles.append(model.register_forward_pre_hook(look, with_kwargs=True))
        return seen

    yield attach
    for handle in handles:
        handle.remove()


def rule_out(model: PreTrainedModel, *token_ids: int) -> None:
    """Give these tokens a logit of minus infinity, so that completions have a known length."""

    def forbid(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        output[..., list(token_ids)] = -torch.inf
        return output

    model.lm_head.register_forward_hook(forbid)
