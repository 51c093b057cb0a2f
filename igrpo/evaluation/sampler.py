"""Sampling of evaluated samples: every sample of an evaluation is drawn, scored and kept here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from igrpo.evaluation.concurrency import together
from igrpo.evaluation.samples import (
    DRAFT_CONDITIONED,
    DRAFT_CONDITIONED_ORACLE,
    SINGLE_SHOT,
    EvaluatedSample,
    SampleKey,
)
from igrpo.generation.base import Engine, SamplingParams, complete
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Prompt, Question, Score

_UNSCORED = Score(0.0, None, "unscored")

#: What stands for a kind in the seeds of its samples, where it is not the kind's name. Other values would change the
#: samples of every evaluation.
_IN_SEEDS: dict[str, int | str] = {SINGLE_SHOT: 1, DRAFT_CONDITIONED: 2, DRAFT_CONDITIONED_ORACLE: "oracle"}

#: Samples per request to the engine if they are kept. A request returns when all of its samples are done, so a killed
#: evaluation loses the unfinished requests; one prompt is computed per request.
KEPT_PER_REQUEST = 8


class SampleStore(Protocol):
    """Samples that an interrupted evaluation has kept."""

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        """Return a kept sample; None if there is none."""
        ...

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        """Keep samples, so that no later end of the process loses them."""
        ...


@dataclass(frozen=True, slots=True)
class Draw:
    """A sample to draw: its index within its kind, its prompt, and the samples that the prompt shows."""

    index: int
    prompt: Prompt
    context: tuple[SampleKey, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """What the samples of a call have in common."""

    question: Question
    params: SamplingParams
    kind: str


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

    def through(self, engine: Engine) -> Sampler:
        """Return the same sampler with another engine, such as one that holds requests back (`BatchBarrier`)."""
        return Sampler(engine, self._reward, self._seed, self._store)

    def requests(self, question: Question, kind: str, indices: Sequence[int], *, apart: bool = False) -> int:
        """Return the number of requests to the engine for samples, given what the store has.

        ``apart`` is True for those of `sample_each`.
        """
        missing = sum(self._kept(question, (kind, index)) is None for index in indices)
        return missing if apart else -(-missing // self._per_request(missing))

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
        """Return one sample per index, all of them of ``prompt``, in the order of the indices.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: the prompt does not fit the model.
        """
        draws = [Draw(index, prompt, tuple(context)) for index in indices]
        return await self._sample(_Source(question, params, kind), draws, apart=False)

    async def sample_each(
        self, question: Question, params: SamplingParams, kind: str, draws: Sequence[Draw]
    ) -> tuple[EvaluatedSample, ...]:
        """Return samples of prompts that differ, each drawn by a request of its own, in the order of ``draws``.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: a prompt does not fit the model.
        """
        return await self._sample(_Source(question, params, kind), draws, apart=True)

    async def _sample(self, source: _Source, draws: Sequence[Draw], *, apart: bool) -> tuple[EvaluatedSample, ...]:
        found = {draw.index: self._kept(source.question, (source.kind, draw.index)) for draw in draws}
        missing = [draw for draw in draws if found[draw.index] is None]
        if missing:
            size = 1 if apart else self._per_request(len(missing))
            requests = [missing[start : start + size] for start in range(0, len(missing), size)]
            # What is kept is scored as it arrives. Otherwise the reward sees all samples of a call at once.
            groups = [requests] if self._store is None else [[request] for request in requests]
            drawn = [
                sample for group in await together([self._draw(source, one) for one in groups]) for sample in group
            ]
            found |= {sample.index: sample for sample in drawn}
        return tuple(sample for draw in draws if (sample := found[draw.index]) is not None)

    async def _draw(self, source: _Source, requests: Sequence[Sequence[Draw]]) -> list[EvaluatedSample]:
        """Draw samples of the same prompt by one request each, score all together, and keep them."""
        draws = [draw for request in requests for draw in request]
        seeds = {draw.index: sample_seed(self._seed, source.question.id, source.kind, draw.index) for draw in draws}
        calls = [
            complete(self._engine, request[0].prompt, source.params, [seeds[draw.index] for draw in request])
            for request in requests
        ]
        completions = [completion for made in await together(calls) for completion in made]
        scores = await checked_score(self._reward, source.question, completions)
        samples = [
            _evaluated(source, draw, seeds[draw.index], completion, score or _UNSCORED)
            for draw, completion, score in zip(draws, completions, scores, strict=True)
        ]
        if self._store is not None:
            self._store.add(samples)
        return samples

    def _per_request(self, missing: int) -> int:
        return max(missing, 1) if self._store is None else KEPT_PER_REQUEST

    def _kept(self, question: Question, key: SampleKey) -> EvaluatedSample | None:
        return None if self._store is None else self._store.get(question.id, key)


def sample_seed(seed: int, question: str, kind: str, index: int) -> int:
    """Return the seed of a sample, from the run's seed and the id of the question."""
    return derive_seed("evaluation", seed, question, _IN_SEEDS.get(kind, kind), index)


def _evaluated(source: _Source, draw: Draw, seed: int, completion: Completion, score: Score) -> EvaluatedSample:
    entropies = completion.policy_entropies
    return EvaluatedSample(
        question=source.question.id,
        kind=source.kind,
        index=draw.index,
        seed=seed,
        context=draw.context,
        prompt_tokens=len(draw.prompt.token_ids),
        draft_tokens_cut=draw.prompt.draft_tokens_cut,
        text=completion.text,
        opened=completion.opened,
        token_ids=completion.token_ids,
        finish_reason=completion.finish_reason,
        logprob=fmean(completion.logprobs) if completion.logprobs else 0.0,
        entropy=fmean(entropies) if entropies else None,
        score=score,
    )
