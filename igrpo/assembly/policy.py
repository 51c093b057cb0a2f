"""The model that is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from transformers.utils import logging as transformers_logging

from igrpo.config import schema
from igrpo.policy.byte_level import ByteLevelShape, make_byte_level_model
from igrpo.policy.load import load_policy
from igrpo.policy.tiny import TinyShape
from igrpo.policy.warm_start import WarmStart, warm_started_tiny
from igrpo.training.forward import check_head

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Policy:
    """The model that is trained, and how it writes text. ``stop_token_ids`` end a completion."""

    model: Any
    tokenizer: Any
    stop_token_ids: tuple[int, ...]


def build_device(trainer: schema.TrainerConfig) -> torch.device:
    """The device of the policy.

    Raises:
        ValueError: ``trainer.device=cuda`` where there is none.
    """
    available = torch.cuda.is_available()
    if trainer.device == "cuda" and not available:
        raise ValueError("trainer.device=cuda, but torch sees no CUDA device; set trainer=cpu or trainer.device=auto")
    return torch.device("cuda" if available and trainer.device != "cpu" else "cpu")


def build_policy(model: schema.ModelConfig, data: schema.DataConfig, console: Console) -> Policy:
    """Load or make the model. The tiny model's warm start is trained on the first call and cached."""
    if isinstance(model, schema.TinyModelConfig):
        policy, tokenizer = _tiny(model, data, console)
    elif isinstance(model, schema.ByteLevelModelConfig):
        policy, tokenizer = _byte_level(model)
    else:
        policy, tokenizer = load_policy(
            model.name_or_path,
            dtype="float32",
            attention=model.attention,
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
        )
    check_head(policy)
    return Policy(policy, tokenizer, _stop_tokens(policy, tokenizer))


def _byte_level(model: schema.ByteLevelModelConfig) -> tuple[Any, Any]:
    shape = ByteLevelShape(hidden=model.hidden, layers=model.layers, heads=model.heads, mlp=model.mlp)
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "byte_level"
        make_byte_level_model(directory, shape, model.seed, chat_template=model.chat_template)
        return load_policy(str(directory), dtype="float32", attention="sdpa")


def _tiny(model: schema.TinyModelConfig, data: schema.DataConfig, console: Console) -> tuple[Any, Any]:
    assert isinstance(data, schema.ChainsDataConfig), "checked by the configuration"
    warm = model.warm_start
    settings = WarmStart(
        seed=warm.seed,
        shape=TinyShape(model.hidden, model.layers, model.heads, model.mlp),
        operations=data.operations,
        slip=warm.slip,
        misconception=warm.misconception,
        corrupted_drafts=warm.corrupted_share,
        corrupted_slip=warm.corrupted_slip,
        clean_targets=warm.clean_share,
        steps=warm.steps,
        schedule_steps=warm.schedule_steps,
        batch=warm.batch_size,
        learning_rate=warm.learning_rate,
    )
    with Progress(console=console, transient=True) as bar:
        if not console.is_terminal:
            console.print("warm start of the tiny model: about a minute the first time, then it is cached")
        task = bar.add_task("warm start of the tiny model (first run only, then cached)", total=None)
        return warm_started_tiny(
            settings, on_progress=lambda step, steps, loss: bar.update(task, completed=step, total=steps)
        )


def _stop_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every token that ends a turn: the tokenizer's, and those of the model's generation settings."""
    declared = model.generation_config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return tuple(dict.fromkeys(i for i in [tokenizer.eos_token_id, *several] if i is not None))
