"""Load a model's tokenizer, and check that it fits the model."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final, cast

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

#: Class names which mean that tokenizer.json alone defines the tokenizer of a directory.
_GENERIC_TOKENIZERS: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")

_SAVE_ONE: Final = "save one there with tokenizer.save_pretrained"


def load_tokenizer(source: str, chosen: dict[str, Any]) -> PreTrainedTokenizerBase:
    """Load the tokenizer of ``source``, a directory or a name on the hub, with the options ``chosen`` (revision, ...).

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    try:
        if "gguf_file" not in chosen and _declares_generic_tokenizer(Path(source)):
            tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(source)
        else:
            tokenizer = AutoTokenizer.from_pretrained(source, **chosen)
    except (OSError, ValueError, ImportError) as error:
        raise model_error(source, f"its tokenizer cannot be loaded, {_SAVE_ONE}: {first_line(error)}") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _declares_generic_tokenizer(directory: Path) -> bool:
    """True if tokenizer.json must be loaded unchanged.

    AutoTokenizer (transformers 5) overrides it for some architectures, including Qwen2: it restores the text splitting
    that is usual for the architecture, so another kind of tokenizer silently splits text differently.
    """
    config = directory / "tokenizer_config.json"
    if not (config.is_file() and (directory / "tokenizer.json").is_file()):
        return False
    declared = json.loads(config.read_text(encoding="utf-8"))
    return declared.get("tokenizer_class") in _GENERIC_TOKENIZERS and "auto_map" not in declared


def check_fit(source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise if the tokenizer does not fit the model; give it a padding token if it has none.

    Raises:
        ValueError: the tokenizer is empty, larger than the model's embedding, or has no end token.
    """
    rows = cast("torch.Tensor", model.get_input_embeddings().weight).shape[0]
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # the result of transformers for a directory without one
        raise model_error(source, f"it has no tokenizer, {_SAVE_ONE}")
    if len(tokenizer) > rows:
        raise model_error(
            source, f"its tokenizer has {len(tokenizer)} tokens, the model's embedding {rows}: they do not match"
        )
    if tokenizer.eos_token_id is None:
        raise model_error(source, "its tokenizer has no end token (eos_token): set one and save the tokenizer again")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        log.info("the tokenizer of %s has no padding token: padding with its end token", source)


def stop_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return all tokens that end a turn: the tokenizer's, and those of the model's generation settings, if any."""
    declared = None if model.generation_config is None else model.generation_config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return tuple(dict.fromkeys(i for i in [tokenizer.eos_token_id, *several] if i is not None))


def model_error(name: str, problem: str) -> ValueError:
    return ValueError(f"model.name_or_path={name}: {problem}")


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
