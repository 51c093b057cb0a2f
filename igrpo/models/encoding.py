"""Conversion of text to tokens, with a check that nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from transformers import PreTrainedTokenizerBase


def control_token_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids of tokens that control a conversation and are not text.

    These are the tokens with a role (bos, eos, pad, ...) and those that are only declared special, such as Llama-3's
    turn headers.
    """
    declared = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(tokenizer.all_special_ids) | declared


def encode_exact(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the token ids of ``text``, without added special tokens, after checking that they decode to it.

    Special tokens that are written out in the text (``<bos>``) become their ids.

    Raises:
        ValueError: the tokenizer has no token for a part of the text, or decoding returns another text. The message
            names the first character that is lost.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    unknown = tokenizer.unk_token_id
    back = decoded(tokenizer, ids)
    if back == text and (unknown is None or unknown not in ids or tokenizer.unk_token in text):
        return ids
    position = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), len(back))
    if position >= len(text):
        raise ValueError(f"the tokenizer cannot encode {_shorten(text)!r}: decoding adds {back[len(text) :]!r}")
    raise ValueError(
        f"the tokenizer cannot encode {text[position]!r} (character {position} of {_shorten(text)!r}): "
        f"it comes back as {_shorten(back[position:], 20)!r}"
    )


def decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Decode the tokens to text, with special tokens written out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def uses_clock(tokenizer: Any) -> bool:
    """True if the tokenizer's chat template asks for the current date, as that of Llama 3.1 does."""
    return "strftime_now" in str(tokenizer.chat_template)


def render_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], today: date) -> str:
    """Render the messages with the tokenizer's chat template, including the opening of the reply.

    A template that asks for the time gets the beginning of ``today``, not the computer's clock, so that the same
    messages give the same prompt on any day.
    """
    more = {"strftime_now": datetime.combine(today, time()).strftime} if uses_clock(tokenizer) else {}
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **more))


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
