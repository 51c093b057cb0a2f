"""Builders of samples and rollouts for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from igrpo.types import Completion, Prompt, Question, Role, Rollout, Sample, Score, TrainingGroup, Verified, scored

QUESTION = Question("q", "", "")
BARE = Prompt((1,))
RIGHT, WRONG = Score(1.0, True, "right"), Score(0.0, False, "wrong")


def completion(*ids: int, text: str = "", entropy: float | None = None, truncated: bool = False) -> Completion:
    """With log-probs of -1, and the same entropy at each token (None: not measured)."""
    entropies = None if entropy is None else (entropy,) * len(ids)
    return Completion(ids, text, (-1.0,) * len(ids), entropies, entropies, "length" if truncated else "stop", 0)


def samples(
    role: Role,
    completions: Sequence[Completion],
    scores: Sequence[Score | None],
    *,
    number: int = 1,
    prompt: Prompt = BARE,
    shows: Sequence[Sample] = (),
    verified: Verified | None = None,
) -> tuple[Sample, ...]:
    """The samples of round ``number``, whose prompt shows the samples ``shows``."""
    context = tuple(sample.id for sample in shows)
    return tuple(
        Sample((number, i), role, prompt, one, score, context, verified)
        for i, (one, score) in enumerate(zip(completions, scores, strict=True))
    )


def scored_samples(role: Role, *scores: Score | None, number: int = 1, **changes: Any) -> tuple[Sample, ...]:
    """Samples of two tokens each, which differ from one another."""
    return samples(role, [completion(10 * number + i, 2) for i in range(len(scores))], scores, number=number, **changes)


def rescored(of: Sequence[Sample], scores: Sequence[Score | None]) -> tuple[Sample, ...]:
    return tuple(replace(sample, score=score) for sample, score in zip(of, scores, strict=True))


def group(of: Sequence[Sample], prompt: Prompt | None = None) -> TrainingGroup:
    """The training group of those that have a score."""
    return TrainingGroup(scored(of), prompt)


def rollout(
    *rounds: Sequence[Sample], trained: Sequence[Sequence[Sample]] = (), question: Question = QUESTION, **changes: Any
) -> Rollout:
    """A rollout of these rounds, each of ``trained`` with a group of its own, given its own prompts."""
    groups = changes.pop("groups", tuple(group(of) for of in trained))
    return Rollout(question, tuple(sample for of in rounds for sample in of), groups, **changes)


def answered(*scores: Score | None, trained: bool = True, **changes: Any) -> Rollout:
    """One round of answers, which is trained."""
    answers = scored_samples("answer", *scores)
    return rollout(answers, trained=[answers] if trained else [], **changes)


def shape(of: Rollout) -> list[tuple[Role, bool, int]]:
    """(role, whether it is trained, samples) of each round."""
    trained = of.trained_ids
    return [(each[0].role, all(one.id in trained for one in scored(each)), len(each)) for each in of.rounds]


def values(of: Sequence[Sample]) -> list[float]:
    """The rewards of those that have one."""
    return [sample.score.value for sample in of if sample.score is not None]
