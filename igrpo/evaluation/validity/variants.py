"""Sampling for the check of sensitivity: the same questions under other prompts or at other temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from igrpo.evaluation.concurrency import together
from igrpo.evaluation.sampler import Sampler, SampleStore
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.sensitivity import VerdictsOf
from igrpo.generation.base import Engine, SamplingParams
from igrpo.rewards.base import Reward, checked_score
from igrpo.types import Prompt, Question, Score


class QuestionPrompts(Protocol):
    """Builds the prompts of bare questions."""

    def question_prompt(self, question: Question) -> Prompt: ...

    def fits(self, question: Question) -> bool: ...


@dataclass(frozen=True, slots=True)
class Variant:
    """Another way to ask. ``name`` is the setting with its value, such as ``prompt=boxed``."""

    name: str
    prompts: QuestionPrompts
    params: SamplingParams

    @property
    def kind(self) -> str:
        """Kind of the variant's samples."""
        return f"sensitivity/{self.name}"


def at_temperature(params: SamplingParams, temperature: float) -> SamplingParams:
    """Return the parameters at another temperature; 0 is greedy decoding, which has no filters."""
    if temperature:
        return replace(params, temperature=temperature)
    return replace(params, temperature=0.0, top_p=1.0, top_k=0)


class Variants:
    """Samples and judges questions under variants.

    Args:
        engine: engine to sample from.
        reward: gives the verdicts of all variants, the main one included.
        seed: the run's seed.
        samples: number of samples per question and variant; greedy decoding has one.
        store: where samples are kept (None: nowhere).
    """

    def __init__(
        self, engine: Engine, reward: Reward, *, seed: int, samples: int, store: SampleStore | None = None
    ) -> None:
        self._sampler, self._reward, self._samples = Sampler(engine, reward, seed, store), reward, samples

    async def verdicts(self, variant: Variant, questions: Sequence[Question]) -> VerdictsOf:
        """Sample all questions under a variant, and return the verdicts by question.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: a prompt does not fit the model.
        """
        indices = range(self._samples if variant.params.temperature else 1)
        calls = [
            self._sampler.sample(
                question, variant.prompts.question_prompt(question), variant.params, variant.kind, indices
            )
            for question in questions
        ]
        return {
            question.id: [sample.correct for sample in samples]
            for question, samples in zip(questions, await together(calls), strict=True)
        }

    async def judged(
        self, questions: Sequence[Question], samples: Mapping[str, Sequence[EvaluatedSample]]
    ) -> VerdictsOf:
        """Judge samples that exist, by question, as those of the variants are judged."""
        calls = [
            checked_score(self._reward, question, [sample.completion for sample in samples[question.id]])
            for question in questions
        ]
        return {
            question.id: [_is_right(score) for score in scores]
            for question, scores in zip(questions, await together(calls), strict=True)
        }


def _is_right(score: Score | None) -> bool:
    return score is not None and score.correct is True
