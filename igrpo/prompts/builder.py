"""Conversion of questions, drafts and critiques to prompts, as token ids.

A layout is rendered once and tokenised piece by piece (`igrpo.prompts.layouts`). The variable parts are inserted as
tokens. So no chat template sees a draft (some templates drop ``<think>`` text, some trim), a draft keeps exactly the
tokens that were sampled, and a brace or a role marker inside a problem or a draft is treated as text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

from igrpo.models.encoding import control_token_ids, encode_exact
from igrpo.prompts.layouts import LayoutBuilder, PromptError, PromptLayout, fill, fixed_tokens
from igrpo.settings.prompt import LayoutConfig
from igrpo.types import Completion, Prompt, Question

__all__ = ["PromptBuilder", "PromptError", "QuestionTooLongError"]


class QuestionTooLongError(ValueError):
    """A problem has more tokens than ``prompt.max_question_tokens``."""


class _Shown(NamedTuple):
    """A text as shown in a prompt: its token ids, how many of its own tokens are kept, and how many are left out."""

    ids: tuple[int, ...]
    kept: int
    left_out: int


class PromptBuilder:
    """Builds every prompt.

    Args:
        tokenizer: a Hugging Face tokenizer.
        chat_template: use of the tokenizer's chat template: ``auto`` (if it has one), ``require`` or ``off``.
        system: text that opens each prompt.
        verdict_right, verdict_wrong: the words that a verification puts in its box.
        draft_separator: text between two drafts, if several are shown.
        cut_marker: text that replaces the middle of a long draft.
        draft_thinking: show a draft with (``keep``) or without (``strip``) the text up to its last ``</think>``.
        max_question_tokens: limit on a problem's own tokens.
        max_draft_tokens: limit per draft and per critique; a longer one keeps its head and tail.
        today: date for a chat template that asks for it. None: the date of the computer's clock.
        layouts: those of `igrpo.settings.prompt.SHOWS`, each a text (the user's turn) or the turns of a conversation;
            ``{problem}``, ``{draft}`` and ``{critique}`` are replaced literally wherever they occur.

    Raises:
        PromptError: a layout lacks its mark, or cannot be encoded by the tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: Literal["auto", "require", "off"],
        system: str,
        verdict_right: str,
        verdict_wrong: str,
        draft_separator: str,
        cut_marker: str,
        draft_thinking: Literal["keep", "strip"],
        max_question_tokens: int,
        max_draft_tokens: int,
        today: date | None = None,
        **layouts: LayoutConfig,
    ) -> None:
        builder = LayoutBuilder(tokenizer, chat_template, system, today or date.today())  # noqa: DTZ011 (the user's day)
        self._tokenizer = tokenizer
        self._layouts = {key: builder.layout(key, text) for key, text in layouts.items()}
        self._draft_separator = builder.encode("draft_separator", draft_separator)
        self._cut_marker = builder.encode("cut_marker", cut_marker)
        for key, word in (("verdict_right", verdict_right), ("verdict_wrong", verdict_wrong)):
            builder.encode(key, word)  # the model must be able to write it
        self.verdicts = {verdict_right: True, verdict_wrong: False}
        if len(self._cut_marker) + 2 > max_draft_tokens:
            raise PromptError(
                f"prompt.max_draft_tokens={max_draft_tokens} cannot hold prompt.cut_marker ({len(self._cut_marker)} "
                "tokens) and something of the draft on both sides of it; raise it"
            )
        self._strip_thinking = draft_thinking == "strip"
        self.max_question_tokens, self.max_draft_tokens = max_question_tokens, max_draft_tokens
        self._control_tokens = control_token_ids(tokenizer)

    @property
    def layouts(self) -> Mapping[str, PromptLayout]:
        """Rendered layouts by the names of their settings."""
        return self._layouts

    def question_prompt(self, question: Question) -> Prompt:
        """Build the prompt of the bare question, for answers, drafts, and every single-shot evaluation.

        Raises:
            QuestionTooLongError: the problem exceeds its token budget.
        """
        layout = self._layouts["question"]
        return Prompt(fill(layout, {"problem": self._problem(question)}), opened=layout.opened)

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        """Build q' = Concat(q, draft) (paper, Section 3), with one or more drafts; without any, the bare question."""
        if not drafts:
            return self.question_prompt(question)
        pieces = [self._shown(draft) for draft in drafts]
        shown = pieces[0].ids
        for piece in pieces[1:]:
            shown = (*shown, *self._draft_separator, *piece.ids)
        layout = self._layouts["refinement"]
        filled = fill(layout, {"problem": self._problem(question), "draft": shown})
        kept, left_out = sum(piece.kept for piece in pieces), sum(piece.left_out for piece in pieces)
        return Prompt(filled, kept, left_out, opened=layout.opened)

    def critique_prompt(self, question: Question, answer: Completion) -> Prompt:
        """Build a prompt that asks for a critique of an answer (Critique-GRPO); it does not contain the gold answer."""
        return self.about("critique", question, answer)

    def revision_prompt(self, question: Question, answer: Completion, critique: Completion) -> Prompt:
        """Build a prompt that asks for a refinement of an answer, given a critique of it (Critique-GRPO)."""
        draft, words, layout = self._shown(answer), self._shown(critique), self._layouts["revision"]
        parts = {"problem": self._problem(question), "draft": draft.ids, "critique": words.ids}
        cut = draft.left_out + words.left_out
        return Prompt(fill(layout, parts), draft.kept, cut, critique_tokens=words.kept, opened=layout.opened)

    def verification_prompt(self, question: Question, answer: Completion) -> Prompt:
        """Build a prompt that asks if an answer is right (Self-Verification); it does not contain the gold answer."""
        return self.about("verification", question, answer)

    def about(self, key: str, question: Question, answer: Completion) -> Prompt:
        """Build a prompt of the layout ``key``, which shows the problem and an answer to it."""
        draft, layout = self._shown(answer), self._layouts[key]
        filled = fill(layout, {"problem": self._problem(question), "draft": draft.ids})
        return Prompt(filled, draft.kept, draft.left_out, opened=layout.opened)

    def fits(self, question: Question) -> bool:
        """True if the problem is within its token budget."""
        return len(self._encode_problem(question)) <= self.max_question_tokens

    def lost(self, question: Question) -> str | None:
        """Describe the part of the problem that its tokens do not represent; None if they represent all of it."""
        try:
            encode_exact(self._tokenizer, question.problem)
        except ValueError as error:
            return str(error)
        return None

    def max_prompt_tokens(self, *, drafts: int, layouts: Collection[str] = ()) -> int:
        """Return the length of the longest prompt possible with these settings, layout included.

        Covers the question, a refinement with ``drafts`` drafts, and the other ``layouts``.
        """
        each = self.max_draft_tokens + max(len(self._encode(layout.opened)) for layout in self._layouts.values())
        shown = dict.fromkeys(("question", *layouts), each)
        if drafts:
            shown["refinement"] = drafts * each + (drafts - 1) * len(self._draft_separator)
        return max(self._longest(self._layouts[key], draft, each) for key, draft in shown.items())

    def _longest(self, layout: PromptLayout, draft: int, critique: int) -> int:
        most = {"problem": self.max_question_tokens, "draft": draft, "critique": critique}
        return fixed_tokens(layout) + sum(most[piece] for piece in layout.pieces if isinstance(piece, str))

    def _problem(self, question: Question) -> tuple[int, ...]:
        ids = self._encode_problem(question)
        if len(ids) > self.max_question_tokens:
            raise QuestionTooLongError(
                f"question '{question.id}' has {len(ids)} tokens, more than prompt.max_question_tokens="
                f"{self.max_question_tokens}; raise it or leave the question out"
            )
        return ids

    def _encode_problem(self, question: Question) -> tuple[int, ...]:
        return self._encode(question.problem)

    def _encode(self, text: str) -> tuple[int, ...]:
        # without special tokens, and so that no text becomes a control token
        return self._without_control(self._tokenizer.encode(text, add_special_tokens=False))

    def _without_control(self, ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(i for i in ids if i not in self._control_tokens)

    def _shown(self, text: Completion) -> _Shown:
        """Return the tokens of a completion that a prompt shows, cut to their budget.

        The text that the completion's own prompt opened precedes its tokens, and does not count towards the budget.
        """
        if self._strip_thinking and "</think>" in text.text:
            return self._cut(self._encode(text.text.rpartition("</think>")[2].lstrip()))
        shown = self._cut(self._without_control(text.token_ids))
        return shown._replace(ids=(*self._encode(text.opened), *shown.ids))

    def _cut(self, ids: tuple[int, ...]) -> _Shown:
        """Keep head and tail within the budget, with the marker between them."""
        if len(ids) <= self.max_draft_tokens:
            return _Shown(ids, len(ids), 0)
        room = self.max_draft_tokens - len(self._cut_marker)
        tail = room // 2
        head = room - tail
        return _Shown((*ids[:head], *self._cut_marker, *ids[len(ids) - tail :]), room, len(ids) - room)
