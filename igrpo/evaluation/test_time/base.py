"""The interface of a test-time mode: what it draws for a question, and the answer that it gives."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pydantic import PositiveInt

from igrpo.evaluation.samples import SampleKey
from igrpo.evaluation.test_time.picking import Attempt, Judge, Pick
from igrpo.settings.base import Section


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that a mode plans.

    ``samples`` is the number of samples that its answer needs, those of earlier steps included. ``shown`` is the
    maximum number of drafts in one prompt (0: only the bare question is asked).
    """

    name: str
    samples: int
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """The answer that a mode gives after a step.

    ``spent`` has all samples that the answer needed, ``among`` those from which it was picked.
    """

    name: str
    spent: tuple[SampleKey, ...]
    among: tuple[SampleKey, ...]
    answer: SampleKey

    @classmethod
    def of(cls, name: str, spent: Sequence[Attempt], among: Sequence[Attempt], answer: Attempt) -> Step:
        """Make the step of samples as a mode sees them."""
        return cls(name, tuple(one.key for one in spent), tuple(one.key for one in among), answer.key)


class ModeContext(Protocol):
    """Everything that a mode may use for one question. It shows neither the gold answer nor a verdict."""

    @property
    def budgets(self) -> Sequence[int]:
        """Samples per question after each step of the other modes, in ascending order."""
        ...

    async def answers(self, count: int) -> tuple[Attempt, ...]:
        """Return ``count`` answers to the bare question. All modes share them, with the single-shot evaluation."""
        ...

    async def refinements(
        self, step: str, shown: Sequence[Sequence[Attempt]], *, each: int = 1, max_tokens: int | None = None
    ) -> tuple[Attempt, ...]:
        """Draw ``each`` samples per list of drafts, from the refinement prompt that shows these, in their order.

        Args:
            step: name of the step; a mode uses each name once.
            shown: the drafts of each prompt.
            each: number of samples per prompt.
            max_tokens: limit on their length, if it is lower than that of the evaluation.
        """
        ...

    async def pick(self, how: Pick, among: Sequence[Attempt], *, shown_in: tuple[str, int] | None = None) -> Attempt:
        """Pick one of several samples.

        Args:
            how: the rule.
            among: the candidates, at least one.
            shown_in: the step whose prompts show the picked one alone, and its number of samples, if there is such a
                step. A resumed evaluation finds there what was picked.
        """
        ...

    def rng(self, purpose: str) -> random.Random:
        """Random generator for choices of the mode, the same in every repetition of the evaluation."""
        ...


class Mode(Section, ABC):
    """A test-time mode: its settings are the fields, ``plan`` says what it draws, and ``run`` does it.

    To add a mode: a subclass in a file of its own, a YAML file in conf/test_time, and a line in
    `igrpo.evaluation.test_time.registry`.
    """

    title: ClassVar[str]  #: name in tables

    #: True: its plan depends on the budgets of the other modes.
    follows: ClassVar[bool] = False

    #: True: other modes are compared with it at equal numbers of samples.
    is_baseline: ClassVar[bool] = False

    name: str
    """Kind of test-time mode."""

    repeats: PositiveInt
    """Number of times that the mode answers each question, each time with samples of its own. More repeats narrow the
    intervals."""

    @abstractmethod
    def plan(self, budgets: Sequence[int]) -> tuple[PlannedStep, ...]:
        """Return the steps of one answer. The last one has spent all samples.

        Args:
            budgets: samples after each step of the other modes, in ascending order; empty for a mode that does not
                follow them.
        """

    @abstractmethod
    def bare(self, budgets: Sequence[int]) -> int:
        """Return the number of answers to the bare question that one answer needs."""

    @abstractmethod
    async def run(self, context: ModeContext) -> tuple[Step, ...]:
        """Answer one question, and return the steps of the plan in its order."""

    def problems(self, path: str, budgets: Sequence[int]) -> Iterator[str]:
        """Yield a message for each contradiction: the setting, its value and what to change.

        Args:
            path: where the settings of the mode are, such as ``evaluation.test_time.refine``.
            budgets: as for ``plan``.
        """
        yield from ()

    @property
    def knows_gold(self) -> bool:
        """True if an answer is picked by its verdict, so that the accuracy is an upper bound."""
        return False

    @property
    def judging(self) -> Judge | None:
        """Settings of the reward that picks; None if none does."""
        return None


def budgets_of(modes: Sequence[Mode]) -> tuple[int, ...]:
    """Return the samples per question after each step of the modes that do not follow others, in ascending order."""
    steps = [step for mode in modes if not mode.follows for step in mode.plan(())]
    return tuple(sorted({step.samples for step in steps}))
