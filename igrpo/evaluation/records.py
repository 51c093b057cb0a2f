"""Samples of an evaluation by question."""

from __future__ import annotations

from dataclasses import dataclass, replace

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.types import Completion, Question, Score


@dataclass(frozen=True, slots=True)
class Answers:
    """Samples of one question and kind, in the order of their indices."""

    samples: tuple[EvaluatedSample, ...]

    @property
    def completions(self) -> tuple[Completion, ...]:
        return tuple(sample.completion for sample in self.samples)

    @property
    def scores(self) -> tuple[Score, ...]:
        return tuple(sample.score for sample in self.samples)

    @property
    def without_texts(self) -> Answers:
        """The same scores, without tokens and texts, for processes that need to know no more."""
        return Answers(tuple(replace(sample, text="", token_ids=()) for sample in self.samples))

    @property
    def correct(self) -> tuple[bool, ...]:
        """Verdicts: True for right, False for wrong or unknown."""
        return tuple(sample.correct for sample in self.samples)


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """All samples of one question. None: that part of the evaluation is off."""

    question: Question
    single_shot: Answers
    greedy: Answers | None
    draft_conditioned: Answers | None
    draft_conditioned_oracle: Answers | None
