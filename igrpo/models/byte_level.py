"""A small untrained language model over bytes: it accepts any text and generates nonsense.

It lets every algorithm, reward and metric run on real problems without a download. It is saved as an ordinary Hugging
Face directory. The architecture is Llama's, because transformers 5 replaces the tokenizer of any Qwen2 directory by
Qwen2's own, whose Unicode normalisation would change the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, BOS, EOS = "<|pad|>", "<|begin|>", "<|end|>"
_ROLES: Final = ("<|system|>", "<|user|>", "<|assistant|>")
_SPECIALS: Final = (PAD, BOS, EOS, *_ROLES)

_CHAT_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class ByteLevelShape:
    """The size of the model; the defaults give 1.1 million parameters."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    mlp: int = 512
    max_positions: int = 4096


def make_byte_level_model(directory: Path, shape: ByteLevelShape, seed: int, *, chat_template: bool) -> None:
    """Write a randomly initialised model and its tokenizer to ``directory`` (created if missing).

    The same seed gives the same weights; the global random state is unchanged.

    Args:
        directory: target, from which ``AutoModelForCausalLM`` and ``AutoTokenizer`` can then load.
        shape: size of the model.
        seed: seed of the weights.
        chat_template: give the tokenizer a chat template (roles system, user and assistant).

    Raises:
        ValueError: the directory already holds files.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ValueError(f"{directory} is not empty: give a new directory for the byte-level model")
    tokenizer = build_byte_level_tokenizer(chat_template=chat_template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(byte_level_config(shape, tokenizer))  # type: ignore[no-untyped-call]
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def byte_level_config(shape: ByteLevelShape, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return the configuration of a byte-level model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        intermediate_size=shape.mlp,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )


def build_byte_level_tokenizer(*, chat_template: bool) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per UTF-8 byte and a few special tokens; every Unicode text decodes exactly."""
    vocabulary = {token: i for i, token in enumerate((*_SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())))}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=list(_ROLES),
        chat_template=_CHAT_TEMPLATE if chat_template else None,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
