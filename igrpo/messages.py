"""Parts of messages to users: suggestions for misspelled names, and counted nouns."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word closest in spelling; None if none is close."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of an error message that names the nearest known word; empty if none is close."""
    near = nearest(word, known)
    return "" if near is None else f"; did you mean '{near}'?"


def hint(word: str, known: Sequence[str]) -> str:
    """Return the end of an error message: the nearest known word, else all known words (empty if there are none)."""
    return did_you_mean(word, known) or (f"; known here: {', '.join(known)}" if known else "")


def setting_hint(key: str, known: Sequence[str]) -> str:
    """Return the hint for a dotted key that does not exist, given all dotted keys (sections included) that do.

    Candidates, in this order: almost the same name in the same section and the same name in other sections, a similar
    name in the same section, a similar path. Without any, the hint lists the names of the section.
    """
    section, _, leaf = key.rpartition(".")
    elsewhere = sorted((name for name in known if name.rpartition(".")[2] == leaf), key=lambda name: name.count("."))
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == section]
    if (near := nearest(leaf, siblings, cutoff=0.85 if elsewhere else 0.6)) is not None:
        elsewhere.insert(0, f"{section}.{near}" if section else near)
    if not elsewhere and (near := nearest(key, [name for name in known if name != section], cutoff=0.75)) is not None:
        elsewhere = [near]
    if elsewhere:
        return f"; did you mean {' or '.join(repr(name) for name in elsewhere[:3])}?"
    return f"; known here: {', '.join(siblings)}" if siblings else ""


def install(extra: str) -> str:
    """Return the command that installs an optional part (an extra of pyproject.toml), with and without a checkout."""
    return f"pip install 'igrpo[{extra}]' (in a checkout: pip install -e '.[{extra}]')"


def count(number: int, noun: str) -> str:
    """Format a number with its noun: '1 seed', '5 seeds', '1,200 questions'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
