"""Evaluation of a policy on held-out questions.

There are three accuracies. The first one is the main result:

single-shot
    Mean accuracy of k sampled answers to the bare question. If requested, greedy decoding is reported in addition.
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

With an interval width, samples are drawn in rounds until the 95 % interval of the single-shot accuracy is narrower than
that, or k reaches ``samples``. Then the drawn samples are refined; refinements do not decide when to stop. All
questions have the same k, and their samples are the first k of an evaluation without an interval width (so are their
scores, unless the reward compares the completions of a call, which has those of one round). The criterion is the width
and not the mean, but the width is largest at an accuracy of 1/2, so stopping moves the mean a little away from 1/2: in
simulations (32 to 256 questions, k 2 to 16) by at most a quarter of the standard error of the first round, with
coverage of the interval as without stopping (0.94 to 0.98).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

from igrpo.distributed import from_main, gather_shares, share
from igrpo.evaluation.checks import check_settings
from igrpo.evaluation.result import Answers, EvaluationResult, QuestionRecord, estimate_answers, summarise
from igrpo.evaluation.rounds import is_narrow, round_ends
from igrpo.generation.base import Engine, SamplingParams, complete, keep_prompts
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward, checked_score
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Question, Score

_UNSCORED = Score(0.0, None, "unscored")
#: Kinds of samples in the seeds; the other two are ``greedy`` and ``oracle``.
_BARE, _REFINEMENT = 1, 2

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Answered:
    """Answers to the bare question, sampled and (None: not asked for) greedy."""

    question: Question
    single_shot: Answers
    greedy: Answers | None

    def extended(self, later: _Answered) -> _Answered:
        """Return the answers with the samples of a later round behind them."""
        first, second = self.single_shot, later.single_shot
        together = Answers(first.completions + second.completions, first.scores + second.scores)
        return replace(self, single_shot=together)


class Evaluator:
    """Measures the engine's current policy on fixed questions, with fixed seeds.

    Args:
        engine: engine to sample from, with the weights that were synced last.
        reward: reward whose ``correct`` gives the verdicts; its ``value`` selects the oracle's drafts.
        prompts: builds the bare and the refinement prompt.
        questions: the Q held-out questions, with unique ids.
        sampling: parameters of the sampled answers; greedy decoding uses their length limit and stop tokens.
        samples: k, the number of sampled answers per question; with ``interval_width``, the maximum.
        greedy: also decode one greedy answer per question.
        draft_conditioned: refine each of the k samples once.
        oracle_drafts: N, the number of drafts from which the oracle selects; 0 disables the oracle.
        seed: the run's seed.
        interval_width: width (a difference of shares) below which the interval of the single-shot accuracy ends the
            sampling. None: always ``samples`` per question.
        wrap: used for bit-exact evaluation. ``wrap(engine, calls)`` returns the engine for all bare questions of a
            round, or for all refinements, on which exactly ``calls`` calls of ``sample`` are made. These calls may
            wait for each other (as in `BatchBarrier`).

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
        interval_width: float | None = None,
        wrap: Callable[[Engine, int], Engine] | None = None,
    ) -> None:
        check_settings(questions, sampling, samples, oracle_drafts, interval_width)
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
        self._interval_width = interval_width
        self._wrap = wrap

    async def run(self) -> EvaluationResult:
        """Evaluate all questions, with one coroutine per question.

        The engine batches the requests of the coroutines. Several processes share the questions.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: a prompt does not fit the model, or the reward gives no verdicts.
        """
        with keep_prompts(self._engine):
            return await self._run(share(self._questions))

    async def _run(self, questions: Sequence[Question]) -> EvaluationResult:
        if self._interval_width is None:
            records = await self._all_samples(questions)
            return summarise(gather_shares(records), self._reward.name)
        answered, k = await self._rounds(questions, self._interval_width)
        engine = self._wrapped_engine(self._refinements(k) * len(questions))
        records = await _together([self._refine(answers, engine) for answers in answered])
        return summarise(gather_shares(records), self._reward.name, stopped=k < self._samples)

    async def _all_samples(self, questions: Sequence[Question]) -> list[QuestionRecord]:
        """Draw all samples of each question at once, and refine them as soon as this question's are scored."""
        for_bare = self._wrapped_engine((2 if self._greedy else 1) * len(questions))
        for_refinements = self._wrapped_engine(self._refinements(self._samples) * len(questions))

        async def evaluate(question: Question) -> QuestionRecord:
            answers = await self._answer(question, range(self._samples), for_bare, greedy=self._greedy)
            return await self._refine(answers, for_refinements)

        return await _together([evaluate(question) for question in questions])

    async def _rounds(self, questions: Sequence[Question], width: float) -> tuple[list[_Answered], int]:
        """Draw samples in rounds until the interval is narrower than ``width``; return the answers and k.

        The verdicts of all processes decide, and the main process's decision holds for all.
        """
        answered: list[_Answered] = []
        for start, end in pairwise([0, *round_ends(self._samples, self._oracle_drafts)]):
            greedy = self._greedy and start == 0
            engine = self._wrapped_engine((2 if greedy else 1) * len(questions))
            calls = [self._answer(question, range(start, end), engine, greedy=greedy) for question in questions]
            drawn = await _together(calls)
            answered = [old.extended(new) for old, new in zip(answered, drawn, strict=True)] if start else drawn
            scores = gather_shares([Answers((), answers.single_shot.scores) for answers in answered])
            if from_main(is_narrow(estimate_answers(scores), width)):
                break
        return answered, end

    async def _answer(self, question: Question, samples: range, engine: Engine, *, greedy: bool) -> _Answered:
        bare = self._prompts.question_prompt(question)
        asked = [complete(engine, bare, self._sampling, self._seeds(question, _BARE, samples))]
        if greedy:
            params = replace(self._sampling, temperature=0.0, top_p=1.0, top_k=0)
            asked.append(complete(engine, bare, params, self._seeds(question, "greedy", [0])))
        scored = [await self._scored(question, completions) for completions in await _together(asked)]
        return _Answered(question, scored[0], scored[1] if greedy else None)

    def _refinements(self, k: int) -> int:
        """Return the number of refinements of the k samples of a question."""
        return (k if self._draft_conditioned else 0) + (k // self._oracle_drafts if self._oracle_drafts else 0)

    async def _refine(self, answered: _Answered, engine: Engine) -> QuestionRecord:
        question, single_shot = answered.question, answered.single_shot
        # Draft j -> refinement j; then the oracle's picks. One request per refinement, since all prompts differ.
        drafts = single_shot.completions if self._draft_conditioned else ()
        fair = [self._prompts.refinement_prompt(question, [draft]) for draft in drafts]
        oracle = [self._prompts.refinement_prompt(question, [draft]) for draft in self._oracle_picks(single_shot)]
        seeds = self._seeds(question, _REFINEMENT, range(len(fair))) + self._seeds(
            question, "oracle", range(len(oracle))
        )
        requests = zip(fair + oracle, seeds, strict=True)
        calls = [complete(engine, prompt, self._sampling, [seed]) for prompt, seed in requests]
        refinements = [completion for (completion,) in await _together(calls)]
        return QuestionRecord(
            question=question,
            single_shot=single_shot,
            greedy=answered.greedy,
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
