"""Drafts, and rounds of refinements of the picked one: what iGRPO trains for, without a gold answer at test time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import PositiveInt

from igrpo.evaluation.test_time.base import Mode, ModeContext, PlannedStep, Step
from igrpo.evaluation.test_time.picking import Attempt, Judge, Picking


class Refine(Mode, Picking):
    """Refinement: ``drafts`` answers, one of which is picked and refined ``refinements`` times, over several rounds.

    Each round shows the sample that was picked after the round before. The answer after a round is picked by the same
    rule, and so is that after the drafts (``round_0``).
    """

    title: ClassVar[str] = "refinement"

    name: Literal["refine"]
    """Kind of test-time mode: refinements of one picked draft, over several rounds."""

    drafts: PositiveInt
    """Number of answers to the bare question from which the first draft is picked."""

    refinements: PositiveInt
    """Number of refinements per round."""

    rounds: PositiveInt
    """Number of rounds of refinements."""

    among: Literal["round", "all"]
    """Samples from which the answer of a round, and the draft of the next one, is picked: the refinements of the round,
    or all samples so far."""

    def plan(self, budgets: Sequence[int]) -> tuple[PlannedStep, ...]:
        first = PlannedStep("round_0", self.drafts)
        ends = ((number, self.drafts + number * self.refinements) for number in range(1, self.rounds + 1))
        return (first, *(PlannedStep(f"round_{number}", end, shown=1) for number, end in ends))

    def bare(self, budgets: Sequence[int]) -> int:
        return self.drafts

    async def run(self, context: ModeContext) -> tuple[Step, ...]:
        spent = among = await context.answers(self.drafts)
        picked = await self._picked(context, 0, among)
        steps = [Step.of("round_0", spent, among, picked)]
        for number in range(1, self.rounds + 1):
            drawn = await context.refinements(f"round_{number}", [[picked]], each=self.refinements)
            spent = (*spent, *drawn)
            among = drawn if self.among == "round" else spent
            picked = await self._picked(context, number, among)
            steps.append(Step.of(f"round_{number}", spent, among, picked))
        return tuple(steps)

    async def _picked(self, context: ModeContext, number: int, among: Sequence[Attempt]) -> Attempt:
        """Return what is picked after a round, and shown in the next one."""
        return await context.pick(self.pick, among, shown_in=(f"round_{number + 1}", self.refinements))

    def problems(self, path: str, budgets: Sequence[int]) -> Iterator[str]:
        yield from self.picking_problems(path)

    @property
    def knows_gold(self) -> bool:
        return self.pick == "oracle"

    @property
    def judging(self) -> Judge | None:
        return self.judge
