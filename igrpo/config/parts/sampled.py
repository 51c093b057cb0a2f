"""What a question costs: the base of every algorithm's settings. Budgets, lengths and tables are worked out of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from igrpo.config.parts.base import Section
from igrpo.config.parts.transfer import TransferConfig


@dataclass(frozen=True, slots=True)
class Sampled:
    """One kind of completions of a question: ``prompts`` times ``each``.

    ``texts`` are the drafts, answers and critiques that such a prompt shows beside the question. ``given``: for each
    way in which they are trained, the texts of the prompt that they are trained as answers to (none: they are not).
    ``always``: whatever the step's data are; else at most.
    """

    kind: Literal["answers", "drafts", "refinements", "critiques", "verifications"]
    prompts: int
    each: int
    texts: int
    given: tuple[int, ...]
    always: bool = True

    @property
    def samples(self) -> int:
        return self.prompts * self.each


class AlgorithmSection(Section):
    """What all algorithms' settings can say of a question with a budget of ``total`` completions."""

    @abstractmethod
    def sampled(self, total: int) -> tuple[Sampled, ...]:
        """Its completions, in the order in which they are sampled."""

    @abstractmethod
    def group_size(self, total: int) -> int:
        """G, the completions of a group."""

    @abstractmethod
    def cohorts(self, total: int) -> frozenset[int]:
        """The sizes that a group with a baseline of its own can have."""

    def rows(self, total: int) -> int:
        """The completions that are trained, at most, each as often as it is."""
        return sum(one.samples * len(one.given) for one in self.sampled(total))

    def answered_once(self, questions: int) -> Fraction:
        """How many of a step's questions are answered once, with the whole budget, although there is a second stage:
        the mean over steps, of which each has this number rounded down or up."""
        return Fraction(0)

    @property
    def transferring(self) -> TransferConfig | None:
        """How completions enter the loss that are trained as answers to another prompt; None where there are none."""
        return None

    @property
    def best_is_shown(self) -> bool:
        """Whether what a later prompt shows is chosen as the best by the reward."""
        return False

    @property
    def learns_from_drafts(self) -> bool:
        """Whether completions are trained that were sampled from ``prompt.refinement``, which shows a draft."""
        return False

    @property
    def layouts(self) -> tuple[str, ...]:
        """The prompts of conf/prompt that it uses beside the question and the refinement."""
        return ()
