r"""Extraction of the answer from a completion: a ``\boxed{...}``, an ``<answer>`` tag, or a statement in words.

The formats name the kinds of statements that count. The last statement that counts is the answer: a completion that
boxes 7, finds a mistake and ends with ``Final answer: 8`` has the answer 8. The order of the formats therefore does not
matter, with one exception: ``last_line`` reads the unmarked last line only if no statement in the text is marked as an
answer.

Thinking is not read, so an answer inside unfinished thinking does not count. Adjacent statements (``\boxed{1} and
\boxed{2}``) are one answer with several parts, so that a model cannot hedge. The parts are joined by commas and
compared together. The result is an answer in LaTeX or words, for ``normalise``. Every function takes time linear in
the length of the text, and none raises.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Literal

from igrpo.data.boxed import Span, boxes, last_answer, last_boxed
from igrpo.rewards.math.formulas import hold
from igrpo.rewards.math.markdown import plain
from igrpo.rewards.math.prose import has_words
from igrpo.rewards.math.quantities import is_unit_word
from igrpo.rewards.math.statements import ending, last_statement
from igrpo.rewards.math.thinking import without_thinking
from igrpo.rewards.math.wording import ANCHOR

AnswerFormat = Literal["boxed", "answer_tag", "last_line"]
ANSWER_FORMATS: tuple[AnswerFormat, ...] = ("boxed", "answer_tag", "last_line")

_TAG = re.compile(r"<\s*(/?)\s*answer\s*>", re.IGNORECASE)
_HTML = re.compile(
    r"</?(?:answer|b|i|u|p|em|strong|span|div|code|pre|center|sub|sup|mark|result|response|output|solution"
    r"|final_answer)\s*/?>",
    re.IGNORECASE,
)
_LINE_BREAK = re.compile(r"<\s*br\s*/?\s*>", re.IGNORECASE)
_NO_BOX = re.compile(r"\$?\\{1,2}f?boxed\s*\{(?:\s*\}\$?|[^{}]*\Z)")  # empty, or cut
_TEXT = re.compile(r"\\text\w*\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z,\s]*")
_LONGEST_READ = 400
_UNIT_BEHIND = re.compile(
    r"(?P<percent>\s*\\?%)|(?:\s|\\[,;! ]|[~$])*"
    r"(?:\\(?:text|mathrm|textrm)\s*\{(?P<text>[A-Za-z /.]{1,40})\}"
    r"|(?P<bare>[A-Za-z]{2,}(?: [a-z]{2,})?))(?P<power>\s*\^\s*\{?[23]\}?|[²³])?"
)
#: Words after a box that change its number.
_MULTIPLES = ("thousand", "million", "billion", "trillion", "hundred", "dozen")
_PREPOSITIONS = ("in", "per")


def check_formats(formats: Sequence[str]) -> None:
    """Raise a ValueError that names the known formats, unless ``formats`` are one or more of them."""
    if not formats or not set(formats) <= set(ANSWER_FORMATS):
        raise ValueError(f"answer_format={list(formats)}: choose one or more of {list(ANSWER_FORMATS)}")


def extract_answer(text: str, formats: Sequence[AnswerFormat], *, unfinished_thinking: bool = False) -> str | None:
    """Return the last answer that a completion states in one of ``formats``; None if there is none.

    Args:
        text: the completion, including thinking that its prompt opened.
        formats: the kinds of statements that count.
        unfinished_thinking: also read an answer inside thinking that was never closed.
    """
    text = plain(without_thinking(text, unfinished=unfinished_thinking))
    stated = [found for name, find in _MARKED.items() if name in formats and (found := find(text)) is not None]
    last = max(stated, key=lambda one: one.start, default=None)
    answer = None if last is None else last.content
    if "last_line" in formats:
        after = 0 if last is None else last.end
        in_words = last_statement(_prose(text[after:]), after > 0)
        if in_words is not None:
            answer = in_words
        elif last is None:
            answer = ending(_prose(text))
    return (answer or "").strip() or None


def extract_gold(answer: str) -> str:
    """Return the bare answer from a gold field, which may be boxed, in dollars, or a whole solution."""
    boxed = last_boxed(answer)
    return (boxed if boxed is not None else answer).strip()


def _boxed(text: str) -> Span | None:
    found = last_answer(text, boxes(text))
    if found is None:
        return None
    return Span(found.start, found.end, _bare(found.content) + _unit_behind(found.content, text[found.end :][:80]))


def _answer_tag(text: str) -> Span | None:
    tags: list[Span] = []
    start: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            start = tag
        elif start is not None:
            content = text[start.end() : tag.start()]
            tags.append(Span(start.start(), tag.end(), content))
            start = None
    found = last_answer(text, [tag for tag in tags if tag.content.strip(" .\n")])
    if found is None:
        return None
    boxed = last_boxed(found.content)
    if boxed is not None:
        return Span(found.start, found.end, _bare(boxed))
    content = _bare(_prose(found.content))
    if "\n" not in content.strip() and len(content) <= _LONGEST_READ and has_words(hold(content).text):
        content = ending(content) or content
    return Span(found.start, found.end, content)


def _bare(content: str) -> str:
    """Strip the sentence around the answer (``The answer is 5``) from the content of a box or tag."""
    if len(content) > _LONGEST_READ:
        return content
    words = _TEXT.sub(r"\1", content)
    anchor = ANCHOR.search(words)
    if anchor is None or not _WORDS.fullmatch(words, 0, anchor.start()):
        return content
    return last_statement(words, behind_another=True) or content


def _unit_behind(content: str, behind: str) -> str:
    r"""Return a percent sign or known unit directly after the box: ``\boxed{5}\text{ cm}``, ``$\boxed{5}$ cm``."""
    unit = _UNIT_BEHIND.match(behind)
    if unit is None or "text" in content or "%" in content or not re.search(r"[0-9]", content):
        return ""
    if unit["percent"]:
        return r"\%"
    words = re.findall(r"[A-Za-z]+", unit["text"] or unit["bare"])
    known = list(itertools.takewhile(lambda word: is_unit_word(word) or word.lower() in _MULTIPLES, words))
    if not known or (known != words if unit["text"] else known[0] in _PREPOSITIONS):
        return ""
    whole = known == words
    name = (unit["text"] or unit["bare"]).strip() if whole else known[0]
    return rf" \text{{ {name}}}{(unit['power'] or '').strip() if whole else ''}"


def _prose(text: str) -> str:
    """Remove HTML tags, and boxes that are empty or cut off."""
    text = _HTML.sub("", _LINE_BREAK.sub("\n", text)) if "<" in text else text
    return _NO_BOX.sub("", text) if "box" in text else text


_MARKED: dict[str, Callable[[str], Span | None]] = {"boxed": _boxed, "answer_tag": _answer_tag}
