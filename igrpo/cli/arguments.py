"""Argument parser of all verbs: one form of options, help pages and errors."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import NoReturn

from igrpo.config import ConfigError
from igrpo.messages import nearest


class Parser(argparse.ArgumentParser):
    """argparse parser that raises ConfigError, suggests the nearest option, and has `--help` as a plain flag.

    Args:
        verb: the verb, such as ``train``.
        description: what it does; paragraphs are separated by an empty line.
        examples: command lines for the end of the help page.
        settings: description of the ``SETTING=VALUE`` arguments; None if the verb takes none.
        path: what comes before them, if that may be a path, such as ``RUN_DIR``.
        notes: returns a text for the help page, before the examples, that fits a width in characters.
        topics: returns the page of a topic, as in ``--help TOPIC``, that fits a width in characters.
        own: returns the settings that only this verb has, with their values, for completion.
    """

    def __init__(
        self,
        verb: str,
        description: str,
        examples: Sequence[str],
        *,
        settings: str | None = None,
        path: str | None = None,
        notes: Callable[[int], str] | None = None,
        topics: Callable[[str, int], str] | None = None,
        own: Callable[[], Mapping[str, Sequence[str]]] | None = None,
    ) -> None:
        super().__init__(prog=f"igrpo {verb}", add_help=False, allow_abbrev=False, formatter_class=_formatter)
        self._text, self._examples, self._notes, self._topics = description, examples, notes, topics
        self.takes_settings, self.has_topics = settings is not None, topics is not None
        self.takes_path = path is not None
        self.own_settings: Callable[[], Mapping[str, Sequence[str]]] = own if own is not None else dict
        if topics is not None:  # a short page
            self.usage = f"igrpo {verb} [SETTING=VALUE ...] [OPTION ...]"
        if settings is not None:
            metavar = "SETTING=VALUE" if path is None else f"{path} SETTING=VALUE"
            self.add_argument("settings", nargs="*", metavar=metavar, help=settings)

    def read(self, arguments: Sequence[str]) -> argparse.Namespace | None:
        """Parse the arguments. If they ask for the help page, print it and return None.

        Raises:
            ConfigError: an argument is invalid; the message suggests the nearest known option.
        """
        self.add_help_option()
        options = list(arguments)[: arguments.index("--")] if "--" in arguments else list(arguments)
        at = next((i for i, text in enumerate(options) if text in {"--help", "-h"}), None)
        if at is None:
            return self.parse(arguments)
        topics = [] if self._topics is None else list(takewhile(lambda text: text[:1] != "-", options[at + 1 :]))
        pages = [self._topics(topic, _width()) for topic in topics] if self._topics is not None else []
        print("\n\n".join(pages) if pages else self.format_help().rstrip("\n"))
        return None

    def add_help_option(self) -> None:
        """Add ``--help``, which is the last option on the page."""
        if self._topics is None:
            self.add_argument("--help", "-h", action="store_true", help="print this page")
        else:
            text = "print this page, or that of a group or a setting"
            self.add_argument("--help", "-h", nargs="?", metavar="NAME", help=text)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse arguments that do not ask for the help page.

        Raises:
            ConfigError: see ``read``.
        """
        asked, rest = self.parse_known_intermixed_args(arguments)  # options may stand between positional arguments
        unknown = [text for text in rest if text.startswith("-")] or rest  # the others may be values of unknown options
        if unknown:
            raise ConfigError([self._unknown(text) for text in unknown], self.prog)
        return asked

    def format_help(self) -> str:
        """Return the help page."""
        width = _width()
        self.description = "\n\n".join(textwrap.fill(part, width) for part in self._text.split("\n\n"))
        notes = [] if self._notes is None else [self._notes(width)]
        self.epilog = "\n\n".join([*notes, "\n".join(["examples:", *(f"  {text}" for text in self._examples)])])
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError."""
        raise ConfigError([message.removeprefix("argument ")], self.prog)

    def _unknown(self, text: str) -> str:
        if not text.startswith("-"):
            return f"{text!r}: one argument too many; put quotes around a text of several words"
        options = [option for action in self._actions for option in action.option_strings]
        near = nearest(text.partition("=")[0], options)
        known = f"{', '.join(options)} are known; put -- before a text that starts with '-'"
        return f"{text}: no such option; {known if near is None else f'did you mean {near!r}?'}"


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=_width() - 2, max_help_position=28)


def whole_number(least: int) -> Callable[[str], int]:
    """Return a converter for an option's value, for argparse's ``type``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"give a whole number of at least {least}, not {text!r}")
        return value

    return convert


def number(*, positive: bool) -> Callable[[str], float]:
    """Return a converter for a finite number that is above 0 (``positive``) or at least 0, for argparse's ``type``."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf") or (positive and value == 0):
            raise argparse.ArgumentTypeError(f"give a number {'above' if positive else 'of at least'} 0, not {text!r}")
        return value

    return convert
