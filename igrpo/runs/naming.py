"""Names for the runs of a sweep, made from the settings in which they differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_MAX_FOLDER_NAME = 80

#: Numbers with many digits, such as 0.00044303752452182633, which a search picks.
_LONG_NUMBER = re.compile(r"[-+]?\d*\.\d{5,}(e[-+]?\d+)?", re.IGNORECASE)

#: Values that are meaningless without the name of their setting.
_BARE = re.compile(r"[-+.0-9].*|true|false|null|\[.*|\{.*", re.IGNORECASE)


def short_name(swept: Mapping[str, str]) -> str:
    """Return a name made from the swept settings (dotted key to value), such as 'igrpo completions=8 s1'.

    A config group (an undotted key with a word as its value) contributes the word, ``seed`` contributes s1, any other
    setting the last part of its key and the value. The order is that of ``swept``, with the seed last. The name is
    'run' if nothing is swept.
    """
    leaves = _leaves(swept)
    parts = []
    for key, value in swept.items():
        if key == "seed":
            continue
        group = "." not in key and not _BARE.fullmatch(value)
        short = _short(value)
        # completions_per_question is shortened to completions
        parts.append(short if group else f"{leaves[key].partition('_per_')[0]}={short}")
    if "seed" in swept:
        parts.append(f"s{swept['seed']}")
    return " ".join(parts) or "run"


def _short(value: str) -> str:
    """Return a value without quotes; a long number is rounded to three digits."""
    text = value.strip("'\"")
    return f"{float(text):.3g}" if _LONG_NUMBER.fullmatch(text) else text


def short_params(swept: Mapping[str, str]) -> dict[str, str]:
    """Return the swept settings by the last part of their key (``learning_rate`` for ``trainer.learning_rate``).

    Keys with the same last part keep their full names.
    """
    leaves = _leaves(swept)
    return {leaves[key]: value for key, value in swept.items()}


def folder_name(number: int, swept: Mapping[str, str]) -> str:
    """Return the name of a run's folder in its sweep, such as '003-igrpo_completions-8_s1'.

    It has at most 80 characters of [A-Za-z0-9._-], and is unique by its number. It contains no '=', because a path with
    '=' would have to be quoted in an override.
    """
    parts = (re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in short_name(swept).split())
    return f"{number:03d}-{'_'.join(parts)}"[:_MAX_FOLDER_NAME].rstrip("-_.")


def _leaves(swept: Mapping[str, str]) -> dict[str, str]:
    last = {key: re.split(r"[./]", key)[-1] for key in swept}
    count = Counter(last.values())
    return {key: leaf if count[leaf] == 1 else key for key, leaf in last.items()}
