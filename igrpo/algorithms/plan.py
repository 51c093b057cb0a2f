"""The sampling plan of an algorithm: what is sampled for a question, and what of it is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from igrpo.types import Role


@dataclass(frozen=True, slots=True)
class PlannedSamples:
    """Samples of one role for a question: ``prompts`` prompts with ``per_prompt`` samples each.

    ``layout`` is the prompt layout (of conf/prompt), and ``shown`` the maximum number of texts (drafts, answers,
    critiques) that such a prompt shows beside the question. ``trained`` has one entry per way in which the samples are
    trained: the number of texts in the prompt that they are trained as answers to (empty: they are not trained).
    ``always``: they are sampled whatever the data; otherwise, all of them or none.
    """

    role: Role
    prompts: int
    per_prompt: int
    layout: str = "question"
    shown: int = 0
    trained: tuple[int, ...] = ()
    always: bool = True

    @property
    def samples(self) -> int:
        return self.prompts * self.per_prompt


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Samples of a question, in sampling order, and which of them are trained, as an algorithm plans them.

    It is the only statement of these numbers: budgets, lengths, the resolved table and the doctor read it.
    ``group_sizes`` are the possible sizes of a training group. A share ``other_share`` of the questions is sampled as
    ``other`` says instead.
    """

    parts: tuple[PlannedSamples, ...]
    group_sizes: frozenset[int]
    other: tuple[PlannedSamples, ...] = ()
    other_share: Fraction = Fraction(0)

    @property
    def samples(self) -> int:
        """Maximum number of samples per question."""
        return sum(part.samples for part in self.parts)

    @property
    def least_samples(self) -> int:
        """Number of samples per question that are drawn whatever the data."""
        return sum(part.samples for part in self.parts if part.always)

    @property
    def varies(self) -> bool:
        """True if the number of samples per question depends on the data."""
        return self.least_samples < self.samples

    @property
    def rows(self) -> int:
        """Maximum number of trained rows per question; a sample that is trained in several ways counts once per way."""
        return sum(part.samples * len(part.trained) for part in self.parts)

    @property
    def shown(self) -> int:
        """Maximum number of texts that a prompt shows beside the question."""
        return max(part.shown for part in self.parts)

    @property
    def drafts(self) -> int:
        """N, the number of drafts per question."""
        return sum(part.samples for part in self.parts if part.role == "draft")

    @property
    def plain_answers(self) -> int | None:
        """Number of samples that are trained, if each is trained once, as an answer to the bare question; else None."""
        trained = [replace(part, role="answer") for part in self.parts if part.trained]
        plain = PlannedSamples("answer", 1, self.rows, trained=(0,))
        return self.rows if trained == [plain] and not self.varies and not self.other else None

    @property
    def learns_from_drafts(self) -> bool:
        """True if samples of the layout ``prompt.refinement``, which shows a draft, are trained."""
        trained = any(part.layout == "refinement" and part.shown and part.trained for part in self.parts)
        return trained and self.other_share < 1
