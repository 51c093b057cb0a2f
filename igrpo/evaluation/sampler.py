"""Sampling of evaluated samples: every sample of an evaluation is drawn, scored and kept here."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Protocol

from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.generation.base import Engine, SamplingParams, complete
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Prompt, Question, Score

_UNSCORED = Score(0.0, None, "unscored")


class SampleStore(Protocol):
    """Samples that an interrupted evaluation has kept."""

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        """Return a kept sample; None if there is none."""
        ...

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        """Keep samples, so that no later end of the process loses them."""
        ...


class Sampler:
    """Draws and scores samples. A sample that the store has is not drawn again.

    Args:
        engine: engine to sample from.
        reward: gives verdicts and values.
        seed: the run's seed. The seed of a sample is a function of it, the question, the kind and the index.
        store: where samples are kept (None: nowhere, as in evaluations during training).
    """

    def __init__(self, engine: Engine, reward: Reward, seed: int, store: SampleStore | None = None) -> None:
        self._engine, self._reward, self._seed, self._store = engine, reward, seed, store

    async def sample(
        self,
        question: Question,
        prompt: Prompt,
        params: SamplingParams,
        kind: str,
        indices: Sequence[int],
        *,
        context: Sequence[SampleKey] = (),
    ) -> tuple[EvaluatedSample, ...]:
        """Return one sample per index, in the order of the indices.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: the prompt does not fit the model.
        """
        kept = {index: self._kept(question, (kind, index)) for index in indices}
        missing = [index for index, sample in kept.items() if sample is None]
        seeds = [derive_seed("evaluation", self._seed, question.id, kind, index) for index in missing]
        if missing:
            completions = await complete(self._engine, prompt, params, seeds)
            scores = await checked_score(self._reward, question, completions)
            drawn = [
                _evaluated(question, prompt, kind, index, seed, tuple(context), completion, score or _UNSCORED)
                for index, seed, completion, score in zip(missing, seeds, completions, scores, strict=True)
            ]
            if self._store is not None:
                self._store.add(drawn)
            kept |= {sample.index: sample for sample in drawn}
        return tuple(sample for index in indices if (sample := kept[index]) is not None)

    def _kept(self, question: Question, key: SampleKey) -> EvaluatedSample | None:
        return None if self._store is None else self._store.get(question.id, key)


def _evaluated(
    question: Question,
    prompt: Prompt,
    kind: str,
    index: int,
    seed: int,
    context: tuple[SampleKey, ...],
    completion: Completion,
    score: Score,
) -> EvaluatedSample:
    entropies = completion.policy_entropies
    return EvaluatedSample(
        question=question.id,
        kind=kind,
        index=index,
        seed=seed,
        context=context,
        prompt_tokens=len(prompt.token_ids),
        draft_tokens_cut=prompt.draft_tokens_cut,
        text=completion.text,
        opened=completion.opened,
        token_ids=completion.token_ids,
        finish_reason=completion.finish_reason,
        logprob=fmean(completion.logprobs) if completion.logprobs else 0.0,
        entropy=fmean(entropies) if entropies else None,
        score=score,
    )
