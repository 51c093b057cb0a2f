"""Data of a training step: questions, prompts, completions, scores, groups and traces. All classes are frozen.

Dimension suffixes, used throughout the package:

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

#: Outcome of scoring an answer. The first three are verdicts. The others mean that there is no verdict; for the last,
#: there is no reward either, and the completion leaves its group.
Outcome = Literal["right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored")


#: Why dynamic sampling drops a question: nothing that it would train on has an advantage.
Dropped = Literal["all_right", "all_wrong", "no_variance"]


@dataclass(frozen=True, slots=True)
class Question:
    """A problem with its gold answer. ``id`` is unique within its data set and enters the seeds of sampling."""

    id: str
    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens that a completion is conditioned on.

    ``draft_tokens`` is the number of tokens of the drafts that the prompt shows (0: none), ``critique_tokens`` that of
    a critique, and ``draft_tokens_cut`` the number removed from their middle to fit their budget. None of them counts
    the layout, separators between drafts, or the mark of a cut. ``opened`` is the end of the prompt that belongs to
    the completion: the ``<think>`` that a chat template opens and what follows it. It is usually empty.
    """

    token_ids: tuple[int, ...]
    draft_tokens: int = 0
    draft_tokens_cut: int = 0
    critique_tokens: int = 0
    opened: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """Sample of an engine: T tokens, including the stop token if one was sampled.

    ``logprobs`` and ``sampling_entropies`` (nats, T values each) are those of the distribution that was sampled from,
    after temperature, top-k and top-p; ``policy_entropies`` are the policy's own, at temperature 1 (paper, Eq. 7).
    Entropies are None if the engine reports none and they were not measured (see `igrpo.training.entropies`).
    ``text`` is what rewards see: ``opened`` (see `Prompt`), then the decoded tokens without the special tokens at
    their end. Tokens, lengths and log-probs are of the sampled tokens alone. ``policy_version`` is the number of
    weight syncs before the sample.
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
        """True if the token limit ended the completion, not a stop token."""
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Score:
    """The score that a reward gives one completion.

    ``value`` is what trains and ranks. ``correct`` (None: unknown) is used by accuracies and to break ties. ``answer``
    is the extracted answer in normalised form (None: none found). ``parts`` are the components of a weighted sum.
    """

    value: float
    correct: bool | None
    outcome: Outcome
    answer: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """An earlier answer that a prompt asks to verify: the id of its question, its text, and whether it is right."""

    question_id: str
    text: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Completions of one prompt that share a baseline.

    ``stage`` is 1 if the prompt is the bare question, 2 if it shows a draft (or takes the place of such a prompt), and
    3 if it asks to judge an answer: for a critique, or for a verdict about what was ``verified``.
    ``shown`` are the indices of the drafts that the prompt shows, first choice first, within the group that is
    ``shown_from`` places earlier.
    ``trained``: the tokens get gradients, as answers to the prompt that they were sampled from, with the group's own
    baseline (see ``Trace.lessons`` for other ways).
    ``unscored`` are completions without a Score, which no statistic of rewards includes: the reward gave none, or they
    are critiques.
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
    """A completion that is trained as an answer to ``prompt``. ``transferred``: it was sampled from another prompt."""

    prompt: Prompt
    completion: Completion
    score: Score
    transferred: bool


#: Lessons that share a baseline.
Cohort = tuple[Lesson, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that happened to one question in one step: its groups, in sampling order.

    ``lessons`` are trained in addition to the groups with ``trained`` set. ``attempt`` is the number of questions that
    were asked before it in the same place of the step. A ``dropped`` question is measured, logged and counted in the
    budget, but not trained on (see `igrpo.training.dynamic_sampling`).
    """

    question: Question
    groups: tuple[Group, ...]
    lessons: tuple[Cohort, ...] = ()
    attempt: int = 0
    dropped: Dropped | None = None

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Everything that is trained: groups with ``trained`` set, then the lessons."""
        trained = [group for group in self.groups if group.trained]
        return (*(lessons(group, group.prompt) for group in trained), *self.lessons)

    @property
    def sampled(self) -> int:
        """Number of completions sampled for the question."""
        return sum(len(group.completions) + len(group.unscored) for group in self.groups)

    def drafts_of(self, index: int) -> Group | None:
        """Return the group whose completions the prompt of group ``index`` could show; None for the first."""
        before = index - self.groups[index].shown_from
        return self.groups[before] if before >= 0 else None

    def stage(self, number: int) -> Group | None:
        """Return the first group of a stage; None if the question has none."""
        return next((group for group in self.groups if group.stage == number), None)


def lessons(group: Group, prompt: Prompt) -> Cohort:
    """Return a group's completions as training samples for ``prompt``, with the group's baseline."""
    moved = prompt != group.prompt
    return tuple(Lesson(prompt, c, s, moved) for c, s in zip(group.completions, group.scores, strict=True))
