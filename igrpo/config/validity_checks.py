"""Checks of the settings of the checks of an evaluation that pydantic cannot make."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.config.schema import RunConfig
from igrpo.messages import hint

#: The split that is evaluated besides the benchmarks.
_TEST = "test"


def validity_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each benchmark to be probed that does not exist, or cannot be compared."""
    probe = config.evaluation.contamination
    known = [*config.evaluation.benchmarks, _TEST]
    for key, names in (("older", probe.older), ("newer", probe.newer)):
        for name in names:
            if name not in known:
                yield f"evaluation.contamination.{key}: '{name}' is no benchmark of this evaluation{hint(name, known)}"
    for name in set(probe.older) & set(probe.newer):
        yield (
            f"evaluation.contamination: '{name}' is in older and in newer; leave it where it belongs, by the date of "
            "the model's training data"
        )
