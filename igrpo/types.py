"""What flows through a step: questions, completions, scores, groups and traces. All frozen, all complete when made.

Legend of the dimension suffixes used all over the package:

==  =============================================================
S   questions of one rollout cycle
N   drafts of one question (Stage 1)
G   completions of one group (Stage 2 of iGRPO; all of GRPO)
T   tokens of one completion
B   rows of a packed tensor
V   vocabulary entries
H   hidden size
==  =============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

FinishReason = Literal["stop", "length"]

#: What became of an answer. The first three are verdicts; the others mean that no verdict could be had.
Outcome = Literal["right", "wrong", "unparsable", "refused", "timed_out", "crashed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsable", "refused", "timed_out", "crashed")

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Question:
    """One problem with its gold answer. ``id`` is unique in its data set and seeds the sampling."""

    id: str
    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens that a completion is conditioned on.

    ``draft_tokens`` counts the tokens of the draft that the prompt shows (0: none), ``draft_tokens_cut`` those that
    the draft's budget took out of its middle.
    """

    token_ids: tuple[int, ...]
    draft_tokens: int = 0
    draft_tokens_cut: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of an engine: T tokens, the stop token included when one was sampled.

    ``logprobs`` and ``sampling_entropies`` (nats, T values each) belong to the distribution that was sampled from
    (after temperature, top-k and top-p); ``policy_entropies`` to the policy itself, at temperature 1 (paper, Eq. 7).
    ``text`` is the decoded completion without special tokens that end it. ``policy_version`` counts weight syncs.
    """

    token_ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    sampling_entropies: tuple[float, ...]
    policy_entropies: tuple[float, ...]
    finish_reason: FinishReason
    policy_version: int

    @property
    def truncated(self) -> bool:
        """Whether the token limit ended it, not a stop token."""
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Score:
    """A reward's word on one completion.

    ``value`` trains and ranks; ``correct`` (None: unknown) feeds every right/wrong statistic and breaks ties;
    ``answer`` is the extracted answer in normalised form (None: none found); ``parts`` holds the components of a sum.
    """

    value: float
    correct: bool | None
    outcome: Outcome
    answer: str | None = None
    parts: Mapping[str, float] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class Group:
    """Completions of one prompt that share a baseline.

    ``stage`` is 1 where the prompt is the bare question, 2 where it shows a draft (or stands in its place).
    ``shown`` is the index, within the group before it, of the draft that the prompt shows (None: no draft).
    ``trained`` says whether its tokens get gradients.
    """

    stage: int
    prompt: Prompt
    completions: tuple[Completion, ...]
    scores: tuple[Score, ...]
    trained: bool
    shown: int | None = None

    def __post_init__(self) -> None:
        assert len(self.completions) == len(self.scores), "one score a completion"

    @property
    def rewards_G(self) -> list[float]:
        return [score.value for score in self.scores]


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that happened to one question in one step: its groups in the order in which they were sampled."""

    question: Question
    groups: tuple[Group, ...]

    def stage(self, number: int) -> Group | None:
        """The group of that stage, None when the question had none."""
        return next((group for group in self.groups if group.stage == number), None)
