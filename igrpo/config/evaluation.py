"""Settings of evaluation, test-time modes included."""

from __future__ import annotations

from pydantic import Field

from igrpo.evaluation.test_time.base import budgets_of
from igrpo.evaluation.test_time.registry import ModeConfig
from igrpo.settings.evaluation import HeldOutConfig


class EvaluationConfig(HeldOutConfig):
    """Evaluation on held-out questions (see `igrpo.evaluation.evaluator`).

    Runs from before ``interval_width``, ``reuse_first`` and ``test_time`` existed have none.
    """

    test_time: dict[str, ModeConfig] = Field(default_factory=dict)
    """Test-time modes by name: ways to answer with several samples, on the test split and the benchmarks.
    `+test_time@evaluation.test_time.NAME=CHOICE` adds a file of conf/test_time, and `evaluation=test_time` has several.
    Empty: none."""

    @property
    def budgets(self) -> tuple[int, ...]:
        """Samples per question after each step of the modes, in ascending order."""
        return budgets_of(list(self.test_time.values()))

    @property
    def most_drafts_shown(self) -> int:
        """Maximum number of drafts in an evaluation prompt (0: none)."""
        budgets = self.budgets
        shown = [step.shown for mode in self.test_time.values() for step in mode.plan(budgets)]
        return max([super().most_drafts_shown, *shown])
