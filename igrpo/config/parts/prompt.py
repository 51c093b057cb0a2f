"""Prompt layouts: a text, or the turns of a conversation, with marks where a problem, draft or critique goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from igrpo.config.parts.base import Section

Role = Literal["user", "assistant"]
#: One turn, such as ``{"user": "What is {problem}?"}``.
Turn = Annotated[dict[Role, str], Field(min_length=1, max_length=1)]
#: A text is the user's one turn.
LayoutConfig = str | list[Turn]

#: The parts that each layout shows: a draft is any earlier completion of the model's, a critique is one of a draft.
SHOWS: dict[str, tuple[str, ...]] = {
    "question": ("problem",),
    "refinement": ("problem", "draft"),
    "critique": ("problem", "draft"),
    "revision": ("problem", "draft", "critique"),
    "verification": ("problem", "draft"),
}
PARTS = ("problem", "draft", "critique")


class PromptConfig(Section):
    """The layouts of all prompts. ``critique`` asks for one of a draft, ``revision`` refines a draft with its critique,
    ``verification`` asks whether a draft is right, by ``verdict_right`` or ``verdict_wrong`` in a box."""

    name: str
    chat_template: Literal["auto", "require", "off"]
    system: str
    question: LayoutConfig
    refinement: LayoutConfig
    critique: LayoutConfig
    revision: LayoutConfig
    verification: LayoutConfig
    verdict_right: str = Field(min_length=1)
    verdict_wrong: str = Field(min_length=1)
    draft_separator: str
    cut_marker: str
    draft_thinking: Literal["keep", "strip"]
    max_question_tokens: PositiveInt
    max_draft_tokens: PositiveInt

    @property
    def asks(self) -> str:
        """Everything that the prompt of a bare question says beside its problem."""
        return "\n".join([self.system, *(text for _, text in turns_of(self.question))])

    def problems_shown(self, key: str) -> int:
        """Count how often the layout ``key`` repeats the problem."""
        return occurrences(getattr(self, key), "problem")

    def texts_shown(self, key: str, drafts: int = 1) -> int:
        """Count the drafts and critiques in a prompt of the layout ``key`` that shows so many ``drafts`` at a time."""
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
    """Find what is wrong with the layout of ``prompt.key`` whatever the model: its turns, and the marks that it lacks
    or cannot fill."""
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
    """Find what is wrong with the layouts of ``prompt``, whatever the model."""
    for key in SHOWS:
        yield from layout_problems(key, getattr(prompt, key), prompt.chat_template)
