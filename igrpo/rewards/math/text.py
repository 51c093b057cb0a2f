r"""Words within answers: choice letters, and text that carries the meaning (``n \text{ is even}``)."""

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
    """The content of ``\\text{}``, without the command."""
    return _TEXT.sub(r"\1", answer)


def is_word(letters: str) -> bool:
    """Return whether letters that stand side by side are a word, and no product of variables."""
    if len(letters) < 2 or not re.fullmatch(r"[A-Z]?[a-z]+|[A-Z]+", letters):
        return False
    lower = letters.lower()
    if len(lower) > 4 or lower in SHORT_WORDS:
        return True
    close = len(set(lower)) == len(lower) and max(map(ord, lower)) - min(map(ord, lower)) <= 5
    return len(lower) == 4 and not close


def words(answer: str) -> list[str]:
    """The words in an answer, lower-cased, in order; LaTeX commands and products of variables are no words."""
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
    """The words and numbers of an answer that is text, such as a date or a name; None for mathematics."""
    if not words(answer) and not _TIME.search(answer):
        return None
    plain = _TEXT.sub(r" \1 ", answer).lower()
    plain = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", plain)  # p.m.
    plain = re.sub(r"(?<=[0-9])(?:st|nd|rd|th)\b", "", plain)
    if _NOT_SPOKEN.search(plain):
        return None
    return _dated([stem(token) for token in _SPOKEN.findall(_ARTICLE.sub("", _FULL_HOUR.sub(r"\1", plain)))])


def _dated(tokens: list[str]) -> list[str]:
    """A date with its month in full and in front: `1 Jan 2000` is `January 1, 2000`."""
    if not any(token.isdigit() for token in tokens):
        return tokens
    for i, token in enumerate(tokens):
        month = next((name for name in _MONTHS if token in (name, name[:3])), None)
        if month is not None and all(other.isdigit() for other in (*tokens[:i], *tokens[i + 1 :])):
            return [month, *tokens[:i], *tokens[i + 1 :]]
    return tokens


def is_text(answer: str) -> bool:
    """Tell whether an answer is words and nothing else."""
    said = spoken(answer)
    return (
        said is not None
        and all(token.isalpha() for token in said)
        and not _MATHEMATICS.search(_TEXT.sub(r"\1", answer))
    )


def is_no_solution(answer: str) -> bool:
    """Return whether an answer says in words that there is none."""
    said = spoken(answer)
    return said is not None and _NO_SOLUTION.fullmatch(" ".join(said)) is not None


def chosen(answer: str) -> str | None:
    r"""The letter of a choice that is given with its value (``\text{(A) }5``), where no other letter is named."""
    match = _CHOICE_AND_VALUE.fullmatch(_TEXT.sub(r"\1", answer).strip())
    return match[1] if match and not _ANOTHER_CHOICE.search(match[2]) else None


def choices(answer: str) -> frozenset[str] | None:
    """The letters of an answer that chooses several: ``ABD``, ``A,B,D``; None for anything else."""
    plain = _TEXT.sub(r"\1", answer).strip()
    letters = re.findall("[A-J]", plain)
    return frozenset(letters) if _LETTERS.fullmatch(plain) and len(set(letters)) == len(letters) else None


def is_all_real_numbers(answer: str) -> bool:
    """Return whether an answer says in words that every real number is meant."""
    said = spoken(answer)
    return said is not None and " ".join(said) in ("all real number", "all real", "real number", "all number")


def choice(answer: str) -> str | None:
    r"""The letter of a multiple-choice answer: ``C``, ``(C)``, ``\text{(C)}``; None for anything else."""
    match = _CHOICE.fullmatch(_TEXT.sub(r"\1", answer).strip())
    return match[1] if match else None
