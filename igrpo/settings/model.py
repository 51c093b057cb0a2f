"""Settings of models and of LoRA adapters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section, UnitShare


class WarmStartConfig(Section):
    seed: int
    steps: NonNegativeInt
    schedule_steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    slip: UnitShare
    misconception: UnitShare
    corrupted_share: UnitShare
    corrupted_slip: UnitShare
    clean_share: UnitShare
    max_shown: PositiveInt


class TinyModelConfig(Section):
    name: Literal["tiny"]
    hidden: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mlp: PositiveInt
    warm_start: WarmStartConfig


class ByteLevelModelConfig(Section):
    name: Literal["byte_level"]
    hidden: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mlp: PositiveInt
    chat_template: bool
    seed: int


class HuggingFaceModelConfig(Section):
    name: Literal["huggingface"]
    name_or_path: str
    gguf_file: str | None = None  # missing in run directories written before this setting existed
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    trust_remote_code: bool


ModelConfig = Annotated[TinyModelConfig | ByteLevelModelConfig | HuggingFaceModelConfig, Field(discriminator="name")]


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021) instead of full fine-tuning; ``rank`` 0: no adapters, all weights are trained.

    ``targets``: ``all-linear`` (every linear layer except the output head), or the names of modules.
    """

    rank: NonNegativeInt
    alpha: PositiveFloat
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
