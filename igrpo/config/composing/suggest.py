"""Did you mean ...?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is spelled most alike, None when none is close."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def hint(word: str, known: Sequence[str]) -> str:
    """The end of an error message: the nearest known word, else all of them; empty when nothing is known."""
    near = nearest(word, known)
    if near is not None:
        return f"; did you mean '{near}'?"
    return f"; known here: {', '.join(known)}" if known else ""


def setting_hint(key: str, known: Sequence[str]) -> str:
    """The hint for a dotted key that does not exist, given all dotted keys (sections included) that do.

    Looked for in this order: the same name in other sections, a misspelled name in the same section, a misspelled
    path; else the names of the section are listed.
    """
    section, _, leaf = key.rpartition(".")
    elsewhere = sorted((name for name in known if name.rpartition(".")[2] == leaf), key=lambda name: name.count("."))
    if elsewhere:
        return f"; did you mean {' or '.join(repr(name) for name in elsewhere[:3])}?"
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == section]
    near = nearest(leaf, siblings)
    if near is not None:
        return f"; did you mean '{section}.{near}'?" if section else f"; did you mean '{near}'?"
    near = nearest(key, [name for name in known if name != section], cutoff=0.75)
    if near is not None:
        return f"; did you mean '{near}'?"
    return f"; known here: {', '.join(siblings)}" if siblings else ""
