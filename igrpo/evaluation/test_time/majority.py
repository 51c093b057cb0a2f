"""Majority vote over answers to the bare question (self-consistency, Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import PositiveInt

from igrpo.evaluation.test_time.base import Mode, ModeContext, PlannedStep, Step


class Majority(Mode):
    """Majority vote: the baseline of the other modes, at each of their numbers of samples.

    After k answers, it gives one of the most frequent answer, compared by mathematical equality; ties are broken at
    random. There is a step at each power of two and at each budget of the other modes.
    """

    title: ClassVar[str] = "majority vote"
    follows: ClassVar[bool] = True
    is_baseline: ClassVar[bool] = True

    name: Literal["majority"]
    """Kind of test-time mode: a majority vote over answers to the bare question."""

    samples: PositiveInt | None
    """Number of answers that vote. Null: as many samples as the most expensive of the other modes draws."""

    def plan(self, budgets: Sequence[int]) -> tuple[PlannedStep, ...]:
        most = self.bare(budgets)
        powers = (2**exponent for exponent in range(1, most.bit_length()))
        ends = sorted({*powers, *(budget for budget in budgets if budget <= most), most})
        return tuple(PlannedStep(f"at_{end}", end) for end in ends)

    def bare(self, budgets: Sequence[int]) -> int:
        return self.samples or max(budgets, default=1)

    async def run(self, context: ModeContext) -> tuple[Step, ...]:
        plan = self.plan(context.budgets)
        answers = await context.answers(plan[-1].samples)
        voted = [(step.name, answers[: step.samples]) for step in plan]
        return tuple([Step.of(name, few, few, await context.pick("majority", few)) for name, few in voted])

    def problems(self, path: str, budgets: Sequence[int]) -> Iterator[str]:
        if self.bare(budgets) < 2:
            given = "null" if self.samples is None else self.samples
            yield f"{path}.samples={given} is no vote, as no other mode draws more: set it to 2 or more"
