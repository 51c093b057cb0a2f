"""One answer of one mode to one question: its draws, its picks, and the samples that it drew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from igrpo.evaluation.concurrency import together
from igrpo.evaluation.sampler import Sampler, SampleStore
from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.evaluation.test_time.aids import Aids
from igrpo.evaluation.test_time.picking import Attempt, Pick, best_valued
from igrpo.evaluation.voting import vote
from igrpo.generation.base import SamplingParams
from igrpo.rewards.base import checked_score
from igrpo.seeding import derive_seed
from igrpo.types import Question

if TYPE_CHECKING:  # it imports transformers
    from igrpo.prompts.builder import PromptBuilder


@runtime_checkable
class Waves(Protocol):
    """An engine that holds requests back until every worker has made one (`BatchBarrier`)."""

    def register(self, count: int = 1) -> None:
        """Add workers."""
        ...

    def unregister(self, count: int = 1) -> None:
        """Remove workers."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """How an evaluation samples. ``store`` is that of the sampler; so is the engine ``waves``, if it is a barrier."""

    sampler: Sampler
    prompts: PromptBuilder
    params: SamplingParams
    seed: int
    store: SampleStore | None = None
    waves: Waves | None = None

    @contextmanager
    def worker(self) -> Iterator[None]:
        """The block of a worker that the engine waits for; at its end, it does so no longer."""
        try:
            yield
        finally:
            if self.waves is not None:
                self.waves.unregister()

    @contextmanager
    def at_once(self, requests: int) -> Iterator[None]:
        """The block in which a worker makes several requests at the same time."""
        more = 0 if self.waves is None else max(requests - 1, 0)
        if self.waves is not None:
            self.waves.register(more)
        try:
            yield
        finally:
            if self.waves is not None:
                self.waves.unregister(more)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the modes of an evaluation share."""

    setup: Setup
    aids: Aids
    budgets: Sequence[int]


class QuestionContext:
    """A `ModeContext`: repetition number ``repeat`` of the mode ``name`` for one question.

    Args:
        shared: what the modes share.
        question: the question with its gold answer, which only the sampler's reward and the oracle see.
        name: name of the mode's settings. It begins the kinds of its samples.
        repeat: number of the repetition, from 0.
        answers: answers to the bare question, for this repetition alone.
    """

    def __init__(
        self, shared: Shared, question: Question, name: str, repeat: int, answers: Sequence[EvaluatedSample]
    ) -> None:
        self._shared, self._setup, self._question = shared, shared.setup, question
        self.name, self._repeat = name, repeat
        self._answers = tuple(answers)
        self.samples: dict[SampleKey, EvaluatedSample] = {sample.key: sample for sample in answers}

    @property
    def budgets(self) -> Sequence[int]:
        """See `ModeContext`."""
        return self._shared.budgets

    async def answers(self, count: int) -> tuple[Attempt, ...]:
        """See `ModeContext`."""
        assert count <= len(self._answers), "more than the mode's `bare` says"
        return tuple(_attempt(sample) for sample in self._answers[:count])

    async def refinements(
        self, step: str, shown: Sequence[Sequence[Attempt]], *, each: int = 1, max_tokens: int | None = None
    ) -> tuple[Attempt, ...]:
        """See `ModeContext`."""
        sampler, params = self._setup.sampler, self._setup.params
        if max_tokens is not None:
            params = replace(params, max_new_tokens=min(max_tokens, params.max_new_tokens))
        kind, first = f"{self.name}/{step}", self._repeat * len(shown) * each
        blocks = [range(start, start + each) for start in range(first, first + len(shown) * each, each)]
        requests = sum(sampler.requests(self._question, kind, block) for block in blocks)
        calls = [
            sampler.sample(
                self._question,
                self._setup.prompts.refinement_prompt(self._question, [draft.completion for draft in drafts]),
                params,
                kind,
                block,
                context=[draft.key for draft in drafts],
            )
            for drafts, block in zip(shown, blocks, strict=True)
        ]
        with self._setup.at_once(requests):
            drawn = [sample for block in await together(calls) for sample in block]
        self.samples |= {sample.key: sample for sample in drawn}
        return tuple(_attempt(sample) for sample in drawn)

    async def pick(self, how: Pick, among: Sequence[Attempt], *, shown_in: tuple[str, int] | None = None) -> Attempt:
        """See `ModeContext`."""
        earlier = None if shown_in is None else self._picked_before(*shown_in, among)
        if earlier is not None:
            return earlier
        keys = [part for attempt in among for part in attempt.key]
        rng = random.Random(derive_seed("test_time_pick", self._setup.seed, self._question.id, *keys))
        match how:
            case "majority":
                answers, same = [attempt.answer for attempt in among], self._shared.aids.equality
                return among[(await asyncio.to_thread(vote, answers, same, rng)).pick]
            case "judge":
                return among[await self._judged(among, rng)]
            case "oracle":
                right = [attempt for attempt in among if self.samples[attempt.key].correct]
                return rng.choice(right or among)
            case "random":
                return rng.choice(among)

    def rng(self, purpose: str) -> random.Random:
        """See `ModeContext`."""
        seed = derive_seed("test_time", self._setup.seed, self._question.id, self.name, self._repeat, purpose)
        return random.Random(seed)

    async def _judged(self, among: Sequence[Attempt], rng: random.Random) -> int:
        """Return the index of the sample that the judge values most; a random one if it values none."""
        blind = replace(self._question, answer="")
        judge = self._shared.aids.judges[self.name]
        scores = await checked_score(judge, blind, [attempt.completion for attempt in among])
        best = best_valued([None if score is None else score.value for score in scores])
        return rng.randrange(len(among)) if best is None else best

    def _picked_before(self, step: str, samples: int, among: Sequence[Attempt]) -> Attempt | None:
        """Return what an interrupted evaluation has picked: a judge need not decide twice in the same way."""
        store = self._setup.store
        if store is None:
            return None
        keys = ((f"{self.name}/{step}", index) for index in range(self._repeat * samples, (self._repeat + 1) * samples))
        kept = [sample for key in keys if (sample := store.get(self._question.id, key)) is not None]
        return next((attempt for attempt in among for sample in kept if sample.context == (attempt.key,)), None)


def _attempt(sample: EvaluatedSample) -> Attempt:
    return Attempt(sample.key, sample.score.answer, sample.completion)
