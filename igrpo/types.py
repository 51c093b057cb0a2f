"""Data of a training step: questions, prompts, completions, scores, samples and rollouts. All classes are frozen.

Dimension suffixes, used throughout the package:

==  =============================================================
S   questions of one rollout cycle
N   drafts of one question
G   samples of one training group (refinements in iGRPO, answers in GRPO)
T   tokens of one completion
B   rows of a packed tensor
V   vocabulary entries
H   hidden size
==  =============================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

FinishReason = Literal["stop", "length"]

#: Outcome of scoring an answer. The first three are verdicts. The others mean that there is no verdict; for the last,
#: there is no reward either, and the completion is not trained.
Outcome = Literal["right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unparsable", "refused", "timed_out", "crashed", "unscored")

#: Purpose of a sample. The first three answer the question: from the bare question (``answer``), from the bare question
#: in order to be shown to refinements (``draft``), or given earlier samples (``refinement``). A ``critique`` comments
#: on an answer, and a ``verification`` says whether an earlier answer, usually to another question, is right.
Role = Literal["answer", "draft", "refinement", "critique", "verification"]
ROLES: tuple[Role, ...] = ("answer", "draft", "refinement", "critique", "verification")
ANSWER_ROLES: tuple[Role, ...] = ("answer", "draft", "refinement")

#: Why dynamic sampling drops a question: nothing that it would train on has an advantage.
Dropped = Literal["all_right", "all_wrong", "no_variance"]


@dataclass(frozen=True, slots=True)
class Question:
    """A problem with its gold answer. ``id`` is unique within its data set and enters the seeds of sampling.

    ``options`` are the texts of a multiple-choice question in the order of their letters, which ``problem`` shows, too;
    the answer is then a letter.
    """

    id: str
    problem: str
    answer: str
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))  # JSON has lists


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


#: Identity of a sample within its rollout: the sampling round (from 1), and the index within the round (from 0).
SampleId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """Completion with its prompt, role and score.

    ``score`` is None if the reward gave none, or if the sample does not answer the question. ``context`` has the ids of
    the samples that the prompt shows, first choice first. ``verified`` is what a verification is about.
    """

    id: SampleId
    role: Role
    prompt: Prompt
    completion: Completion
    score: Score | None
    context: tuple[SampleId, ...] = ()
    verified: Verified | None = None


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """Samples that are trained with a common baseline. All of them have a score.

    ``prompt``: the samples are trained as answers to this prompt (None: each to the prompt that it was sampled from).
    """

    samples: tuple[Sample, ...]
    prompt: Prompt | None = None

    def __post_init__(self) -> None:
        assert all(sample.score is not None for sample in self.samples), "a trained sample has a score"

    @property
    def scores_G(self) -> list[Score]:
        return scores(self.samples)

    def trained_prompt(self, sample: Sample) -> Prompt:
        """Return the prompt that a sample of the group is trained as an answer to."""
        return sample.prompt if self.prompt is None else self.prompt


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything that happened to one question in one step: its samples in sampling order, and the groups to train.

    ``attempt`` is the number of dropped questions that this one replaces (0: none). A ``dropped`` question is measured,
    logged and counted in the budget, but not trained on (see `igrpo.training.dynamic_sampling`).
    """

    question: Question
    samples: tuple[Sample, ...] = ()
    groups: tuple[TrainingGroup, ...] = ()
    attempt: int = 0
    dropped: Dropped | None = None

    def of(self, *roles: Role) -> tuple[Sample, ...]:
        """Return the samples of these roles."""
        return tuple(sample for sample in self.samples if sample.role in roles)

    @property
    def rounds(self) -> tuple[tuple[Sample, ...], ...]:
        """Samples by sampling round. The samples of a round have the same role and prompt."""
        return tuple(tuple(samples) for _, samples in groupby(self.samples, key=lambda sample: sample.id[0]))

    def shown(self, sample: Sample) -> Sample | None:
        """Return the first sample that the prompt of ``sample`` shows, or None."""
        return self._by_id[sample.context[0]] if sample.context else None

    def candidates(self, sample: Sample) -> tuple[Sample, ...]:
        """Return the samples from which those that the prompt of ``sample`` shows were chosen.

        They are the round of the first sample shown or, if none is shown, the latest earlier round of answers.
        """
        earlier = [samples for samples in self.rounds if samples[0].id[0] < sample.id[0]]
        if sample.context:
            return next(samples for samples in earlier if samples[0].id[0] == sample.context[0][0])
        return next((samples for samples in reversed(earlier) if samples[0].role in ANSWER_ROLES), ())

    @property
    def trained_ids(self) -> frozenset[SampleId]:
        """Ids of the samples in training groups."""
        return frozenset(sample.id for group in self.groups for sample in group.samples)

    def with_completions(self, completions: Mapping[SampleId, Completion]) -> Rollout:
        """Return a copy in which the samples with these ids have other completions."""

        def changed(samples: Iterable[Sample]) -> tuple[Sample, ...]:
            return tuple(replace(s, completion=completions[s.id]) if s.id in completions else s for s in samples)

        groups = tuple(replace(group, samples=changed(group.samples)) for group in self.groups)
        return replace(self, samples=changed(self.samples), groups=groups)

    @property
    def _by_id(self) -> dict[SampleId, Sample]:
        return {sample.id: sample for sample in self.samples}


def scored(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return the samples that have a score."""
    return tuple(sample for sample in samples if sample.score is not None)


def scores(samples: Iterable[Sample]) -> list[Score]:
    """Return the scores of the samples that have one."""
    return [sample.score for sample in samples if sample.score is not None]
