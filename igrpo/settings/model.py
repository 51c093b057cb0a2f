"""Settings of models and of LoRA adapters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section, UnitShare


class WarmStartConfig(Section):
    """Supervised training of the tiny model before the run (`igrpo.models.warm_start`)."""

    seed: int
    """Seed of the initial weights and of the examples. By default the run's seed: each seed has its own warm start,
    which all conditions share."""

    steps: NonNegativeInt
    """Number of optimizer steps. Fewer give a weaker start."""

    schedule_steps: PositiveInt
    """Number of steps after which the cosine schedule of the learning rate would reach its floor of a tenth; at least
    `steps`."""

    batch_size: PositiveInt
    """Number of examples per step, half of them refinements; even."""

    learning_rate: PositiveFloat
    """Peak learning rate."""

    slip: UnitShare
    """Probability per solution step that the teacher writes a random wrong digit."""

    misconception: UnitShare
    """Probability per subtraction below 0 that the teacher writes |x - a| instead of (x - a) mod 10."""

    corrupted_share: UnitShare
    """Share of refinement examples with a heavily corrupted draft, so that copying does not pay."""

    corrupted_slip: UnitShare
    """The value of `slip` for those drafts."""

    clean_share: UnitShare
    """Share of refinement examples whose target is the right solution. The other targets are new samples of the
    teacher."""

    max_shown: PositiveInt
    """Maximum number of drafts in a refinement example; `algorithm.show=2` needs 2."""


class TinyModelConfig(Section):
    """A small model of Qwen2's architecture with a warm start."""

    name: Literal["tiny"]
    """Kind of model: a small model of Qwen2's architecture, trained on the chains task before the run (its warm start,
    which is cached)."""

    hidden: PositiveInt
    """Width of the hidden states."""

    layers: PositiveInt
    """Number of layers."""

    heads: PositiveInt
    """Number of attention heads; `hidden` is a multiple of twice this number."""

    mlp: PositiveInt
    """Width of the MLPs."""

    warm_start: WarmStartConfig
    """Supervised training of the model before the run."""


class ByteLevelModelConfig(Section):
    """A small, randomly initialised model with one token per byte."""

    name: Literal["byte_level"]
    """Kind of model: a small, randomly initialised model with one token per byte, to try the pipeline on real data."""

    hidden: PositiveInt
    """Width of the hidden states."""

    layers: PositiveInt
    """Number of layers."""

    heads: PositiveInt
    """Number of attention heads; `hidden` is a multiple of twice this number."""

    mlp: PositiveInt
    """Width of the MLPs."""

    chat_template: bool
    """True: the tokenizer has a chat template."""

    seed: int
    """Seed of the initial weights."""


class HuggingFaceModelConfig(Section):
    """A causal language model that transformers can load."""

    name: Literal["huggingface"]
    """Kind of model: a causal language model that transformers can load."""

    name_or_path: str
    """A local directory, or a name on the Hugging Face hub."""

    gguf_file: str | None = None  # missing in run directories written before this setting existed
    """A GGUF file in that directory or repository, whose weights are dequantised to `dtype`; needs the extra `gguf`.
    Null: the model's own format."""

    revision: str | None
    """Commit, tag or branch on the hub. Null: the newest, which may change between runs."""

    dtype: Literal["float32", "bfloat16"]
    """Type of the trained weights. `bfloat16` takes half of the memory, but small updates are rounded away."""

    attention: Literal["sdpa", "eager", "flash_attention_2"]
    """Implementation of attention. Some families, such as Gemma 2, gpt-oss and GPT-J, need `eager`."""

    trust_remote_code: bool
    """True: run Python code that comes with the model. Read it first."""


ModelConfig = Annotated[TinyModelConfig | ByteLevelModelConfig | HuggingFaceModelConfig, Field(discriminator="name")]


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021) instead of full fine-tuning."""

    rank: NonNegativeInt
    """Rank of the adapters. 0: no adapters, all weights are trained."""

    alpha: PositiveFloat
    """Scale of the adapters, which are multiplied by alpha / rank."""

    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """Layers that get adapters: every linear layer except the output head (`all-linear`), or a list of names of
    modules."""
