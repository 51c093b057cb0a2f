"""The short page of `igrpo train --help`: the most used settings and groups, read from the YAML files without Hydra."""

from __future__ import annotations

import textwrap

from igrpo.config.composing.folders import choices, defaults, groups
from igrpo.config.composing.values import composed, flat, text_of

#: The most used groups; their choices are listed as far as a line goes.
GROUPS = {
    "experiment": "preset",
    "algorithm": "method",
    "condition": "compared variant",
    "objective": "loss",
    "reward": "scores",
    "model": "policy",
    "data": "questions",
    "trainer": "optimizer, hardware",
    "rollout": "sampling engine",
    "sweep": "grid of runs",
}
#: The most used settings.
SETTINGS = {
    "completions_per_question": "budget of a question, all roles together",
    "trainer.steps": "training steps",
    "trainer.questions_per_step": "questions per step",
    "trainer.learning_rate": "peak learning rate",
    "seed": "runs that differ only in it are repetitions",
}
#: Other forms of settings.
FORMS = {
    "KEY=[A,B], KEY=null": "a list, no value",
    "resume=DIR": "continue a run or a sweep",
    "tuned=SEARCH_DIR,...": "of a sweep: use what searches found",
}
_MORE = "More: --help GROUP, as --help model; --help SETTING; docs/reference/settings.md"


def settings_help(width: int) -> str:
    """Return the most used settings and groups, one line each, and where the others are described."""
    usual, values = defaults("train"), dict(flat(composed({})))
    lines = ["settings:"]
    for group, meaning in GROUPS.items():
        names = [choice.name for choice in choices(group)]
        first = [f"{name} (default)" for name in names if name == usual.get(group)]
        listed = ", ".join([*first, *(name for name in names if name != usual.get(group))])
        lines.append(_row(f"{group}=", f"{meaning}: {listed}", width, 13))
    rows = {f"{path}={text_of(values[path])}": meaning for path, meaning in SETTINGS.items()} | FORMS
    lines += [_row(name, meaning, width, 31) for name, meaning in rows.items()]
    others = ", ".join(group for group in groups() if group not in GROUPS)
    return "\n".join([*lines, "", *textwrap.wrap(f"Other groups: {others}.", width), *textwrap.wrap(_MORE, width)])


def _row(name: str, text: str, width: int, column: int) -> str:
    """Return one line; a list that is too long for it is cut."""
    line = f"  {name:<{column}}{text}"
    return line if len(line) <= width else f"{line[: width - 5].rpartition(', ')[0]}, ..."
