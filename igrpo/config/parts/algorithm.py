"""Algorithms, and the losses that go with any of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.config.parts.base import Section, UnitShare
from igrpo.config.parts.sampled import AlgorithmSection, Sampled
from igrpo.config.parts.transfer import TransferConfig


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
    """``train_on``: ``draft`` (drafts, given q), ``refine`` (refinements, given q'), ``internalize`` (refinements as
    answers to q, by ``transfer``). ``joint_baseline``: drafts and refinements that are all trained as answers to q are
    one group. ``bare_fraction`` of the run's questions are answered once, as by GRPO; a step has this share of them up
    to less than one question more or less.
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
    transfer: TransferConfig
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
    def transferring(self) -> TransferConfig | None:
        return self.transfer if "internalize" in self.train_on else None

    @property
    def best_is_shown(self) -> bool:
        return self.selection == "best"

    @property
    def learns_from_drafts(self) -> bool:
        shows = self.drafts > 0 and self.selection != "none" and self.bare_fraction < 1
        return shows and set(self.train_on) != {"draft"}


class CritiqueGRPOConfig(AlgorithmSection):
    """``answers`` (n) to each question; where all of them fail, the rest of the budget buys critiques with a refinement
    each. ``kept`` (k < n) refinements are trained beside the answers, as answers to the question, by ``transfer``.
    """

    name: Literal["critique_grpo"]
    answers: PositiveInt
    kept: PositiveInt
    transfer: TransferConfig

    def critiques(self, total: int) -> int:
        """The most critiques of a question, and so its most refinements."""
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
    def transferring(self) -> TransferConfig | None:
        return self.transfer

    @property
    def layouts(self) -> tuple[str, ...]:
        return ("critique", "revision")


class SelfVerificationConfig(AlgorithmSection):
    """``answers`` (n) to each question; the rest of the budget judges one earlier answer, out of the ``buffer`` newest
    ones. ``balanced``: a right or a wrong one with equal chances (where the buffer has both), else any of them."""

    name: Literal["self_verification"]
    answers: PositiveInt
    buffer: PositiveInt
    balanced: bool

    def verifications(self, total: int) -> int:
        """Of one earlier answer, beside each question."""
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


class AdvantageConfig(Section):
    baseline: Literal["mean", "leave_one_out", "none"]
    scale: Literal["std", "none"]
    std: Literal["sample", "population"]
    std_eps: NonNegativeFloat
    tolerance: NonNegativeFloat
    select: Literal["all", "best"]


class EntropyControlConfig(Section):
    """How ``entropy_bonus`` follows a target entropy, in nats a token (None: it is constant); see
    `igrpo.training.entropy_control`."""

    target: PositiveFloat | None
    step: PositiveFloat
    maximum: PositiveFloat


class ObjectiveConfig(Section):
    """The loss. ``overlong_buffer``: the last tokens before ``sampling.max_completion_tokens``, over which the reward
    that is trained on falls linearly by 1 (None: it does not)."""

    name: str
    advantage: AdvantageConfig
    ratio: Literal["token", "sequence"]
    surrogate: Literal["clip", "detached", "reinforce"]
    clip_low: PositiveFloat | None
    clip_high: PositiveFloat | None
    aggregation: Literal["sequence_mean", "token_mean", "constant"]
    constant_divisor: PositiveFloat | None
    kl_beta: NonNegativeFloat
    kl_estimator: Literal["k1", "k2", "k3"]
    entropy_bonus: float
    entropy_control: EntropyControlConfig
    mask_truncated: bool
    overlong_buffer: PositiveInt | None

    @property
    def has_entropy_bonus(self) -> bool:
        """Whether the entropy may be in the loss."""
        return self.entropy_bonus != 0 or self.entropy_control.target is not None
