"""Parallel-Distill-Refine (Madaan et al. 2025, arXiv 2510.01123): parallel drafts, a bounded workspace, a refinement.

The paper distils the drafts of a round into a workspace of limited length, and conditions the next round on it; the
last round has one sample. Its operators are a summary by the model and a selection of drafts. The summary has a prompt
of its own there; here the model writes it under the refinement prompt that shows all drafts, with a limit on its
length, so that modes and models are compared under the same layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import PositiveInt

from igrpo.evaluation.test_time.base import Mode, ModeContext, PlannedStep, Step
from igrpo.evaluation.test_time.picking import Attempt


class DistillRefine(Mode):
    """Parallel-Distill-Refine: each round shows a workspace that was distilled from the drafts before it.

    After round r, the answer is the first sample that saw the workspace of that round.
    """

    title: ClassVar[str] = "distil and refine"

    name: Literal["pdr"]
    """Kind of test-time mode: Parallel-Distill-Refine."""

    drafts: PositiveInt
    """Number of parallel drafts per round. The last round has one sample, which is the answer."""

    rounds: PositiveInt
    """Number of workspaces, each shown to the samples of the round after it."""

    distil: Literal["summary", "random"]
    """Workspace: a text that the model writes with all drafts of the round before it, or some of them at random."""

    summary_tokens: PositiveInt
    """Maximum length of a summary, in tokens; the limit of the evaluation holds, too."""

    kept: PositiveInt
    """Number of drafts in a workspace with `distil=random`."""

    def plan(self, budgets: Sequence[int]) -> tuple[PlannedStep, ...]:
        each = self.drafts + self._summaries
        shown = self.drafts if self._summaries else self.kept
        return tuple(PlannedStep(f"round_{r}", r * each + 1, shown) for r in range(1, self.rounds + 1))

    def bare(self, budgets: Sequence[int]) -> int:
        return self.drafts

    async def run(self, context: ModeContext) -> tuple[Step, ...]:
        spent = drafts = await context.answers(self.drafts)
        steps = []
        for number in range(1, self.rounds + 1):
            workspace = await self._workspace(context, number, drafts)
            each = self.drafts if number < self.rounds else 1
            drafts = await context.refinements(f"round_{number}", [workspace], each=each)
            spent = (*spent, *(workspace if self._summaries else ()))
            steps.append(Step.of(f"round_{number}", (*spent, drafts[0]), drafts, drafts[0]))
            spent = (*spent, *drafts)
        return tuple(steps)

    async def _workspace(self, context: ModeContext, number: int, drafts: Sequence[Attempt]) -> Sequence[Attempt]:
        if self._summaries:
            return await context.refinements(f"summary_{number}", [drafts], max_tokens=self.summary_tokens)
        return context.rng(f"workspace_{number}").sample(drafts, self.kept)

    @property
    def _summaries(self) -> int:
        """Number of summaries per round."""
        return int(self.distil == "summary")

    def problems(self, path: str, budgets: Sequence[int]) -> Iterator[str]:
        if self.distil == "random" and self.kept > self.drafts:
            yield f"{path}.kept={self.kept} is more than {path}.drafts={self.drafts}: lower the former"
