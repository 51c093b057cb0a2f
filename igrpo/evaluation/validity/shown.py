"""Text of a model as shown to people: without control characters, and not longer than is read."""

from __future__ import annotations

_LONGEST = 400


def printable(text: str) -> str:
    """Replace characters that a terminal would act on, or that change the direction of text; line breaks are kept."""
    return "\n".join(
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.replace("\t", " "))
        for line in text.splitlines()
    )


def tail(text: str, longest: int = _LONGEST) -> str:
    """Return the printable end of a text, with a mark in place of what is left out."""
    text = text.strip()
    return printable(text) if len(text) <= longest else f"... {printable(text[-longest:])}"


def head(text: str, longest: int = _LONGEST) -> str:
    """Return the printable beginning of a text, with a mark in place of what is left out."""
    text = text.strip()
    return printable(text) if len(text) <= longest else f"{printable(text[:longest])} ..."


def fenced(text: str) -> str:
    """Return a text as a block of Markdown that no backticks in it can end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
