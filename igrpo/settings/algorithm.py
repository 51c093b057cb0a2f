"""Settings of algorithms."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.settings.base import UnitShare
from igrpo.settings.importance_weights import CrossPromptConfig
from igrpo.settings.sampled import AlgorithmSection, Sampled


class GRPOConfig(AlgorithmSection):
    name: Literal["grpo"]
    answers: PositiveInt

    def sampled(self, total: int) -> tuple[Sampled, ...]:
        return (Sampled("answers", 1, self.answers, 0, (0,)),)

    def group_size(self, total: int) -> int:
        return self.answers

    def cohorts(self, total: int) -> frozenset[int]:
        return frozenset({self.answers})


class IGRPOConfig(AlgorithmSection):
    """Settings of iGRPO.

    ``train_on``: ``draft`` (drafts, given q), ``refine`` (refinements, given q'), ``internalize`` (refinements as
    answers to q, using ``transfer``). ``joint_baseline``: drafts and refinements, all trained as answers to q, form one
    group. ``bare_fraction``: share of the run's questions that are answered in one stage, as in GRPO; in each step,
    their number is this share of the step's questions, rounded up or down.
    """

    name: Literal["igrpo"]
    drafts: NonNegativeInt
    rounds: PositiveInt
    show: PositiveInt
    selection: Literal["best", "random", "worst", "first", "wrong", "none"]
    ties: Literal["random", "first", "shortest", "longest"]
    all_failed: Literal["show", "skip"]
    train_on: tuple[Literal["draft", "refine", "internalize"], ...] = Field(strict=False, min_length=1)
    joint_baseline: bool
    transfer: CrossPromptConfig
    bare_fraction: UnitShare

    def sampled(self, total: int) -> tuple[Sampled, ...]:
        if not self.drafts:
            return (Sampled("answers", self.rounds, self.group_size(total), 0, (0,)),)
        given = {"refine": self.show, "internalize": 0}
        refined = tuple(given[part] for part in dict.fromkeys(self.train_on) if part != "draft")
        return (
            Sampled("drafts", 1, self.drafts, 0, (0,) if "draft" in self.train_on else ()),
            Sampled("refinements", self.rounds, self.group_size(total), self.show, refined),
        )

    def group_size(self, total: int) -> int:
        return (total - self.drafts) // self.rounds

    def cohorts(self, total: int) -> frozenset[int]:
        if self.joint_baseline:
            return frozenset({total})
        sizes = {one.each for one in self.sampled(total) if one.given}
        return frozenset(sizes | ({total} if self.bare_fraction else set()))

    def answered_once(self, questions: int) -> Fraction:
        return questions * Fraction(str(self.bare_fraction))

    @property
    def transferring(self) -> CrossPromptConfig | None:
        return self.transfer if "internalize" in self.train_on else None

    @property
    def best_is_shown(self) -> bool:
        return self.selection == "best"

    @property
    def learns_from_drafts(self) -> bool:
        shows = self.drafts > 0 and self.selection != "none" and self.bare_fraction < 1
        return shows and set(self.train_on) != {"draft"}


class CritiqueGRPOConfig(AlgorithmSection):
    """Settings of Critique-GRPO.

    Each question gets ``answers`` (n) answers. If all of them fail, the rest of the budget is spent on critiques with
    one refinement each. ``kept`` (k < n) refinements are trained beside the answers, as answers to the question, using
    ``transfer``.
    """

    name: Literal["critique_grpo"]
    answers: PositiveInt
    kept: PositiveInt
    transfer: CrossPromptConfig

    def critiques(self, total: int) -> int:
        """Return the maximum number of critiques per question, which is also that of refinements."""
        return max(total - self.answers, 0) // 2

    def sampled(self, total: int) -> tuple[Sampled, ...]:
        critiques = self.critiques(total)
        return (
            Sampled("answers", 1, self.answers, 0, (0,)),
            Sampled("critiques", critiques, 1, 1, (), always=False),
            Sampled("refinements", self.kept, 1, 2, (0,), always=False),
            Sampled("refinements", critiques - self.kept, 1, 2, (), always=False),
        )

    def group_size(self, total: int) -> int:
        return self.answers

    def cohorts(self, total: int) -> frozenset[int]:
        return frozenset({self.answers, self.answers + self.kept})

    @property
    def transferring(self) -> CrossPromptConfig | None:
        return self.transfer

    @property
    def layouts(self) -> tuple[str, ...]:
        return ("critique", "revision")


class SelfVerificationConfig(AlgorithmSection):
    """Settings of Self-Verification.

    Each question gets ``answers`` (n) answers; the rest of the budget verifies one earlier answer, drawn from the
    ``buffer`` newest ones. ``balanced``: draw a right or a wrong one with equal probability (if the buffer has both);
    otherwise, draw uniformly.
    """

    name: Literal["self_verification"]
    answers: PositiveInt
    buffer: PositiveInt
    balanced: bool

    def verifications(self, total: int) -> int:
        """Return the number of verifications of one earlier answer, per question."""
        return max(total - self.answers, 0)

    def sampled(self, total: int) -> tuple[Sampled, ...]:
        return (
            Sampled("answers", 1, self.answers, 0, (0,)),
            Sampled("verifications", 1, self.verifications(total), 1, (1,), always=False),
        )

    def group_size(self, total: int) -> int:
        return self.answers

    def cohorts(self, total: int) -> frozenset[int]:
        return frozenset({self.answers, self.verifications(total)})

    @property
    def layouts(self) -> tuple[str, ...]:
        return ("verification",)


AlgorithmConfig = Annotated[
    GRPOConfig | IGRPOConfig | CritiqueGRPOConfig | SelfVerificationConfig, Field(discriminator="name")
]
