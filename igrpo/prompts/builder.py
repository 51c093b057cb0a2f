"""Questions, drafts and critiques become prompts: tokens in, tokens out.

A layout is rendered once and tokenised piece by piece (`igrpo.prompts.layouts`). What varies is spliced in as tokens.
So no chat template ever sees a draft (some drop ``<think>`` text, some trim), a draft keeps the very tokens that were
sampled, and a brace or a role marker inside a problem or a draft is text, not layout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

from igrpo.config.parts.prompt import LayoutConfig
from igrpo.models.encoding import control_token_ids
from igrpo.prompts.layouts import Layout, LayoutBuilder, PromptError, fill, fixed_tokens
from igrpo.types import Completion, Prompt, Question

__all__ = ["PromptBuilder", "PromptError", "QuestionTooLongError"]


class QuestionTooLongError(ValueError):
    """A problem has more tokens than ``prompt.max_question_tokens``."""


class _Shown(NamedTuple):
    """A text as a prompt shows it: how many of its own tokens are in it, and how many its budget left out."""

    ids: tuple[int, ...]
    kept: int
    left_out: int


class PromptBuilder:
    """Builds every prompt.

    Args:
        tokenizer: a Hugging Face tokenizer.
        chat_template: use the tokenizer's chat template: where it has one, always, or never.
        system: opens each of them.
        question, refinement, critique, revision, verification: the layouts, each a text (the user's turn) or the turns
            of a conversation; ``{problem}``, ``{draft}`` and ``{critique}`` are replaced literally wherever they stand.
        verdict_right, verdict_wrong: what a verification says in its box.
        draft_separator: stands between two drafts where several are shown.
        cut_marker: stands where the middle of a long draft was cut out.
        draft_thinking: show a draft with (``keep``) or without (``strip``) what precedes its last ``</think>``.
        max_question_tokens: limit on a problem's own tokens.
        max_draft_tokens: a longer draft keeps its head and tail; of each draft, and each critique, that is shown.
        today: the date that a chat template is given which asks for it. None: that of the computer's clock.

    Raises:
        PromptError: a layout lacks its mark, or cannot be encoded by the tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: Literal["auto", "require", "off"],
        system: str,
        question: LayoutConfig,
        refinement: LayoutConfig,
        critique: LayoutConfig,
        revision: LayoutConfig,
        verification: LayoutConfig,
        verdict_right: str,
        verdict_wrong: str,
        draft_separator: str,
        cut_marker: str,
        draft_thinking: Literal["keep", "strip"],
        max_question_tokens: int,
        max_draft_tokens: int,
        today: date | None = None,
    ) -> None:
        builder = LayoutBuilder(tokenizer, chat_template, system, today or date.today())  # noqa: DTZ011 (the user's day)
        templates = {
            "question": question, "refinement": refinement, "critique": critique, "revision": revision,
            "verification": verification,
        }  # fmt: skip
        self._tokenizer = tokenizer
        self._layouts = {key: builder.layout(key, text) for key, text in templates.items()}
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
    def layouts(self) -> Mapping[str, Layout]:
        """The rendered layouts by the names of their settings."""
        return self._layouts

    def question_prompt(self, question: Question) -> Prompt:
        """The bare question: Stage 1, GRPO, and every single-shot evaluation.

        Raises:
            QuestionTooLongError: the problem is over its token budget.
        """
        layout = self._layouts["question"]
        return Prompt(fill(layout, {"problem": self._problem(question)}), opened=layout.opened)

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        """q' = Concat(q, draft) (paper, Section 3), or several; without any, the bare question."""
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
        """Asks for a critique of an answer (Critique-GRPO); the gold answer is not in it."""
        return self._about("critique", question, answer)

    def revision_prompt(self, question: Question, answer: Completion, critique: Completion) -> Prompt:
        """Asks for a refinement of an answer, given a critique of it (Critique-GRPO)."""
        draft, words, layout = self._shown(answer), self._shown(critique), self._layouts["revision"]
        parts = {"problem": self._problem(question), "draft": draft.ids, "critique": words.ids}
        cut = draft.left_out + words.left_out
        return Prompt(fill(layout, parts), draft.kept, cut, critique_tokens=words.kept, opened=layout.opened)

    def verification_prompt(self, question: Question, answer: Completion) -> Prompt:
        """Asks whether an answer is right (Self-Verification); the gold answer is not in it."""
        return self._about("verification", question, answer)

    def fits(self, question: Question) -> bool:
        """Whether the problem is within its token budget."""
        return len(self._encode_problem(question)) <= self.max_question_tokens

    def max_prompt_tokens(self, *, drafts: int, layouts: Collection[str] = ()) -> int:
        """The longest prompt that these settings can give, layout included: of a question, with so many drafts to
        refine, and of other ``layouts``."""
        each = self.max_draft_tokens + max(len(self._encode(layout.opened)) for layout in self._layouts.values())
        shown = dict.fromkeys(("question", *layouts), each)
        if drafts:
            shown["refinement"] = drafts * each + (drafts - 1) * len(self._draft_separator)
        return max(self._longest(self._layouts[key], draft, each) for key, draft in shown.items())

    def _longest(self, layout: Layout, draft: int, critique: int) -> int:
        most = {"problem": self.max_question_tokens, "draft": draft, "critique": critique}
        return fixed_tokens(layout) + sum(most[piece] for piece in layout.pieces if isinstance(piece, str))

    def _about(self, key: str, question: Question, answer: Completion) -> Prompt:
        draft, layout = self._shown(answer), self._layouts[key]
        filled = fill(layout, {"problem": self._problem(question), "draft": draft.ids})
        return Prompt(filled, draft.kept, draft.left_out, opened=layout.opened)

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
        # without special tokens, and without letting a text become a control token
        return self._without_control(self._tokenizer.encode(text, add_special_tokens=False))

    def _without_control(self, ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(i for i in ids if i not in self._control_tokens)

    def _shown(self, text: Completion) -> _Shown:
        """The tokens of a completion that a prompt shows, cut to their budget.

        What the completion's own prompt had opened comes before its tokens, and counts towards nothing.
        """
        if self._strip_thinking and "</think>" in text.text:
            return self._cut(self._encode(text.text.rpartition("</think>")[2].lstrip()))
        shown = self._cut(self._without_control(text.token_ids))
        return shown._replace(ids=(*self._encode(text.opened), *shown.ids))

    def _cut(self, ids: tuple[int, ...]) -> _Shown:
        """Head, marker and tail within the budget."""
        if len(ids) <= self.max_draft_tokens:
            return _Shown(ids, len(ids), 0)
        room = self.max_draft_tokens - len(self._cut_marker)
        tail = room // 2
        head = room - tail
        return _Shown((*ids[:head], *self._cut_marker, *ids[len(ids) - tail :]), room, len(ids) - room)
