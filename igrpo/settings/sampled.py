"""Completions per question: the base class of algorithm settings, from which budgets and lengths are computed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from igrpo.settings.base import Section
from igrpo.settings.importance_weights import CrossPromptConfig


@dataclass(frozen=True, slots=True)
class Sampled:
    """Completions of one kind for a question: ``prompts`` prompts with ``each`` completions.

    ``texts`` is the number of drafts, answers and critiques that such a prompt shows beside the question. ``given`` has
    one entry per way in which the completions are trained: the number of texts in the prompt that they are trained as
    answers to (empty: they are not trained). ``always``: they are sampled whatever the data; otherwise, the numbers are
    upper bounds.
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
    """Base class of algorithm settings, for a budget of ``total`` completions per question."""

    @abstractmethod
    def sampled(self, total: int) -> tuple[Sampled, ...]:
        """Return the kinds of completions of a question, in sampling order."""

    @abstractmethod
    def group_size(self, total: int) -> int:
        """Return G, the number of completions per group."""

    @abstractmethod
    def cohorts(self, total: int) -> frozenset[int]:
        """Return the possible sizes of a group with its own baseline."""

    def rows(self, total: int) -> int:
        """Return the maximum number of trained rows; a completion trained in several ways counts once per way."""
        return sum(one.samples * len(one.given) for one in self.sampled(total))

    def answered_once(self, questions: int) -> Fraction:
        """Return the mean number of a step's questions that are answered in one stage, with the whole budget.

        Each step has this number rounded down or up. It is 0 for algorithms without such a setting.
        """
        return Fraction(0)

    @property
    def transferring(self) -> CrossPromptConfig | None:
        """Settings for completions trained as answers to a prompt other than their own; None if there are none."""
        return None

    @property
    def best_is_shown(self) -> bool:
        """True if later prompts show the completion that the reward ranks best."""
        return False

    @property
    def learns_from_drafts(self) -> bool:
        """True if completions sampled from ``prompt.refinement``, which shows a draft, are trained."""
        return False

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts of conf/prompt that the algorithm uses besides question and refinement."""
        return ()
