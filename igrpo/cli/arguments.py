"""Argument parser for verbs that take options instead of settings; it reports errors as the other verbs do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from igrpo.config import ConfigError
from igrpo.messages import nearest


class Parser(argparse.ArgumentParser):
    """argparse parser that raises ConfigError, with `--help` as a plain flag."""

    def __init__(self, prog: str, description: str, examples: Sequence[str]) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )

    def read(self, arguments: Sequence[str]) -> argparse.Namespace | None:
        """Parse the arguments. If they ask for the help page, print it and return None.

        Raises:
            ConfigError: an argument is invalid; the message suggests the nearest known option.
        """
        self.add_argument("--help", "-h", action="store_true", help="this page")
        before_text = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
        if "--help" in before_text or "-h" in before_text:
            print(self.format_help(), end="")
            return None
        asked, rest = self.parse_known_intermixed_args(arguments)  # options may appear between positional arguments
        if rest:
            raise ConfigError([self._unknown(word) for word in rest], self.prog)
        return asked

    def error(self, message: str) -> NoReturn:
        raise ConfigError([message], self.prog)

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r}: one argument too many; put quotes around a text of several words"
        options = [option for action in self._actions for option in action.option_strings]
        near = nearest(word.partition("=")[0], options)
        if near is not None:
            return f"{word}: no such option; did you mean '{near}'?"
        return f"{word}: no such option (a text that starts with '-' comes after --)"
