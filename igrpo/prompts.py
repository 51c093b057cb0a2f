"""Questions, drafts and critiques become prompts: tokens in, tokens out.

A layout is rendered once and tokenised piece by piece (`igrpo.prompt_layouts`). What varies is spliced in as tokens. So
no chat template ever sees a draft (some drop ``<think>`` text, some trim), a draft keeps the very tokens that were
sampled, and a brace or a role marker inside a problem or a draft is text, not layout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Literal

from igrpo.policy.encoding import control_token_ids
from igrpo.prompt_layouts import SHOWS, Layout, LayoutBuilder, PromptError, fill, fixed_tokens
from igrpo.types import Completion, Prompt, Question

__all__ = ["PromptBuilder", "PromptError", "QuestionTooLongError"]


class QuestionTooLongError(ValueError):
    """A problem has more tokens than ``prompt.max_question_tokens``."""


class PromptBuilder:
    """Builds every prompt.

    Args:
        tokenizer: a Hugging Face tokenizer.
        chat_template: use the tokenizer's chat template: where it has one, always, or never.
        system: opens each of them.
        question, refinement, critique, revision, verification: the layouts; ``{problem}``, ``{draft}`` and
            ``{critique}`` are replaced literally.
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
        question: str,
        refinement: str,
        critique: str,
        revision: str,
        verification: str,
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
        return Prompt(fill(self._layouts["question"], {"problem": self._problem(question)}))

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        """q' = Concat(q, draft) (paper, Section 3), or several; without any, the bare question."""
        if not drafts:
            return self.question_prompt(question)
        pieces = [self._cut(self._shown(draft)) for draft in drafts]
        shown = pieces[0][0]
        for ids, _ in pieces[1:]:
            shown = (*shown, *self._draft_separator, *ids)
        filled = fill(self._layouts["refinement"], {"problem": self._problem(question), "draft": shown})
        return Prompt(filled, draft_tokens=len(shown), draft_tokens_cut=sum(cut for _, cut in pieces))

    def critique_prompt(self, question: Question, answer: Completion) -> Prompt:
        """Asks for a critique of an answer (Critique-GRPO); the gold answer is not in it."""
        return self._about("critique", question, answer)

    def revision_prompt(self, question: Question, answer: Completion, critique: Completion) -> Prompt:
        """Asks for a refinement of an answer, given a critique of it (Critique-GRPO)."""
        draft, cut = self._cut(self._shown(answer))
        words, cut_too = self._cut(self._shown(critique))
        parts = {"problem": self._problem(question), "draft": draft, "critique": words}
        filled = fill(self._layouts["revision"], parts)
        return Prompt(filled, len(draft), cut + cut_too, critique_tokens=len(words))

    def verification_prompt(self, question: Question, answer: Completion) -> Prompt:
        """Asks whether an answer is right (Self-Verification); the gold answer is not in it."""
        return self._about("verification", question, answer)

    def fits(self, question: Question) -> bool:
        """Whether the problem is within its token budget."""
        return len(self._encode_problem(question)) <= self.max_question_tokens

    def max_prompt_tokens(self, *, drafts: int, layouts: Collection[str] = ()) -> int:
        """The longest prompt that these settings can give, layout included: of a question, with so many drafts to
        refine, and of other ``layouts``."""
        shown = {"question": 0} | {key: (len(SHOWS[key]) - 1) * self.max_draft_tokens for key in layouts}
        if drafts:
            shown["refinement"] = drafts * self.max_draft_tokens + (drafts - 1) * len(self._draft_separator)
        return self.max_question_tokens + max(fixed_tokens(self._layouts[key]) + n for key, n in shown.items())

    def _about(self, layout: str, question: Question, answer: Completion) -> Prompt:
        ids, cut = self._cut(self._shown(answer))
        filled = fill(self._layouts[layout], {"problem": self._problem(question), "draft": ids})
        return Prompt(filled, draft_tokens=len(ids), draft_tokens_cut=cut)

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

    def _shown(self, text: Completion) -> tuple[int, ...]:
        ids: Sequence[int] = text.token_ids
        if self._strip_thinking and "</think>" in text.text:
            answer = text.text.rpartition("</think>")[2].lstrip()
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
