r"""Words within answers: units, choice letters, and text that carries the meaning (``n \text{ is even}``)."""

from __future__ import annotations

import re

from igrpo.rewards.math.spellings import MEANINGFUL, UNIT_NAMES

#: Every spelling of a unit, mapped to its first one.
UNITS = {name: names.split()[0] for names in UNIT_NAMES.split("|") for name in names.split()}

_POWER = r"(?:\^(?:\{[23]\}|[23]))?"
_TRAILING_TEXT = re.compile(rf"(?P<core>.*[0-9}})\]a-zA-Z])\s*\\text\{{(?P<text>[^{{}}]*)\}}{_POWER}", re.DOTALL)
_LONG_UNITS = "|".join(sorted((name for name in UNITS if len(name) > 1), key=len, reverse=True))
_TRAILING_UNIT = re.compile(
    rf"(?P<core>.*[0-9}}])\s*(?P<text>(?:(?:{_LONG_UNITS})\b[ /]?)+){_POWER}"
    rf"|(?P<core2>.*[0-9]) ?(?P<text2>m(?=\^)|(?:[ckm]?m|ft|mi)/(?:s|h|hr|sec|min)\b)(?:\^\{{?[23]\}}?)?",
    re.DOTALL,
)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_COMMAND_OR_WORD = re.compile(r"\\text\{[^{}]*\}|_\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]{3,}")
_CHOICE_AND_VALUE = re.compile(r"\(([A-J])\) ?\S")
_CHOICE = re.compile(r"\(?([a-zA-Z])\)?[.:]?")


def strip_unit(answer: str) -> tuple[str, str | None]:
    """The answer without a unit or remark at its end, and that text (None: there is none).

    Text is stripped only from a quantity: what stands before it has a digit, a constant or a command in it.
    """
    match = _TRAILING_TEXT.fullmatch(answer)
    if match:
        core, text = match["core"], match["text"]
    else:
        match = _TRAILING_UNIT.fullmatch(answer)
        if not match:
            return answer, None
        core, text = match["core"] or match["core2"], match["text"] or match["text2"]
    words = re.findall(r"[a-z]+", text.lower())
    # A lone letter after a digit may be a variable: only \text makes it a unit.
    if MEANINGFUL.intersection(words) or not re.search(r"[0-9]|\\[a-zA-Z]", core) or _TEXT.search(core):
        return answer, None
    return core.rstrip(" \\"), text


def same_unit(one: str | None, other: str | None) -> bool:
    """Whether two texts behind a quantity may mean the same; a missing one says nothing against the quantity.

    Known units must be the same unit; two unknown texts must share the stem of a word (`box`, `boxes`).
    """
    if one is None or other is None:
        return True
    left, right = (re.findall(r"[a-z]+", text.lower().replace(".", "")) for text in (one, other))
    units = [[UNITS.get(word) for word in text] for text in (left, right)]
    known = [None not in text for text in units]
    if all(known):
        neutral = ("unit", "square", "cubic", "degree")
        named = [[unit for unit in text if unit not in neutral] for text in units]
        return named[0] == named[1] or not named[0] or not named[1]
    stems = [{word[:3] for word in text} for text in (left, right)]
    return any(known) or bool(stems[0] & stems[1]) or not left or not right


def words(answer: str) -> list[str]:
    """The words in an answer, lower-cased, in order; LaTeX commands and runs of up to two letters are no words."""
    found = []
    for match in _COMMAND_OR_WORD.finditer(answer):
        token = match.group()
        if token.startswith("\\text"):
            found += [word.lower() for word in re.findall(r"[a-zA-Z]+", token[6:-1])]
        elif token[0] not in "\\_":
            found.append(token.lower())
    return found


def around_words(answer: str) -> list[str]:
    """What stands between the words."""
    pieces, end = [], 0
    for match in _COMMAND_OR_WORD.finditer(answer):
        if match.group().startswith("\\text") or match.group()[0] not in "\\_":
            pieces.append(answer[end : match.start()])
            end = match.end()
    return [piece.strip(" ,") for piece in [*pieces, answer[end:]]]


def letters_only(answer: str) -> str:
    """A text answer reduced to its letters and digits, for comparison."""
    return re.sub(r"[^a-z0-9]", "", _TEXT.sub(r"\1", answer).lower())


def is_text(answer: str) -> bool:
    """Whether an answer is words and nothing else."""
    stripped = _TEXT.sub(r"\1", answer)
    return bool(words(answer)) and re.fullmatch(r"[a-zA-Z][a-zA-Z\s.,'\"!?()-]*", stripped) is not None


def chosen(answer: str) -> str | None:
    r"""The letter of a choice that is given with its value (``\text{(A) }5``)."""
    match = _CHOICE_AND_VALUE.match(_TEXT.sub(r"\1", answer))
    return match[1] if match else None


def choice(answer: str) -> str | None:
    r"""The upper-case letter of a multiple-choice answer: ``C``, ``(C)``, ``\text{(C)}``; None for anything else."""
    match = _CHOICE.fullmatch(_TEXT.sub(r"\1", answer).strip())
    return match[1].upper() if match else None
