"""Small random models and rows for the tests of the training step."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from igrpo.settings.objective import ObjectiveConfig
from igrpo.settings.trainer import TrainerConfig
from igrpo.training.rows import Row
from tests.composed import config

SHIPPED = config()
ADVANTAGE = SHIPPED.objective.advantage
IMITATION = config(None, "objective=best_of_n").objective.advantage
NO_WEIGHTS = SHIPPED.correction


def objective(**changes: Any) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(SHIPPED.objective.model_dump() | changes)


def trainer(**changes: Any) -> TrainerConfig:
    """Those of conf/trainer/cpu.yaml, with few and small steps, a high learning rate and no clipping."""
    small = {"steps": 10, "questions_per_step": 2, "tokens_per_microbatch": 4096, "head_chunk": 7,
             "collective_timeout_s": 60.0, "learning_rate": 0.01, "clip_norm": 1e9}  # fmt: skip
    return TrainerConfig.model_validate(SHIPPED.trainer.model_dump() | small | changes)


def qwen(seed: int = 0, vocabulary: int = 23) -> Any:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).double()


def gemma_with_softcap() -> Any:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=23, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=24, final_logit_softcapping=2.0, max_position_embeddings=64,
    )  # fmt: skip
    return Gemma2ForCausalLM(config).double()


def gpt2() -> Any:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=23, n_embd=16, n_layer=1, n_head=2, n_positions=64)).double().eval()


def phi_with_head_bias() -> Any:
    torch.manual_seed(0)
    config = PhiConfig(
        vocab_size=23, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64, resid_pdrop=0.0,
    )  # fmt: skip
    model = PhiForCausalLM(config).double().eval()
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def rows(seed: int = 0, count: int = 6, *, vocabulary: int = 23) -> list[Row]:
    """Rows of uneven lengths with advantages that add up to about nothing."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, (), generator=generator))
        return tuple(torch.randint(0, vocabulary, (length,), generator=generator).tolist())

    made = []
    for i in range(count):
        completion = ids(1, 9)
        made.append(Row(ids(1, 12), completion, (-1.0,) * len(completion), (-1.0) ** i * (0.5 + 0.25 * i), valid=True))
    return made
