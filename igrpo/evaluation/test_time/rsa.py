"""Recursive Self-Aggregation (Venkatraman et al. 2025, arXiv 2509.26626): a population that aggregates its own samples.

The paper's aggregation prompt shows several candidate solutions and asks for one improved solution. Here it is the
refinement prompt with several drafts, so that modes and models are compared under the same layouts. The paper gives a
random sample of the last population as the answer, and mentions a majority vote; ``pick`` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import PositiveInt

from igrpo.evaluation.test_time.base import Mode, ModeContext, PlannedStep, Step
from igrpo.evaluation.test_time.picking import Judge, Picking


class SelfAggregation(Mode, Picking):
    """Recursive self-aggregation: every new sample aggregates ``shown`` random ones of the population before it."""

    title: ClassVar[str] = "self-aggregation"

    name: Literal["rsa"]
    """Kind of test-time mode: recursive self-aggregation."""

    population: PositiveInt
    """Number of samples in each population; the first one answers the bare question."""

    shown: PositiveInt
    """Number of different samples of the population that each new sample sees as drafts."""

    rounds: PositiveInt
    """Number of populations after the first one."""

    def plan(self, budgets: Sequence[int]) -> tuple[PlannedStep, ...]:
        n = self.population
        return tuple(
            PlannedStep(f"round_{number}", (number + 1) * n, shown=self.shown if number else 0)
            for number in range(self.rounds + 1)
        )

    def bare(self, budgets: Sequence[int]) -> int:
        return self.population

    async def run(self, context: ModeContext) -> tuple[Step, ...]:
        spent = population = await context.answers(self.population)
        steps = []
        for number in range(self.rounds + 1):
            if number:
                rng = context.rng(f"round_{number}")
                subsets = [rng.sample(population, self.shown) for _ in population]
                population = await context.refinements(f"round_{number}", subsets)
                spent = (*spent, *population)
            answer = await context.pick(self.pick, population)
            steps.append(Step.of(f"round_{number}", spent, population, answer))
        return tuple(steps)

    def problems(self, path: str, budgets: Sequence[int]) -> Iterator[str]:
        yield from self.picking_problems(path)
        if self.shown > self.population:
            yield (
                f"{path}.shown={self.shown} is more than {path}.population={self.population}: lower the former, or "
                "raise the latter"
            )

    @property
    def knows_gold(self) -> bool:
        return self.pick == "oracle"

    @property
    def judging(self) -> Judge | None:
        return self.judge
