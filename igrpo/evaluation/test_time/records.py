"""What is kept of a mode's answers to the questions of an evaluation, for its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.evaluation.test_time.base import Step


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step of one answer.

    ``correct`` is the verdict of the answer, and ``among`` those of the samples that it was picked from (True for
    right, False for wrong or unknown). ``tokens`` are those of the spent samples, ``prompt_tokens`` those of their
    different prompts. ``shown`` is the number of prompts with drafts, and ``cut`` that of those whose drafts were cut.
    ``scored``: a sample of ``among`` has a score.
    """

    name: str
    correct: bool
    among: tuple[bool, ...]
    samples: int
    tokens: int
    prompt_tokens: int
    shown: int
    cut: int
    scored: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """All answers of the modes to one question: by mode, the steps of each repetition.

    ``tokens`` is the number of tokens that were generated for them, beside those of the single-shot samples.
    """

    question: str
    tokens: int
    modes: Mapping[str, tuple[tuple[StepRecord, ...], ...]]


def step_record(step: Step, samples: Mapping[SampleKey, EvaluatedSample]) -> StepRecord:
    """Return the record of a step of which ``samples`` has all samples."""
    spent = [samples[key] for key in step.spent]
    prompts = {(sample.kind, sample.context): sample for sample in spent if sample.context}
    bare = next((sample.prompt_tokens for sample in spent if not sample.context), 0)
    return StepRecord(
        name=step.name,
        correct=samples[step.answer].correct,
        among=tuple(samples[key].correct for key in step.among),
        samples=len(spent),
        tokens=sum(len(sample.token_ids) for sample in spent),
        prompt_tokens=bare + sum(sample.prompt_tokens for sample in prompts.values()),
        shown=len(prompts),
        cut=sum(sample.draft_tokens_cut > 0 for sample in prompts.values()),
        scored=any(samples[key].scored for key in step.among),
    )
