"""Settings as callers of the API may give them: one by one, or as a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from igrpo.config import ConfigError


def as_settings(given: Iterable[object], name: str) -> list[str]:
    """Return settings that were given as arguments, each a text or a list of texts, as one list.

    Args:
        given: the arguments.
        name: the function that was called, for the message.

    Raises:
        ConfigError: one of them is neither.
    """
    found: list[str] = []
    for one in given:
        texts = list(one) if isinstance(one, Sequence) and not isinstance(one, str | bytes) else [one]
        for text in texts:
            if not isinstance(text, str):
                raise ConfigError([f'{text!r} is no setting: give texts such as "seed=1", or a list of them'], name)
            found.append(text)
    return found


def check_list(overrides: object, name: str | None = None) -> None:
    """Check that ``overrides`` is a list of texts, not a single text, whose letters would be taken for settings.

    Raises:
        ConfigError: it is not; the message has the list to give.
    """
    if isinstance(overrides, str):
        raise ConfigError([f"overrides={overrides!r}: give a list, such as [{overrides!r}]"], *([name] if name else []))
