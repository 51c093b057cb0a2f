r"""Words in answers: choice letters, and text that is part of the meaning (``n \text{ is even}``)."""

from __future__ import annotations

import re

from igrpo.rewards.math.quantities import stem
from igrpo.rewards.math.spellings import SHORT_WORDS

_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_COMMAND_OR_WORD = re.compile(r"\\text ?\{[^{}]*\}|_\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]{2,}")
_CHOICE = re.compile(r"(?:[Oo]ption|[Cc]hoice)? ?\(?([a-zA-Z])\)?[.:]?")
_CHOICE_AND_VALUE = re.compile(
    r"(?:[Oo]ption|[Cc]hoice)? ?\(?([A-J])[).:] ?(?![A-J]\b|\(?[A-J]\)|[,;]|or\b|and\b)(\S.*)"
)
_ANOTHER_CHOICE = re.compile(r"(?<![A-Za-z])\(?[A-J][).:]")
_SPOKEN = re.compile(r"[a-z]+|(?<![a-z0-9])-?\.?[0-9]+(?:[.:/][0-9]+)*|[0-9]+(?:[.:/][0-9]+)*|(?<=[0-9])[!'\"?]")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_FULL_HOUR = re.compile(r"\b([0-9]{1,2}):00(?=\s*[ap]m\b)")
_TIME = re.compile(r"[0-9] ?[ap]\.?m\b", re.IGNORECASE)
_NOT_SPOKEN = re.compile(r"[^a-z0-9\s.,:;/'\"!?()-]")
_MATHEMATICS = re.compile(r"\\|[=<>^_+*|{}]|[0-9] ?[a-z]\b")

_ARTICLE = re.compile(r"\b(?:an?|the) +(?=[a-z]{2})")
_LETTERS = re.compile(r"[A-J](?:,? ?[A-J])+")
_NO_SOLUTION = re.compile(r"(?:there (?:is|are|exist) )?no (?:real |such )?(?:solution|root)(?: exists?)?|empty set")


def without_text(answer: str) -> str:
    """Replace ``\\text{}`` commands by their content."""
    return _TEXT.sub(r"\1", answer)


def is_word(letters: str) -> bool:
    """True if adjacent letters are a word, not a product of variables."""
    if len(letters) < 2 or not re.fullmatch(r"[A-Z]?[a-z]+|[A-Z]+", letters):
        return False
    lower = letters.lower()
    if len(lower) > 4 or lower in SHORT_WORDS:
        return True
    close = len(set(lower)) == len(lower) and max(map(ord, lower)) - min(map(ord, lower)) <= 5
    return len(lower) == 4 and not close


def words(answer: str) -> list[str]:
    """Return the lower-cased words of an answer, in order, without LaTeX commands and products of variables."""
    found = []
    for match in _COMMAND_OR_WORD.finditer(answer):
        token = match.group()
        if token.startswith("\\text"):
            found += [word.lower() for word in re.findall(r"[a-zA-Z]+", token[5:])]
        elif token[0] not in "\\_" and is_word(token):
            found.append(token.lower())
    return found


def around_words(answer: str) -> list[str]:
    """Return the pieces between the words."""
    pieces, end = [], 0
    for match in _COMMAND_OR_WORD.finditer(answer):
        token = match.group()
        if token.startswith("\\text") or (token[0] not in "\\_" and is_word(token)):
            pieces.append(answer[end : match.start()])
            end = match.end()
    return [piece.strip(" ,") for piece in [*pieces, answer[end:]]]


def spoken(answer: str) -> list[str] | None:
    """Return the words and numbers of an answer that is text, such as a date or a name; None for mathematics."""
    if not words(answer) and not _TIME.search(answer):
        return None
    plain = _TEXT.sub(r" \1 ", answer).lower()
    plain = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", plain)  # p.m.
    plain = re.sub(r"(?<=[0-9])(?:st|nd|rd|th)\b", "", plain)
    if _NOT_SPOKEN.search(plain):
        return None
    return _dated([stem(token) for token in _SPOKEN.findall(_ARTICLE.sub("", _FULL_HOUR.sub(r"\1", plain)))])


def _dated(tokens: list[str]) -> list[str]:
    """Put the full name of the month at the front of a date: `1 Jan 2000` becomes `January 1, 2000`."""
    if not any(token.isdigit() for token in tokens):
        return tokens
    for i, token in enumerate(tokens):
        month = next((name for name in _MONTHS if token in (name, name[:3])), None)
        if month is not None and all(other.isdigit() for other in (*tokens[:i], *tokens[i + 1 :])):
            return [month, *tokens[:i], *tokens[i + 1 :]]
    return tokens


def is_text(answer: str) -> bool:
    """True if an answer consists only of words."""
    said = spoken(answer)
    return (
        said is not None
        and all(token.isalpha() for token in said)
        and not _MATHEMATICS.search(_TEXT.sub(r"\1", answer))
    )


def is_no_solution(answer: str) -> bool:
    """True if an answer says in words that there is no solution."""
    said = spoken(answer)
    return said is not None and _NO_SOLUTION.fullmatch(" ".join(said)) is not None


def chosen(answer: str) -> str | None:
    r"""Return the letter of a choice with its value (``\text{(A) }5``), None if the value names another letter."""
    match = _CHOICE_AND_VALUE.fullmatch(_TEXT.sub(r"\1", answer).strip())
    return match[1] if match and not _ANOTHER_CHOICE.search(match[2]) else None


def choices(answer: str) -> frozenset[str] | None:
    """Return the letters of an answer with several choices: ``ABD``, ``A,B,D``; None for anything else."""
    plain = _TEXT.sub(r"\1", answer).strip()
    letters = re.findall("[A-J]", plain)
    return frozenset(letters) if _LETTERS.fullmatch(plain) and len(set(letters)) == len(letters) else None


def is_all_real_numbers(answer: str) -> bool:
    """True if an answer says in words that all real numbers are meant."""
    said = spoken(answer)
    return said is not None and " ".join(said) in ("all real number", "all real", "real number", "all number")


def choice(answer: str) -> str | None:
    r"""Return the letter of a multiple-choice answer: ``C``, ``(C)``, ``\text{(C)}``; None for anything else."""
    match = _CHOICE.fullmatch(_TEXT.sub(r"\1", answer).strip())
    return match[1] if match else None
