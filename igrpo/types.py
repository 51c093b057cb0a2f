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
from typing import Literal

FinishReason = Literal["stop", "length"]

#: What became of an answer. The first three are verdicts; the others mean that no verdict could be had, and the last
#: that there is no reward either (a completion of training then leaves its group).
Outcome = Literal["right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored")


#: Why dynamic sampling drops a question: nothing that it would train on has an advantage.
Dropped = Literal["all_right", "all_wrong", "no_variance"]


@dataclass(frozen=True, slots=True)
class Question:
    """One problem with its gold answer. ``id`` is unique in its data set and seeds the sampling."""

    id: str
    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens that a completion is conditioned on.

    ``draft_tokens`` counts the tokens of the drafts that the prompt shows (0: none), ``critique_tokens`` those of a
    critique, ``draft_tokens_cut`` those that their budget took out of their middle. The layout's tokens, separators
    between drafts and the mark of a cut are in none of them. ``opened`` is the end of the prompt that belongs to the
    completion: the ``<think>`` that a chat template opens, and what follows it; mostly empty.
    """

    token_ids: tuple[int, ...]
    draft_tokens: int = 0
    draft_tokens_cut: int = 0
    critique_tokens: int = 0
    opened: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of an engine: T tokens, the stop token included when one was sampled.

    ``logprobs`` and ``sampling_entropies`` (nats, T values each) belong to the distribution that was sampled from
    (after temperature, top-k and top-p); ``policy_entropies`` to the policy itself, at temperature 1 (paper, Eq. 7).
    Entropies are None where the engine reports none and nobody measured them (see `igrpo.training.entropies`).
    ``text`` is what rewards and readers see: ``opened``, the text that the prompt had opened (see `Prompt`), and the
    decoded tokens without special tokens that end them. Tokens, lengths and log-probs are those that were sampled.
    ``policy_version`` counts weight syncs.
    """

    token_ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    sampling_entropies: tuple[float, ...] | None
    policy_entropies: tuple[float, ...] | None
    finish_reason: FinishReason
    policy_version: int
    opened: str = ""

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
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """An earlier answer that a prompt asks a verdict about: the id of its question, its text, whether it is right."""

    question_id: str
    text: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Completions of one prompt that share a baseline.

    ``stage`` is 1 where the prompt is the bare question, 2 where it shows a draft (or stands in its place), 3 where it
    asks for no answer but for a judgement of one: a critique, or a verdict about what was ``verified``.
    ``shown`` are the indices, within the group that is ``shown_from`` places before it, of the drafts that the prompt
    shows, the first choice first.
    ``trained`` says whether its tokens get gradients, as answers to the prompt that they were sampled from, with a
    baseline of their own (see ``Trace.lessons`` for others).
    ``unscored`` are completions without a Score, in no statistic of rewards: the reward could give none, or they are
    critiques.
    """

    stage: int
    prompt: Prompt
    completions: tuple[Completion, ...]
    scores: tuple[Score, ...]
    trained: bool
    shown: tuple[int, ...] = ()
    unscored: tuple[Completion, ...] = ()
    shown_from: int = 1
    verified: Verified | None = None

    def __post_init__(self) -> None:
        assert len(self.completions) == len(self.scores), "one score a completion"

    @property
    def rewards_G(self) -> list[float]:
        return [score.value for score in self.scores]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A completion that is trained as an answer to ``prompt``. ``transferred``: it was sampled from another one."""

    prompt: Prompt
    completion: Completion
    score: Score
    transferred: bool


#: Lessons that share a baseline.
Cohort = tuple[Lesson, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that happened to one question in one step: its groups in the order in which they were sampled.

    ``lessons`` are trained besides the groups that say so themselves. ``attempt`` counts the questions that were asked
    before it in the same place of the step; one that is ``dropped`` is measured, kept and paid for, and not trained on
    (see `igrpo.training.dynamic_sampling`).
    """

    question: Question
    groups: tuple[Group, ...]
    lessons: tuple[Cohort, ...] = ()
    attempt: int = 0
    dropped: Dropped | None = None

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """All that is trained: the groups that are, then the lessons."""
        trained = [group for group in self.groups if group.trained]
        return (*(lessons(group, group.prompt) for group in trained), *self.lessons)

    @property
    def sampled(self) -> int:
        """Completions that were sampled for the question."""
        return sum(len(group.completions) + len(group.unscored) for group in self.groups)

    def drafts_of(self, index: int) -> Group | None:
        """The group whose completions the prompt of that group shows, or could have shown; None for the first."""
        before = index - self.groups[index].shown_from
        return self.groups[before] if before >= 0 else None

    def stage(self, number: int) -> Group | None:
        """The group of that stage, None when the question had none."""
        return next((group for group in self.groups if group.stage == number), None)


def lessons(group: Group, prompt: Prompt) -> Cohort:
    """The group's completions, to be trained as answers to ``prompt``, with the group's baseline."""
    moved = prompt != group.prompt
    return tuple(Lesson(prompt, c, s, moved) for c, s in zip(group.completions, group.scores, strict=True))
