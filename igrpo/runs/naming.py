"""Names that tell the runs of a sweep apart, made from the settings in which they differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_MAX_FOLDER_NAME = 80

#: A search picks numbers such as 0.00044303752452182633.
_LONG_NUMBER = re.compile(r"[-+]?\d*\.\d{5,}(e[-+]?\d+)?", re.IGNORECASE)

#: Values that say nothing without the name of their setting.
_BARE = re.compile(r"[-+.0-9].*|true|false|null|\[.*|\{.*", re.IGNORECASE)


def short_name(swept: Mapping[str, str]) -> str:
    """A name from the swept settings (dotted key to value), such as 'igrpo completions=8 s1'.

    The choice of a group (an undotted key with a word as its value) gives the word, ``seed`` gives s1, anything else
    the last part of its key with the value. In the order of ``swept``, the seed last; 'run' where nothing is swept.
    """
    leaves = _leaves(swept)
    parts = []
    for key, value in swept.items():
        if key == "seed":
            continue
        group = "." not in key and not _BARE.fullmatch(value)
        short = _short(value)
        # completions_per_question: what it is counted by goes without saying
        parts.append(short if group else f"{leaves[key].partition('_per_')[0]}={short}")
    if "seed" in swept:
        parts.append(f"s{swept['seed']}")
    return " ".join(parts) or "run"


def _short(value: str) -> str:
    """A value without its quotes, a number of many digits with three of them."""
    text = value.strip("'\"")
    return f"{float(text):.3g}" if _LONG_NUMBER.fullmatch(text) else text


def short_params(swept: Mapping[str, str]) -> dict[str, str]:
    """The swept settings by the last part of their key (``trainer.learning_rate`` is ``learning_rate``).

    Keys that end alike keep their whole names.
    """
    leaves = _leaves(swept)
    return {leaves[key]: value for key, value in swept.items()}


def folder_name(number: int, swept: Mapping[str, str]) -> str:
    """A run's folder in its sweep, such as '003-igrpo_completions-8_s1': [A-Za-z0-9._-], at most 80 characters.

    The number alone makes it unique. There is no '=' in it: a path with one has to be quoted in an override.
    """
    words = (re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-") for word in short_name(swept).split())
    return f"{number:03d}-{'_'.join(words)}"[:_MAX_FOLDER_NAME].rstrip("-_.")


def _leaves(swept: Mapping[str, str]) -> dict[str, str]:
    last = {key: re.split(r"[./]", key)[-1] for key in swept}
    count = Counter(last.values())
    return {key: leaf if count[leaf] == 1 else key for key, leaf in last.items()}
