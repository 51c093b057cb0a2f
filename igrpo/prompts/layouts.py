"""Prompt layouts: rendered once, with marks for the problem, drafts and critique, and tokenised in pieces."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jinja2.exceptions import TemplateError

from igrpo.models.encoding import encode_exact, render_chat
from igrpo.settings.prompt import PARTS, LayoutConfig, Role, layout_problems, turns_of

log = logging.getLogger(__name__)

_MARKS = {part: f"\ue000{part}\ue001" for part in PARTS}
_MARK = re.compile("(" + "|".join(_MARKS.values()) + ")")

#: Thinking that is opened and not closed. A chat template opens it after the user's turn. In a plain layout, where a
#: sentence may mention the tag, it counts only at the end or at the start of a line.
_OPENED_BY_TEMPLATE = re.compile(r"<think>(?:(?!</?think>).)*\Z", re.DOTALL)
_OPENED_BY_LAYOUT = re.compile(r"(?:<think>\s*|^<think>(?:(?!</?think>).)*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """A rendered layout: pieces of token ids, and between them the names of the parts to insert.

    ``opened`` is the thinking that the layout opens at its end for the completion: ``<think>`` and the text after it,
    or empty.
    """

    pieces: tuple[tuple[int, ...] | str, ...]
    opened: str


class PromptError(ValueError):
    """The prompt settings do not work with the tokenizer; the message names the setting."""


class LayoutBuilder:
    """Renders layouts, either with the tokenizer's chat template or as plain text.

    Chat templates that ask for the date get ``today``.
    """

    def __init__(
        self, tokenizer: Any, chat_template: Literal["auto", "require", "off"], system: str, today: date
    ) -> None:
        has_template = bool(tokenizer.chat_template)
        if chat_template == "require" and not has_template:
            raise PromptError(
                "prompt.chat_template=require, but the tokenizer has no chat template; choose a prompt= that needs "
                "none, such as prompt=boxed, or a model with a chat template"
            )
        self._tokenizer, self._system, self._today = tokenizer, system, today
        self._chat_template = chat_template
        self._chat = chat_template != "off" and has_template
        self._warned = False

    def layout(self, key: str, layout: LayoutConfig) -> PromptLayout:
        """Render the layout of ``prompt.key`` as a whole, and tokenise the text between its marks.

        Raises:
            PromptError: the layout lacks a mark or has turns out of order, the chat template loses a part, there is no
                chat template for several turns, or the tokenizer cannot encode the text.
        """
        for problem in layout_problems(key, layout, self._chat_template):
            raise PromptError(problem)
        turns = [(role, _marked(text)) for role, text in turns_of(layout)]
        if len(turns) > 1 and not self._chat:
            raise PromptError(
                f"prompt.{key} has {len(turns)} turns, and this model's tokenizer has no chat template to tell them "
                "apart; choose a prompt= of one text, such as prompt=boxed, or a model with a chat template"
            )
        text = self._render_chat(turns) if self._chat else self._render_plain(turns[0][1])
        pieces = _MARK.split(text)
        if pieces[1::2] != [mark for _, turn in turns for mark in _MARK.findall(turn)]:
            raise PromptError(
                f"the tokenizer's chat template loses or repeats a part of prompt.{key}; set prompt.chat_template=off"
            )
        return PromptLayout(
            tuple(piece[1:-1] if i % 2 else self.encode(key, piece) for i, piece in enumerate(pieces)),
            self._opened(pieces[-1], _MARK.split(turns[-1][1])),
        )

    def _opened(self, end: str, last_turn: list[str]) -> str:
        """Return the thinking that is still open at the ``end`` of a layout, after its last mark.

        ``last_turn`` is the user's turn, split into the pieces between its marks.
        """
        of_user = last_turn[-1].strip()
        behind = end
        if self._chat:
            behind = end.lstrip().removeprefix(of_user) if len(last_turn) > 1 else end.rpartition(of_user)[2]
        found = (_OPENED_BY_TEMPLATE if self._chat else _OPENED_BY_LAYOUT).search(behind)
        return "" if found is None else found[0]

    def encode(self, key: str, text: str) -> tuple[int, ...]:
        """Return the tokens of a text of ``prompt.key``.

        Raises:
            PromptError: the tokenizer has no tokens for it.
        """
        try:
            return tuple(encode_exact(self._tokenizer, text))
        except ValueError as error:
            raise PromptError(
                f"prompt.{key} cannot be encoded by this model's tokenizer ({error}); choose a prompt= that goes with "
                "the model"
            ) from None

    def _render_plain(self, text: str) -> str:
        # the tokenizer's own prefix (<s> for Llama), unless the layout already contains it
        opening = self._tokenizer.decode(self._tokenizer.encode("", add_special_tokens=True))
        text = f"{self._system}\n\n{text}" if self._system else text
        return text if text.startswith(opening) else opening + text

    def _render_chat(self, turns: list[tuple[Role, str]]) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        system = self._system
        if not system:
            return render_chat(self._tokenizer, messages, self._today)
        try:
            text = render_chat(self._tokenizer, [{"role": "system", "content": system}, *messages], self._today)
        except TemplateError as error:
            self._warn(f"takes no system turn ({error})")
        else:
            if system.strip() in text:
                return text
            self._warn("drops the system turn")
        first = messages[0] | {"content": f"{system}\n\n{messages[0]['content']}"}
        return render_chat(self._tokenizer, [first, *messages[1:]], self._today)

    def _warn(self, what: str) -> None:
        if not self._warned:  # the reason is the same for every layout
            log.warning("the chat template %s: prompt.system opens the user's turn instead", what)
        self._warned = True


def fill(layout: PromptLayout, parts: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the prompt's tokens, with the tokens of its parts inserted."""
    return tuple(token for piece in layout.pieces for token in (parts[piece] if isinstance(piece, str) else piece))


def _marked(text: str) -> str:
    for part, mark in _MARKS.items():
        text = text.replace(f"{{{part}}}", mark)
    return text


def fixed_tokens(layout: PromptLayout) -> int:
    """Return the number of tokens of a prompt without its parts."""
    return sum(len(piece) for piece in layout.pieces if not isinstance(piece, str))
