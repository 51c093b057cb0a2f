"""Removal of thinking, and of text after the end of the turn, from a completion."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAMES = "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad|inner_monologue"


class Layout(NamedTuple):
    """Marks of thinking of a family of models. ``example`` is a text whose answer part is ``7``."""

    name: str
    opened: str
    closed: str
    example: str


LAYOUTS = (
    Layout("tag", rf"<\s*(?:\w+:)?(?:{_NAMES})\s*>", rf"<\s*/\s*(?:\w+:)?(?:{_NAMES})\s*>", "<think>8</think>7"),
    Layout("triangles", rf"◁(?:{_NAMES})▷", rf"◁/(?:{_NAMES})▷", "◁think▷8◁/think▷7"),
    Layout("brackets", r"\[THINK\]", r"\[/THINK\]", "[THINK]8[/THINK]7"),
    Layout("token", rf"<\|(?:{_NAMES})\|>", rf"<\|/(?:{_NAMES})\|>", "<|think|>8<|/think|>7"),
    Layout(
        "begin and end",
        rf"<\|begin_of_(?:{_NAMES})\|>",
        rf"<\|end_of_(?:{_NAMES})\|>",
        "<|begin_of_thought|>8<|end_of_thought|>7",
    ),
    Layout(
        "channels",
        r"<\|channel\|>(?:analysis|commentary)",
        r"<\|channel\|>final(?:<\|message\|>)?",
        "<|channel|>analysis<|message|>8<|end|><|start|>assistant<|channel|>final<|message|>7",
    ),
)
_MARK = re.compile(
    f"(?P<opened>{'|'.join(one.opened for one in LAYOUTS)})|(?P<closed>{'|'.join(one.closed for one in LAYOUTS)})",
    re.IGNORECASE,
)
#: End of the model's turn. The text after it is not part of the answer.
_TURN_END = re.compile(
    r"(?<=\S)\s*(?:<[|｜](?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|start_header_id|end|return|start|user"
    r"|assistant|system|end▁of▁sentence)[|｜]>|</s>|<end_of_turn>|<start_of_turn>|\[/?INST\])"
)
_OTHER_TOKEN = re.compile(r"<[|｜][\w▁:/-]{1,40}[|｜]>|<\|begin_of_box\|>|</?s>")


def without_thinking(text: str, *, unfinished: bool = False) -> str:
    """Return the text after the last thinking, up to the end of the turn.

    Args:
        text: the completion.
        unfinished: also return thinking that is opened but not closed. By default it is left out, since the model had
            not finished.
    """
    start, end = 0, len(text)
    for mark in _MARK.finditer(text):
        if mark["closed"] or unfinished:
            start, end = mark.end(), len(text)
        else:
            end = min(end, mark.start())
    answer = text[start:end]
    turn_end = _TURN_END.search(answer)
    return _OTHER_TOKEN.sub("", answer if turn_end is None else answer[: turn_end.start()])
