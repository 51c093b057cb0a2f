r"""Tokens of a LaTeX expression: numbers, commands, single letters, single other characters."""

from __future__ import annotations

import re
from typing import NoReturn

from igrpo.rewards.math.functions import UnparsableError

_TOKEN = re.compile(
    r"[0-9]+(?:,[0-9]{3})+(?![0-9,])(?:\.[0-9]+)?|[0-9]*\.[0-9]*\\overline ?\{[0-9]+\}|[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
    r"|\\[a-zA-Z]+|\\[{}%|]|\S"
)


class Tokens:
    """Reader of the tokens of a text, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._matches = list(_TOKEN.finditer(text))
        self._at = 0

    def fail(self) -> NoReturn:
        """Raise UnparsableError for the text."""
        raise UnparsableError(self.text)

    @property
    def start(self) -> int:
        """Position of the next token in the text."""
        return self._matches[self._at].start() if self._at < len(self._matches) else len(self.text)

    def peek(self, ahead: int = 0) -> str:
        """Return the next token, or the one ``ahead`` places after it; empty at the end."""
        return self._matches[self._at + ahead].group() if self._at + ahead < len(self._matches) else ""

    def next(self) -> str:
        """Read one token. Raises UnparsableError at the end."""
        token = self.peek()
        if not token:
            self.fail()
        self._at += 1
        return token

    def take(self, *tokens: str) -> bool:
        """Read these tokens if they come next; return whether they do."""
        if any(self.peek(i) != token for i, token in enumerate(tokens)):
            return False
        self._at += len(tokens)
        return True

    def expect(self, token: str) -> None:
        """Read this token. Raises UnparsableError if another one comes next."""
        if not self.take(token):
            self.fail()

    def skip_to(self, end: int) -> None:
        """Skip the tokens that begin before a position in the text."""
        while self._at < len(self._matches) and self._matches[self._at].start() < end:
            self._at += 1

    def sign(self) -> bool:
        """Read plus and minus signs; return True for an odd number of minus signs."""
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.next() == "-"
        return negative

    def group(self) -> str:
        """Read a group in braces, or a single token, and return its source without spaces."""
        if self.peek() != "{":
            return self.next()
        start, depth = self.start + 1, 0
        while True:
            end = self.start
            token = self.next()
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return "".join(self.text[start:end].split())

    def mark(self) -> int:
        """Return the position, for ``back``."""
        return self._at

    def back(self, mark: int) -> None:
        """Go back to a position returned by ``mark``."""
        self._at = mark
