"""Prompts of plain text, without a layout or a chat template: the model is to go on with the text."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from igrpo.models.encoding import control_token_ids
from igrpo.types import Prompt


def plain_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Return the token ids of a text, in which no text becomes a control token."""
    control = control_token_ids(tokenizer)
    return tuple(i for i in tokenizer.encode(text, add_special_tokens=False) if i not in control)


def plain_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> Prompt:
    """Build a prompt of the tokenizer's own prefix (``<s>`` for Llama) and a text."""
    return Prompt((*tokenizer.encode("", add_special_tokens=True), *plain_tokens(tokenizer, text)))
