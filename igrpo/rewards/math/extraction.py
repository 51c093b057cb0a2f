r"""The answer within a completion: the last ``\boxed{...}``, an ``<answer>`` tag, or the last line.

Only text after the last ``</think>`` counts. Boxes that stand side by side (``\boxed{1} and \boxed{2}``) are one
answer with several parts, so that a model cannot hedge: the parts are joined by commas and judged together. Every
function is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from igrpo.data.boxed import last_boxed

AnswerFormat = Literal["boxed", "answer_tag", "last_line"]
ANSWER_FORMATS: tuple[AnswerFormat, ...] = ("boxed", "answer_tag", "last_line")

_TAIL = 2000
_ANSWER_IS = re.compile(
    r"(?i)\b(?:answer|reply|result|solution)\b(?:\s+\w+){0,3}?\s*(?:is\b|:|=|are\b)\s*:?\s*|####\s*"
)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.\\^_{/])[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.?\d+)(?:/\d+)?(?:\s*(?:\\?%|percent\b|pct\b))?"
)
_PROSE_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}")
_PROSE = 3
_CLOSING = re.compile(r"(?is)\s*(?:I hope it is correct\.?.*|<\|[^|>]*\|>.*)$")


def extract_answer(text: str, formats: Sequence[AnswerFormat]) -> str | None:
    """The answer of a completion by the first of ``formats`` that finds one; None when none does."""
    text = text.rpartition("</think>")[2]
    for name in formats:
        answer = _EXTRACTORS[name](text)
        if answer is not None and answer.strip():
            return answer.strip()
    return None


def extract_gold(answer: str) -> str:
    """The bare answer of a data set's gold field, which may be boxed, in dollars, or a whole solution."""
    boxed = last_boxed(answer)
    return (boxed if boxed is not None else answer).strip()


def _answer_tag(text: str) -> str | None:
    start = text.rfind("<answer>")
    end = text.find("</answer>", start)
    if start < 0 or end < 0:
        return None
    content = text[start + len("<answer>") : end]
    boxed = last_boxed(content)
    return content if boxed is None else boxed


def _last_line(text: str) -> str | None:
    """What the text ends on: its last formula or number when it is prose, else the last line itself."""
    tail = _CLOSING.sub("", text.strip()[-_TAIL:]).rstrip()
    line = tail.rpartition("\n")[2]
    if not re.search(r"\w", line) or line.count("$") % 2 or "\\]" in line or "\\end" in line:
        line = tail  # the end of a displayed formula
    anchors = [match for match in _ANSWER_IS.finditer(line) if re.search(r"\w", line[match.end() :])]
    if anchors:
        line = line[anchors[-1].end() :]
    spots = [(match.end(), _formula(match, line)) for match in _MATH.finditer(line)]
    formulas_end = spots[-1][0] if spots else 0
    if spots or len(_PROSE_WORD.findall(line)) >= _PROSE:
        spots += [(match.end(), match.group()) for match in _NUMBER.finditer(line, formulas_end)]
    return spots[-1][1] if spots else line


def _formula(match: re.Match[str], line: str) -> str:
    percent = re.match(r"\s*(?:\\?%|percent\b|pct\b)", line[match.end() :])
    content = next(group for group in match.groups() if group is not None)
    return content + (percent.group().strip() if percent else "")


_EXTRACTORS = {"boxed": last_boxed, "answer_tag": _answer_tag, "last_line": _last_line}
