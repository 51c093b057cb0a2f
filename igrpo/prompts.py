"""Questions and drafts become prompts: tokens in, tokens out.

A layout is rendered once, with marks where the problem and the draft go, and tokenised piece by piece. What varies is
spliced in as tokens. So no chat template ever sees a draft (some drop ``<think>`` text, some trim), a draft keeps the
very tokens that were sampled, and a brace or a role marker inside a problem or a draft is text, not layout.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, Literal

from jinja2.exceptions import TemplateError

from igrpo.policy.encoding import control_token_ids, encode_exact
from igrpo.types import Completion, Prompt, Question

log = logging.getLogger(__name__)

_PROBLEM, _DRAFT = "\ue000problem\ue001", "\ue000draft\ue001"
_MARK = re.compile(f"({_PROBLEM}|{_DRAFT})")

#: A rendered layout: token pieces, with the marks between them.
Layout = tuple[tuple[int, ...] | str, ...]


class PromptError(ValueError):
    """The prompt settings do not go with the tokenizer; the message names the setting."""


class QuestionTooLongError(ValueError):
    """A problem has more tokens than ``prompt.max_question_tokens``."""


class PromptBuilder:
    """Builds the prompts of both stages.

    Args:
        tokenizer: a Hugging Face tokenizer.
        chat_template: use the tokenizer's chat template: where it has one, always, or never.
        system, question, refinement: the layouts; ``{problem}`` and ``{draft}`` are replaced literally.
        cut_marker: stands where the middle of a long draft was cut out.
        draft_thinking: show a draft with (``keep``) or without (``strip``) what precedes its last ``</think>``.
        max_question_tokens: limit on a problem's own tokens.
        max_draft_tokens: a longer draft keeps its head and tail.

    Raises:
        PromptError: a layout lacks its mark, or cannot be encoded by the tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: Literal["auto", "require", "off"],
        system: str,
        question: str,
        refinement: str,
        cut_marker: str,
        draft_thinking: Literal["keep", "strip"],
        max_question_tokens: int,
        max_draft_tokens: int,
    ) -> None:
        for key, text, marks in (
            ("question", question, ["{problem}"]),
            ("refinement", refinement, ["{problem}", "{draft}"]),
        ):
            for mark in marks:
                if text.count(mark) != 1:
                    raise PromptError(
                        f"prompt.{key} must hold {mark} exactly once; it holds it {text.count(mark)} times"
                    )
        has_template = bool(tokenizer.chat_template)
        if chat_template == "require" and not has_template:
            raise PromptError(
                "prompt.chat_template=require, but the tokenizer has no chat template; set it to auto or off"
            )
        self._tokenizer = tokenizer
        self._chat = chat_template != "off" and has_template
        self._question_layout = self._layout("question", system, question)
        self._refinement_layout = self._layout("refinement", system, refinement)
        self._cut_marker = self._encode("cut_marker", cut_marker)
        if len(self._cut_marker) + 2 > max_draft_tokens:
            raise PromptError(
                f"prompt.max_draft_tokens={max_draft_tokens} cannot hold prompt.cut_marker ({len(self._cut_marker)} "
                "tokens) and something of the draft on both sides of it; raise it"
            )
        self._strip_thinking = draft_thinking == "strip"
        self.max_question_tokens, self.max_draft_tokens = max_question_tokens, max_draft_tokens
        self._control_tokens = control_token_ids(tokenizer)

    def question_prompt(self, question: Question) -> Prompt:
        """The bare question: Stage 1, GRPO, and every single-shot evaluation.

        Raises:
            QuestionTooLongError: the problem is over its token budget.
        """
        return Prompt(_fill(self._question_layout, {_PROBLEM: self._problem(question)}))

    def refinement_prompt(self, question: Question, draft: Completion | None) -> Prompt:
        """q' = Concat(q, draft) (paper, Section 3); without a draft, the bare question."""
        if draft is None:
            return self.question_prompt(question)
        shown, cut = self._cut(self._draft(draft))
        ids = _fill(self._refinement_layout, {_PROBLEM: self._problem(question), _DRAFT: shown})
        return Prompt(ids, draft_tokens=len(shown), draft_tokens_cut=cut)

    def fits(self, question: Question) -> bool:
        """Whether the problem is within its token budget."""
        return len(self._encode_problem(question)) <= self.max_question_tokens

    def max_prompt_tokens(self, *, with_draft: bool) -> int:
        """The longest prompt that these settings can give, layout included."""
        bare = _fixed_tokens(self._question_layout) + self.max_question_tokens
        if not with_draft:
            return bare
        shown = _fixed_tokens(self._refinement_layout) + self.max_question_tokens + self.max_draft_tokens
        return max(bare, shown)

    def _problem(self, question: Question) -> tuple[int, ...]:
        ids = self._encode_problem(question)
        if len(ids) > self.max_question_tokens:
            raise QuestionTooLongError(
                f"question '{question.id}' has {len(ids)} tokens, more than prompt.max_question_tokens="
                f"{self.max_question_tokens}; raise it or leave the question out"
            )
        return ids

    def _encode_problem(self, question: Question) -> tuple[int, ...]:
        # encode() without special tokens, and without letting a problem's text become a control token
        ids = self._tokenizer.encode(question.problem, add_special_tokens=False)
        return tuple(i for i in ids if i not in self._control_tokens)

    def _draft(self, draft: Completion) -> tuple[int, ...]:
        ids: Sequence[int] = draft.token_ids
        if self._strip_thinking and "</think>" in draft.text:
            answer = draft.text.rpartition("</think>")[2].lstrip()
            ids = self._tokenizer.encode(answer, add_special_tokens=False)
        return tuple(i for i in ids if i not in self._control_tokens)

    def _cut(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """Head, marker and tail within the budget; the number of tokens that were taken out."""
        if len(ids) <= self.max_draft_tokens:
            return ids, 0
        room = self.max_draft_tokens - len(self._cut_marker)
        tail = room // 2
        head = room - tail
        return (*ids[:head], *self._cut_marker, *ids[len(ids) - tail :]), len(ids) - room

    def _layout(self, key: str, system: str, template: str) -> Layout:
        user = template.replace("{problem}", _PROBLEM).replace("{draft}", _DRAFT)
        text = self._render_chat(system, user) if self._chat else self._render_plain(system, user)
        pieces = _MARK.split(text)
        marks = pieces[1::2]
        if sorted(marks) != sorted(_MARK.findall(user)):
            raise PromptError(
                f"the tokenizer's chat template loses or repeats a part of prompt.{key}; set prompt.chat_template=off"
            )
        return tuple(piece if i % 2 else self._encode(key, piece) for i, piece in enumerate(pieces))

    def _render_plain(self, system: str, user: str) -> str:
        # what the tokenizer itself puts before a text (<s> for Llama), unless the layout writes it already
        opening = self._tokenizer.decode(self._tokenizer.encode("", add_special_tokens=True))
        text = f"{system}\n\n{user}" if system else user
        return text if text.startswith(opening) else opening + text

    def _render_chat(self, system: str, user: str) -> str:
        turns = [{"role": "user", "content": user}]
        render = self._tokenizer.apply_chat_template
        if not system:
            return str(render(turns, tokenize=False, add_generation_prompt=True))
        try:
            text = str(
                render([{"role": "system", "content": system}, *turns], tokenize=False, add_generation_prompt=True)
            )
        except TemplateError as error:
            log.warning(
                "the chat template takes no system turn (%s): prompt.system opens the user's turn instead", error
            )
        else:
            if system.strip() in text:
                return text
            log.warning("the chat template drops the system turn: prompt.system opens the user's turn instead")
        turns = [{"role": "user", "content": f"{system}\n\n{user}"}]
        return str(render(turns, tokenize=False, add_generation_prompt=True))

    def _encode(self, key: str, text: str) -> tuple[int, ...]:
        try:
            return tuple(encode_exact(self._tokenizer, text))
        except ValueError as error:
            raise PromptError(
                f"prompt.{key} cannot be encoded by this model's tokenizer ({error}); choose a prompt= that goes with "
                "the model"
            ) from None


def _fill(layout: Layout, parts: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(token for piece in layout for token in (parts[piece] if isinstance(piece, str) else piece))


def _fixed_tokens(layout: Layout) -> int:
    return sum(len(piece) for piece in layout if not isinstance(piece, str))
