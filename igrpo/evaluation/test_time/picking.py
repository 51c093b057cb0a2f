"""Rules that pick one of several samples. Only ``oracle`` knows which are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from igrpo.evaluation.samples import SampleKey
from igrpo.settings.base import Section
from igrpo.settings.judge import JudgeConfig, JudgeLocalConfig, JudgeVllmConfig
from igrpo.settings.reward import PythonRewardConfig
from igrpo.types import Completion

#: ``majority``: a sample of the most frequent answer; ``judge``: that with the highest value; ``oracle``: a right one.
Pick = Literal["majority", "judge", "random", "oracle"]

#: A reward that values samples without a gold answer.
Judge = Annotated[JudgeConfig | JudgeLocalConfig | JudgeVllmConfig | PythonRewardConfig, Field(discriminator="name")]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sample as a mode sees it: without a verdict. ``answer`` is what was extracted from its text (None: none)."""

    key: SampleKey
    answer: str | None
    completion: Completion


class Picking(Section):
    """Settings of a mode that picks one of its samples."""

    pick: Pick
    """Rule that picks: a sample of the most frequent answer (`majority`, by mathematical equality), the one that the
    judge values most, one at random, or one that is right (`oracle`: an upper bound, marked in every table)."""

    judge: Judge | None = None
    """Reward that picks with `pick=judge`, such as `+reward@evaluation.test_time.NAME.judge=judge_local`. It is called
    with an empty gold answer, so a judge sees no reference. Null: none."""

    def picking_problems(self, path: str) -> Iterator[str]:
        """Yield a message if the rule and the judge contradict each other."""
        if self.pick == "judge" and self.judge is None:
            yield (
                f"{path}.pick=judge needs a judge: add +reward@{path}.judge=judge_local {path}.judge.model=DIRECTORY, "
                "or set it to majority"
            )
        if self.pick != "judge" and self.judge is not None:
            yield f"{path}.judge is not used by {path}.pick={self.pick}: set pick to judge, or judge to null"


def best_valued(values: Sequence[float | None]) -> int | None:
    """Return the index of the first highest value; None if there is no value at all."""
    valued = [(value, -index) for index, value in enumerate(values) if value is not None]
    return -max(valued)[1] if valued else None
