"""Factories of the trained model, its device and its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from transformers.utils import logging as transformers_logging

from igrpo.config.schema import RunConfig
from igrpo.console import footer_of, get_console, waiting
from igrpo.distributed import local_rank
from igrpo.models import warm_start
from igrpo.models.byte_level import ByteLevelShape, make_byte_level_model
from igrpo.models.load import load_policy, set_attention
from igrpo.models.lora import add_adapters
from igrpo.models.tiny import TinyShape
from igrpo.models.tokenizer import stop_tokens
from igrpo.models.warm_start import WarmStart, warm_started_tiny
from igrpo.prompts.builder import PromptBuilder
from igrpo.settings.data import ChainsDataConfig, DataConfig
from igrpo.settings.model import ByteLevelModelConfig, HuggingFaceModelConfig, TinyModelConfig
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.trainer import TrainerConfig
from igrpo.training.forward import check_head

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def build_prompts(prompt: PromptConfig, tokenizer: Any, today: date | None = None) -> PromptBuilder:
    """Build the prompt layouts. ``today`` is the date passed to the chat template (None: the current date)."""
    return PromptBuilder(tokenizer, **prompt.model_dump(exclude={"name"}), today=today)


@dataclass(frozen=True, slots=True)
class Policy:
    """The trained model and its tokenizer. A token in ``stop_token_ids`` ends a completion."""

    model: Any
    tokenizer: Any
    stop_token_ids: tuple[int, ...]

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> Policy:
        """Return the policy of a Hugging Face causal language model and its tokenizer, with their stop tokens.

        Raises:
            ValueError: the model has no head that the log-probs can be computed with.
        """
        check_head(model)
        return cls(model, tokenizer, stop_tokens(model, tokenizer))


def build_device(trainer: TrainerConfig) -> torch.device:
    """Return the device of this process.

    Raises:
        ValueError: ``trainer.device=cuda`` without a CUDA device, or fewer CUDA devices than ``trainer.devices``.
    """
    available = torch.cuda.is_available()
    if trainer.device == "cuda" and not available:
        raise ValueError("trainer.device=cuda, but torch sees no CUDA device; set trainer=cpu or trainer.device=auto")
    if not available or trainer.device == "cpu":
        return torch.device("cpu")
    if trainer.devices > torch.cuda.device_count():
        raise ValueError(
            f"trainer.devices={trainer.devices}, but torch sees {torch.cuda.device_count()} CUDA devices; lower it"
        )
    return torch.device("cuda", local_rank())


def build_policy(config: RunConfig, console: Console | None = None) -> Policy:
    """Load or create the model, and add LoRA adapters if they are configured.

    The tiny model's warm start is trained on the first call and cached.

    Args:
        console: console that shows the progress of the warm start; None: that of the standard output.

    Raises:
        ValueError: there is no such model, or its tokenizer does not support the prompts. The tokenizer is checked
            before the weights are read.
    """
    model = config.model
    if isinstance(model, TinyModelConfig):
        policy, tokenizer = _tiny(model, config.data, get_console() if console is None else console)
    elif isinstance(model, ByteLevelModelConfig):
        policy, tokenizer = _byte_level(model)
    else:
        with waiting(f"loading {model.name_or_path}", console):
            policy, tokenizer = load_policy(
                model.name_or_path,
                dtype=model.dtype,
                # the head check below runs on the CPU, which flash attention does not support
                attention=None if model.attention == "flash_attention_2" else model.attention,
                gguf_file=model.gguf_file,
                revision=model.revision,
                trust_remote_code=model.trust_remote_code,
                check_tokenizer=lambda tokenizer: build_prompts(config.prompt, tokenizer),
            )
    check_head(policy)
    if isinstance(model, HuggingFaceModelConfig) and model.attention == "flash_attention_2":
        set_attention(policy, model.attention)
    stop_token_ids = stop_tokens(policy, tokenizer)
    if config.lora.rank:
        add_adapters(policy, config.lora.rank, config.lora.alpha, config.lora.targets, config.seed)
    return Policy(policy, tokenizer, stop_token_ids)


def _byte_level(model: ByteLevelModelConfig) -> tuple[Any, Any]:
    shape = ByteLevelShape(hidden=model.hidden, layers=model.layers, heads=model.heads, mlp=model.mlp)
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "byte_level"
        make_byte_level_model(directory, shape, model.seed, chat_template=model.chat_template)
        return load_policy(str(directory), dtype="float32", attention="sdpa")


def _tiny(model: TinyModelConfig, data: DataConfig, console: Console) -> tuple[Any, Any]:
    settings = _warm_start(model, data)
    with waiting("loading the tiny model", console) as wait:

        def show(step: int, steps: int, loss: float) -> None:
            if step == 1 and not footer_of(console).is_live:
                console.print("warm start of the tiny model: about a minute, then it is cached")
            left = f", about {wait.seconds / step * (steps - step):.0f} s left" if step > steps // 20 else ""
            wait.label = f"warm start of the tiny model, cached afterwards: step {step} of {steps}{left}"

        return warm_started_tiny(settings, on_progress=show)


def warm_start_entry(config: RunConfig) -> Path | None:
    """Return the file in the cache with the weights that the run starts from; None if they are not trained by igrpo."""
    if not isinstance(config.model, TinyModelConfig):
        return None
    return warm_start.warm_start_entry(_warm_start(config.model, config.data))


def _warm_start(model: TinyModelConfig, data: DataConfig) -> WarmStart:
    assert isinstance(data, ChainsDataConfig), "checked by the configuration"
    warm = model.warm_start
    return WarmStart(
        seed=warm.seed,
        shape=TinyShape(model.hidden, model.layers, model.heads, model.mlp),
        operations=data.operations,
        slip=warm.slip,
        misconception=warm.misconception,
        corrupted_drafts=warm.corrupted_share,
        corrupted_slip=warm.corrupted_slip,
        clean_targets=warm.clean_share,
        max_shown=warm.max_shown,
        steps=warm.steps,
        schedule_steps=warm.schedule_steps,
        batch=warm.batch_size,
        learning_rate=warm.learning_rate,
    )
