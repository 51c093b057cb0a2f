"""A prompt's layout: rendered once, with marks where a problem, draft or critique goes, and tokenised in pieces."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jinja2.exceptions import TemplateError

from igrpo.policy.encoding import encode_exact, render_chat

log = logging.getLogger(__name__)

#: What each layout of conf/prompt shows: a draft stands for any solution of the model's, a critique is one of a draft.
SHOWS: dict[str, tuple[str, ...]] = {
    "question": ("problem",),
    "refinement": ("problem", "draft"),
    "critique": ("problem", "draft"),
    "revision": ("problem", "draft", "critique"),
    "verification": ("problem", "draft"),
}
_MARKS = {part: f"\ue000{part}\ue001" for part in ("problem", "draft", "critique")}
_MARK = re.compile("(" + "|".join(_MARKS.values()) + ")")

#: Thinking that is opened and not closed: by a chat template, behind the user's turn; in a plain layout, where a
#: sentence may mention the tag, at the end or at the start of a line.
_OPENED_BY_TEMPLATE = re.compile(r"<think>(?:(?!</?think>).)*\Z", re.DOTALL)
_OPENED_BY_LAYOUT = re.compile(r"(?:<think>\s*|^<think>(?:(?!</?think>).)*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layout:
    """A rendered layout: token pieces, and between them the names of the parts that go there.

    ``opened`` is the thinking that its end opens for the completion: ``<think>`` and what follows it, or nothing.
    """

    pieces: tuple[tuple[int, ...] | str, ...]
    opened: str


class PromptError(ValueError):
    """The prompt settings do not go with the tokenizer; the message names the setting."""


class LayoutBuilder:
    """Renders layouts with the tokenizer's chat template, to which ``today`` is the date, or plainly."""

    def __init__(
        self, tokenizer: Any, chat_template: Literal["auto", "require", "off"], system: str, today: date
    ) -> None:
        has_template = bool(tokenizer.chat_template)
        if chat_template == "require" and not has_template:
            raise PromptError(
                "prompt.chat_template=require, but the tokenizer has no chat template; set it to auto or off"
            )
        self._tokenizer, self._system, self._today = tokenizer, system, today
        self._chat = chat_template != "off" and has_template
        self._warned = False

    def layout(self, key: str, template: str) -> Layout:
        """The layout of ``prompt.key``, one of ``SHOWS``.

        Raises:
            PromptError: it lacks a mark, the chat template loses one, or the tokenizer cannot encode it.
        """
        user = template
        for part in SHOWS[key]:
            count = template.count(f"{{{part}}}")
            if count != 1:
                raise PromptError(f"prompt.{key} must hold {{{part}}} exactly once; it holds it {count} times")
            user = user.replace(f"{{{part}}}", _MARKS[part])
        text = self._render_chat(self._system, user) if self._chat else self._render_plain(self._system, user)
        pieces = _MARK.split(text)
        if sorted(pieces[1::2]) != sorted(_MARK.findall(user)):
            raise PromptError(
                f"the tokenizer's chat template loses or repeats a part of prompt.{key}; set prompt.chat_template=off"
            )
        return Layout(
            tuple(piece[1:-1] if i % 2 else self.encode(key, piece) for i, piece in enumerate(pieces)),
            self._opened(pieces[-1], _MARK.split(user)[-1].strip()),
        )

    def _opened(self, end: str, of_user: str) -> str:
        """The thinking that is open at the ``end`` of a layout, which begins with the end of the user's turn."""
        behind = end.lstrip().removeprefix(of_user) if self._chat else end
        found = (_OPENED_BY_TEMPLATE if self._chat else _OPENED_BY_LAYOUT).search(behind)
        return "" if found is None else found[0]

    def encode(self, key: str, text: str) -> tuple[int, ...]:
        """The tokens of a text of ``prompt.key``.

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

    def _render_plain(self, system: str, user: str) -> str:
        # what the tokenizer itself puts before a text (<s> for Llama), unless the layout writes it already
        opening = self._tokenizer.decode(self._tokenizer.encode("", add_special_tokens=True))
        text = f"{system}\n\n{user}" if system else user
        return text if text.startswith(opening) else opening + text

    def _render_chat(self, system: str, user: str) -> str:
        turns = [{"role": "user", "content": user}]
        if not system:
            return render_chat(self._tokenizer, turns, self._today)
        try:
            text = render_chat(self._tokenizer, [{"role": "system", "content": system}, *turns], self._today)
        except TemplateError as error:
            self._warn(f"takes no system turn ({error})")
        else:
            if system.strip() in text:
                return text
            self._warn("drops the system turn")
        turns = [{"role": "user", "content": f"{system}\n\n{user}"}]
        return render_chat(self._tokenizer, turns, self._today)

    def _warn(self, what: str) -> None:
        if not self._warned:  # it is the same for every layout
            log.warning("the chat template %s: prompt.system opens the user's turn instead", what)
        self._warned = True


def fill(layout: Layout, parts: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The prompt's tokens, with those of its parts spliced in."""
    return tuple(token for piece in layout.pieces for token in (parts[piece] if isinstance(piece, str) else piece))


def fixed_tokens(layout: Layout) -> int:
    """How many tokens a prompt has without its parts."""
    return sum(len(piece) for piece in layout.pieces if not isinstance(piece, str))
