"""Prompt layouts: a text, or the turns of a conversation, with marks for the problem, draft and critique."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from igrpo.settings.base import Section

Role = Literal["user", "assistant"]
#: One turn, such as ``{"user": "What is {problem}?"}``.
Turn = Annotated[dict[Role, str], Field(min_length=1, max_length=1)]
#: A plain text is a single user turn.
LayoutConfig = str | list[Turn]

#: The parts that each layout shows. A draft is any earlier completion of the model; a critique is about a draft.
SHOWS: dict[str, tuple[str, ...]] = {
    "question": ("problem",),
    "refinement": ("problem", "draft"),
    "critique": ("problem", "draft"),
    "revision": ("problem", "draft", "critique"),
    "verification": ("problem", "draft"),
}
PARTS = ("problem", "draft", "critique")


class PromptConfig(Section):
    """Layouts of all prompts."""

    name: str
    """Name of the set of layouts, in tables and messages."""

    chat_template: Literal["auto", "require", "off"]
    """Use of the tokenizer's chat template: if it has one (`auto`), an error if it has none (`require`), or never, as
    for base models (`off`)."""

    system: str
    """System prompt, or with `chat_template=off` the text that opens each prompt."""

    question: LayoutConfig
    """Layout of a question, with the mark `{problem}`. A text is one user turn; a list alternates user and assistant
    turns."""

    refinement: LayoutConfig
    """Layout that asks to refine a draft, with the marks `{problem}` and `{draft}`."""

    critique: LayoutConfig
    """Layout that asks for a critique of a draft, with the marks `{problem}` and `{draft}`."""

    revision: LayoutConfig
    """Layout that asks to refine a draft given its critique, with the marks `{problem}`, `{draft}` and `{critique}`."""

    verification: LayoutConfig
    """Layout that asks whether a draft is right, with the marks `{problem}` and `{draft}`."""

    verdict_right: str = Field(min_length=1)
    """Word that a verification puts in a box if the draft is right; case is ignored."""

    verdict_wrong: str = Field(min_length=1)
    """Word that a verification puts in a box if the draft is wrong; case is ignored."""

    draft_separator: str
    """Text between two drafts, if several are shown."""

    cut_marker: str
    """Text that replaces the middle of a draft that is longer than `max_draft_tokens`."""

    draft_thinking: Literal["keep", "strip"]
    """Show drafts with or without (`strip`) the text up to their last `</think>`."""

    max_question_tokens: PositiveInt
    """Maximum length of a problem, in tokens. Longer questions are left out of their split."""

    max_draft_tokens: PositiveInt
    """Maximum length of a draft or critique in a prompt, in tokens. A longer one loses its middle."""

    @property
    def asks(self) -> str:
        """The system prompt and the text of the question layout."""
        return "\n".join([self.system, *(text for _, text in turns_of(self.question))])

    def problems_shown(self, key: str) -> int:
        """Count how often the layout ``key`` repeats the problem."""
        return occurrences(getattr(self, key), "problem")

    def texts_shown(self, key: str, drafts: int = 1) -> int:
        """Count the drafts and critiques in a prompt of the layout ``key`` if its mark shows ``drafts`` drafts."""
        layout: LayoutConfig = getattr(self, key)
        return drafts * occurrences(layout, "draft") + occurrences(layout, "critique")


def turns_of(layout: str | Sequence[dict[Role, str]]) -> list[tuple[Role, str]]:
    """Return the turns of a layout as pairs of role and text."""
    if isinstance(layout, str):
        return [("user", layout)]
    return [turn for entry in layout for turn in entry.items()]


def occurrences(layout: str | Sequence[dict[Role, str]], part: str) -> int:
    """Count the marks of ``part`` in all turns."""
    return sum(text.count(f"{{{part}}}") for _, text in turns_of(layout))


def layout_problems(key: str, layout: str | Sequence[dict[Role, str]], chat_template: str) -> Iterator[str]:
    """Yield model-independent problems of the layout ``prompt.key``: invalid turns, missing marks, and marks that
    nothing fills."""
    turns = turns_of(layout)
    roles = [role for role, _ in turns]
    if roles != ["user" if i % 2 == 0 else "assistant" for i in range(len(roles))] or len(roles) % 2 == 0:
        shown = ", ".join(roles) or "none"
        yield f"prompt.{key} must have the turns user, assistant, user, ..., the last one the user's; it has: {shown}"
    if len(turns) > 1 and chat_template == "off":
        yield (
            f"prompt.{key} has {len(turns)} turns, which only a chat template can tell apart, and "
            "prompt.chat_template=off; set it to auto, or write the layout as one text"
        )
    for part in PARTS:
        count = occurrences(layout, part)
        if part in SHOWS[key] and not count:
            yield f"prompt.{key} must hold {{{part}}} at least once; it does not hold it"
        if part not in SHOWS[key] and count:
            holds = " and ".join(f"{{{one}}}" for one in SHOWS[key])
            yield f"prompt.{key} holds {{{part}}}, which nothing fills there; it may hold {holds}"


def prompt_problems(prompt: PromptConfig) -> Iterator[str]:
    """Yield model-independent problems of all layouts of ``prompt``."""
    for key in SHOWS:
        yield from layout_problems(key, getattr(prompt, key), prompt.chat_template)
    right, wrong = prompt.verdict_right, prompt.verdict_wrong
    if right.strip().casefold() == wrong.strip().casefold():
        yield (
            f"prompt.verdict_right={right} and prompt.verdict_wrong={wrong} are the same word; a verdict could not be "
            "read: change one of them"
        )
