r"""Extraction of answers in words: ``Final answer: 5``, ``#### 5``, ``so the answer is (C)``, or the last sentence.

Two kinds of statements count. An *anchored* statement is marked as an answer; the last one counts. If there is none,
the last line of the text is read, beginning with its last sentence. Questions, assumptions, and statements that are
negated, hedged (``3, or maybe 4``) or taken back (``Answer: 7. Wait, that is wrong.``) do not count.
"""

from __future__ import annotations

import itertools
import re

from igrpo.rewards.math import wording
from igrpo.rewards.math.formulas import Prose, hold
from igrpo.rewards.math.prose import runs
from igrpo.rewards.math.sentences import Read, read, says_something, sentences, without_lead_in

_TAIL = 3000
_SLOT = 1000
_NEAR_THE_END = 300
_ANCHORS_TRIED = 32
_LONGEST_WORDS = 8
_LONGEST_LABEL = 120
_ATOM = "\U000f0000-\U000ffffd"
#: Formula that is opened but not closed, since the text was cut there.
_CUT_FORMULA = re.compile(r"\\[(\[]|\\begin\{|\$\$|\$[^\s$]*\s*\\[a-zA-Z]")
_GOES_ON_BELOW = re.compile(r"(:|=|\b(?:is|are|equals|be))[ \t]*\n\s*")
_ONE_OF_A_LIST = re.compile(rf"\s*(?:[A-Za-z](?:_\{{?\w\}}?)?\s*=\s*)?[^=<>≤≥A-Za-z]*[0-9{_ATOM}][^=<>≤≥A-Za-z]*")


def last_statement(text: str, behind_another: bool = False) -> str | None:
    """Return the answer of the last anchored statement, None if there is none.

    If ``behind_another``, the text follows another answer. Then only a mathematical value or a choice that is called
    the answer counts, since a remark is not a new answer.
    """
    for anchor in reversed(list(wording.ANCHOR.finditer(text))[-_ANCHORS_TRIED:]):
        found = _anchored(text, anchor)
        if found is None:
            continue
        if not behind_another or (found.is_value and wording.NAMES_THE_ANSWER.search(anchor.group())):
            return found.content
    return None


def ending(text: str) -> str | None:
    """Return the answer at the end of a text: the value of its last sentence, or a last line that is just an answer."""
    tail = _without_closing(text[-_TAIL:])
    prose = hold(tail)
    above, _, below = prose.text.rpartition(":\n")
    listed, count = _listed(below) if above else (None, 0)
    if listed is not None and count == len(_lines(below)):
        return prose.restore(listed)
    prose = hold(_GOES_ON_BELOW.sub(r"\1 ", tail))
    line = next(reversed(_lines(prose.text)), "")
    behind = 0
    for sentence in reversed(list(sentences(line))):
        behind += len(sentence)
        if behind - len(sentence) > _NEAR_THE_END or any(
            reason.search(sentence) for reason in (wording.DOUBT, wording.TAKEN_BACK, _CUT_FORMULA)
        ):
            return None
        found = read(Prose(sentence, prose.formulas), closing=True)
        if found is not None:
            return found.content
    if any(run.has_value for run in runs(line)) or len(line.split()) > _LONGEST_WORDS:
        return None
    return prose.restore(without_lead_in(line) or line)


def _anchored(text: str, anchor: re.Match[str]) -> Read | None:
    slot = text[anchor.end() :][:_SLOT]
    prose = hold(slot)
    listed, _ = _listed(prose.text)
    if listed is None:
        prose = hold(_GOES_ON_BELOW.sub(r"\1 ", ":" + slot)[1:].lstrip())
    sentence = listed or next(sentences(prose.text, factorials=False), "")
    said = prose.restore(sentence)
    rest = slot[slot.find(said[-8:]) + len(said[-8:]) :] + text[anchor.end() + _SLOT :][:_TAIL]
    near = len(rest) <= _NEAR_THE_END
    line = text[text.rfind("\n", 0, anchor.start()) + 1 : anchor.end()]
    if not near and (len(line) > _LONGEST_LABEL or not wording.LABELLED_LINE.match(line)):
        return None
    if wording.SUPPOSED.search(text[max(0, anchor.start() - 40) : anchor.start()]) or wording.TAKEN_BACK.search(rest):
        return None
    if wording.DOUBT.search(sentence):
        return None
    if listed is not None:
        return Read(prose.restore(listed), is_value=True)
    return read(Prose(sentence, prose.formulas), closing=near, anchored=True)


def _without_closing(text: str) -> str:
    """Remove closing remarks of a model."""
    for _ in range(12):
        text = text.rstrip()
        closing = wording.CLOSING.search(text, text.rfind("\n") + 1)
        if closing is None or not text[: closing.start()].strip():
            break
        text = text[: closing.start()]
    return text


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if says_something(line)]


def _listed(text: str) -> tuple[str | None, int]:
    """Join the values on the first lines of a text, one per line (None if fewer than two), and count them."""
    listed = list(itertools.takewhile(_ONE_OF_A_LIST.fullmatch, _lines(text)))
    return (", ".join(line.strip().rstrip(".,;") for line in listed) if len(listed) > 1 else None), len(listed)
