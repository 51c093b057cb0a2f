"""Small random models on disk and in memory, and what the tests ask of engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from igrpo.generation.base import RECEIVED, Engine, SamplingParams
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.vllm.served import ServedModel
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.models.weights import fingerprint, named_weights
from igrpo.types import Completion

MAX_LEN = 320

#: Nats. Measured: 2e-5 with the right weights, above 0.1 with those of one update before.
CLOSE, FAR = 2e-4, 0.02

PROMPTS = tuple(tuple(6 + (7 * i * i + 11 * j) % 250 for j in range(9 + 8 * i)) for i in range(6))

#: Of two blocks of vLLM's cache, which have 128 tokens on a CPU: after an update none of them may be in it.
LONG_PROMPT = tuple(6 + (5 * i + i * i // 7) % 250 for i in range(2 * 128 + 10))

#: 5,000 tokens in all, more than vLLM computes at once.
MANY_PROMPTS = tuple(tuple(6 + (i * 31 + 7 * j * j) % 250 for j in range(160)) for i in range(32))

#: What a family's configuration has beside the common fields.
EXTRA: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 32},
    "nemotron_h": {"head_dim": 32, "layers_block_type": ["mamba", "mlp", "attention"], "num_hidden_layers": None,
                   "mamba_num_heads": 8, "mamba_head_dim": 32, "ssm_state_size": 16, "n_groups": 2},
}  # fmt: skip


@dataclass(frozen=True)
class Small:
    """A model in training, its tokenizer, and the directory that vLLM is started with."""

    model: Any
    tokenizer: PreTrainedTokenizerFast
    served: ServedModel

    @property
    def stop(self) -> tuple[int, ...]:
        return (self.tokenizer.eos_token_id,)

    def params(self, temperature: float, new: int = 24, top_k: int = 0, top_p: float = 1.0) -> SamplingParams:
        return SamplingParams(temperature, top_p, top_k, new, self.stop)


def make_small(directory: Path, family: str, *, tied: bool, seed: int = 7) -> Small:
    """With grouped-query attention, and with weights far from uniform, so that a wrong one changes tokens.

    ``family``: a model type of transformers (``qwen2``, ``qwen3``, ``llama``, ``nemotron_h``).
    """
    tokenizer = build_byte_level_tokenizer(chat_template=False)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,  # 4 heads of 32, the smallest that vLLM computes on a CPU
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 192,
        "max_position_embeddings": MAX_LEN,
        "tie_word_embeddings": tied,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.15,
        "dtype": torch.float32,
    } | EXTRA.get(family, {})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape)).eval()
    # vLLM must not get its weights from here: those in the directory are of another seed
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    perturb(model, seed + 1)
    return Small(model, tokenizer, ServedModel(str(directory)))


@torch.no_grad()
def perturb(model: Any, seed: int, scale: float = 0.03) -> None:
    """What an update would do to every weight."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(torch.randn_like(parameter) * scale)


Call = tuple[Sequence[int], SamplingParams, Sequence[int]]


def sample_all(engine: Engine, calls: Sequence[Call]) -> list[tuple[Completion, ...]]:
    """All calls at the same time, in a fresh event loop."""

    async def together() -> list[tuple[Completion, ...]]:
        return list(await asyncio.gather(*(engine.sample(*call) for call in calls)))

    return asyncio.run(together())


def greedy(engine: Engine, small: Small, new: int = 24) -> list[tuple[int, ...]]:
    """The greedy tokens after every prompt."""
    answers = sample_all(engine, [(prompt, small.params(0.0, new), (0,)) for prompt in PROMPTS])
    return [completions[0].token_ids for completions in answers]


def local_greedy(small: Small, new: int = 24) -> list[tuple[int, ...]]:
    """The same by the local engine, from the trainer's model."""
    return greedy(LocalEngine(small.model, small.tokenizer, max_batch_rows=16), small, new)


@torch.no_grad()
def largest_gap(small: Small, prompt: Sequence[int], completion: Completion, temperature: float) -> float:
    """The largest difference between the completion's log-probs and the trainer's, in nats."""
    ids = torch.tensor([[*prompt, *completion.token_ids]])
    logits = small.model(ids).logits[0, len(prompt) - 1 : -1].float() / temperature
    ours = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
    return float((ours - torch.tensor(completion.logprobs)).abs().max())


def engine_labels(engine: Engine) -> dict[str, str]:
    """An engine's fingerprints, of installed tensors and, where it cannot read them back, of received ones alike."""
    return {name: label.removesuffix(RECEIVED) for name, label in engine.fingerprints().items()}


def trainer_labels(small: Small, dtype: torch.dtype = torch.float32) -> dict[str, str]:
    """What they have to be."""
    name = str(dtype).removeprefix("torch.")
    return {key: f"{name}:{fingerprint(weight, dtype)}" for key, weight in named_weights(small.model)}


def check_samples(engine: Engine, small: Small, version: int) -> None:
    """Samples are of this version, and their log-probs are the trainer's."""
    sampled = sample_all(engine, [(prompt, small.params(0.8), range(4)) for prompt in PROMPTS])
    for prompt, completions in zip(PROMPTS, sampled, strict=True):
        for completion in completions:
            assert largest_gap(small, prompt, completion, 0.8) < CLOSE
            assert completion.policy_version == version


def check_five_updates(engine: Engine, small: Small, seed: int, then: Callable[[], object] = lambda: None) -> None:
    """Each of five updates changes what is sampled, to what the local engine samples; ``then`` checks more of each."""
    before: Any = None
    for version in range(5):
        perturb(small.model, seed + version)
        engine.sync_weights(version)
        assert engine_labels(engine) == trainer_labels(small)
        answers = greedy(engine, small)
        assert answers == local_greedy(small)
        assert answers != before
        before = answers
        check_samples(engine, small, version)
        then()


def check_many_prompts(engine: Engine, small: Small) -> None:
    """More prompts than a batch holds."""
    together = sample_all(engine, [(prompt, small.params(0.8), (i,)) for i, prompt in enumerate(MANY_PROMPTS)])
    for prompt, (completion,) in zip(MANY_PROMPTS, together, strict=True):
        assert largest_gap(small, prompt, completion, 0.8) < CLOSE


def check_seeds(engine: Engine, small: Small) -> None:
    """A seed is a sample, whoever shares the batch."""
    params = small.params(1.0)
    together = sample_all(engine, [(prompt, params, (1, 2, 2**63 - 1)) for prompt in PROMPTS])
    alone = sample_all(engine, [(PROMPTS[4], params, (2,))])
    assert alone[0][0].token_ids == together[4][1].token_ids
    assert len({completion.token_ids for completion in together[4]}) == 3
