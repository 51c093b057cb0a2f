"""Checks of test-time modes that pydantic cannot make."""

from __future__ import annotations

import re
from collections.abc import Iterator

from igrpo.config.schema import RunConfig


def mode_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    modes, budgets = config.evaluation.test_time, config.evaluation.budgets
    for name, mode in modes.items():
        path = f"evaluation.test_time.{name}"
        if not re.fullmatch(r"[a-z0-9_]+", name):
            yield f"{path}: use only lowercase letters, digits and _, because samples and metrics are named after it"
        yield from mode.problems(path, budgets)
    baselines = [name for name, mode in modes.items() if mode.is_baseline]
    if len(baselines) > 1:
        yield (
            f"evaluation.test_time has {len(baselines)} modes to compare the others with ({', '.join(baselines)}): "
            "keep one"
        )
