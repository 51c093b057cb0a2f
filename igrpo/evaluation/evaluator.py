"""Evaluation of a policy on held-out questions.

There are three accuracies. The first one is the main result:

single-shot
    Mean accuracy of ``samples`` sampled answers to the bare question. Greedy decoding is reported in addition.
draft-conditioned
    The same samples serve as drafts, without further sampling of drafts. Refinement j sees draft j and not its reward.
    The comparison is fair, because one sampled draft is shown and no gold answer is used.
draft-conditioned, oracle
    The prompt shows the draft with the best reward out of N. The reward knows the gold answer, so this shows
    what draft selection could achieve, and is not the accuracy of a deployable system. It is off unless requested. The
    samples are split into blocks of N.

An answer counts as right if the reward says so. An answer whose check was refused, timed out or crashed, or that the
reward could not score, counts as not right (``outcomes`` has the shares of these cases). All seeds are functions of
(seed, question, kind of sample, index), so evaluations of one run differ only in the weights.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from igrpo.distributed import gather_shares, share
from igrpo.evaluation.result import Answers, EvaluationResult, QuestionRecord, summarise
from igrpo.generation.base import Engine, SamplingParams, complete
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Question, Score

_UNSCORED = Score(0.0, None, "unscored")
#: Kinds of samples in the seeds; the other two are ``greedy`` and ``oracle``.
_BARE, _REFINEMENT = 1, 2

_R = TypeVar("_R")


class Evaluator:
    """Measures the engine's current policy on fixed questions, with fixed seeds.

    Args:
        engine: engine to sample from, with the weights that were synced last.
        reward: reward whose ``correct`` gives the verdicts; its ``value`` selects the oracle's drafts.
        prompts: builds the bare and the refinement prompt.
        questions: the Q held-out questions, with unique ids.
        sampling: parameters of the sampled answers; greedy decoding uses their length limit and stop tokens.
        samples: k, the number of sampled answers per question.
        greedy: also decode one greedy answer per question.
        draft_conditioned: refine each of the k samples once.
        oracle_drafts: N, the number of drafts from which the oracle selects; 0 disables the oracle.
        seed: the run's seed.
        wrap: used for bit-exact evaluation. ``wrap(engine, calls)`` returns the engine for all bare questions, or for
            all refinements, on which exactly ``calls`` calls of ``sample`` are made. These calls may wait for each
            other (as in `BatchBarrier`).

    Raises:
        ValueError: a setting that cannot be evaluated.
    """

    def __init__(
        self,
        engine: Engine,
        reward: Reward,
        prompts: PromptBuilder,
        questions: Sequence[Question],
        *,
        sampling: SamplingParams,
        samples: int,
        greedy: bool,
        draft_conditioned: bool,
        oracle_drafts: int,
        seed: int,
        wrap: Callable[[Engine, int], Engine] | None = None,
    ) -> None:
        _check(questions, sampling, samples, oracle_drafts)
        self._engine = engine
        self._reward = reward
        self._prompts = prompts
        self._questions = tuple(questions)
        self._sampling = sampling
        self._samples = samples
        self._greedy = greedy
        self._draft_conditioned = draft_conditioned
        self._oracle_drafts = oracle_drafts
        self._seed = seed
        self._wrap = wrap

    async def run(self) -> EvaluationResult:
        """Evaluate all questions, with one coroutine per question.

        The engine batches the requests of the coroutines. Several processes share the questions.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: a prompt does not fit the model, or the reward gives no verdicts.
        """
        questions = share(self._questions)
        refinements = self._samples if self._draft_conditioned else 0
        if self._oracle_drafts:
            refinements += self._samples // self._oracle_drafts
        for_bare = self._wrapped_engine((2 if self._greedy else 1) * len(questions))
        for_refinements = self._wrapped_engine(refinements * len(questions))
        records = await _together([self._evaluate(question, for_bare, for_refinements) for question in questions])
        return summarise(gather_shares(records), self._reward.name)

    async def _evaluate(self, question: Question, for_bare: Engine, for_refinements: Engine) -> QuestionRecord:
        bare = self._prompts.question_prompt(question)
        asked = [complete(for_bare, bare, self._sampling, self._seeds(question, _BARE, range(self._samples)))]
        if self._greedy:
            params = replace(self._sampling, temperature=0.0, top_p=1.0, top_k=0)
            asked.append(complete(for_bare, bare, params, self._seeds(question, "greedy", [0])))
        answered = [await self._scored(question, completions) for completions in await _together(asked)]
        single_shot = answered[0]

        # Draft j -> refinement j; then the oracle's picks. One request per refinement, since all prompts differ.
        drafts = single_shot.completions if self._draft_conditioned else ()
        fair = [self._prompts.refinement_prompt(question, [draft]) for draft in drafts]
        oracle = [self._prompts.refinement_prompt(question, [draft]) for draft in self._oracle_picks(single_shot)]
        seeds = self._seeds(question, _REFINEMENT, range(len(fair))) + self._seeds(
            question, "oracle", range(len(oracle))
        )
        requests = zip(fair + oracle, seeds, strict=True)
        calls = [complete(for_refinements, prompt, self._sampling, [seed]) for prompt, seed in requests]
        refinements = [completion for (completion,) in await _together(calls)]
        return QuestionRecord(
            question=question,
            single_shot=single_shot,
            greedy=answered[1] if self._greedy else None,
            draft_conditioned=await self._scored(question, refinements[: len(fair)]) if fair else None,
            draft_conditioned_oracle=await self._scored(question, refinements[len(fair) :]) if oracle else None,
            drafts_cut=sum(prompt.draft_tokens_cut > 0 for prompt in fair),
        )

    def _seeds(self, question: Question, kind: int | str, indices: Sequence[int]) -> list[int]:
        return [derive_seed("evaluation", self._seed, question.id, kind, index) for index in indices]

    def _wrapped_engine(self, calls: int) -> Engine:
        return self._wrap(self._engine, calls) if self._wrap is not None and calls else self._engine

    async def _scored(self, question: Question, completions: Sequence[Completion]) -> Answers:
        scores = await checked_score(self._reward, question, completions)
        return Answers(tuple(completions), tuple(_UNSCORED if score is None else score for score in scores))

    def _oracle_picks(self, drafts: Answers) -> list[Completion]:
        """Return the best draft by reward of each complete block of N; ties go to a right draft, then to the first."""
        n = self._oracle_drafts
        if not n:
            return []
        picks = []
        for start in range(0, len(drafts.scores) - n + 1, n):
            block = range(start, start + n)
            best = max(block, key=lambda i: (drafts.scores[i].value, drafts.scores[i].correct is True))
            picks.append(drafts.completions[best])
        return picks


async def _together(calls: Sequence[Coroutine[Any, Any, _R]]) -> list[_R]:
    """Return all results in order. The first error cancels the other calls and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _check(questions: Sequence[Question], sampling: SamplingParams, samples: int, oracle_drafts: int) -> None:
    if not questions:
        raise ValueError("evaluation has no questions; give it a held-out split with at least one")
    twice = [name for name, count in Counter(question.id for question in questions).items() if count > 1]
    if twice:
        raise ValueError(
            f"evaluation question id '{twice[0]}' is used more than once; ids seed the sampling: make them unique"
        )
    if samples < 1:
        raise ValueError(f"evaluation.samples={samples} must be at least 1")
    if sampling.temperature <= 0:
        raise ValueError(
            f"evaluation.temperature={sampling.temperature} is not positive; the headline accuracy is sampled: set a "
            "temperature above 0 and read .../greedy/accuracy for greedy decoding"
        )
    if oracle_drafts < 0 or oracle_drafts > samples:
        raise ValueError(
            f"evaluation.oracle_drafts={oracle_drafts} must be between 0 (off) and evaluation.samples={samples}, "
            "whose answers are the drafts"
        )
