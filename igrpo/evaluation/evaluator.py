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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from igrpo.distributed import from_main, gather_shares, share
from igrpo.evaluation.checks import check_settings
from igrpo.evaluation.concurrency import together
from igrpo.evaluation.records import Answers, QuestionRecord
from igrpo.evaluation.result import EvaluationResult, estimate_answers, summarise
from igrpo.evaluation.rounds import is_narrow, round_ends
from igrpo.evaluation.sampler import Draw, Sampler, SampleStore
from igrpo.evaluation.samples import DRAFT_CONDITIONED, DRAFT_CONDITIONED_ORACLE, GREEDY, SINGLE_SHOT, EvaluatedSample
from igrpo.evaluation.test_time.context import Setup
from igrpo.evaluation.test_time.running import ModeRunner, Modes
from igrpo.generation.base import Engine, SamplingParams, keep_prompts
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward
from igrpo.types import Question


@dataclass(frozen=True, slots=True)
class _Answered:
    """Answers to the bare question, sampled and (None: not asked for) greedy."""

    question: Question
    single_shot: Answers
    greedy: Answers | None

    def extended(self, later: _Answered) -> _Answered:
        """Return the answers with the samples of a later round behind them."""
        return replace(self, single_shot=Answers(self.single_shot.samples + later.single_shot.samples))


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
        store: where samples are kept and found again (None: nowhere). A kept sample is not drawn again.
        modes: test-time modes (None: none). They answer the same questions, and use the single-shot samples.
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
        store: SampleStore | None = None,
        modes: Modes | None = None,
        wrap: Callable[[Engine, int], Engine] | None = None,
    ) -> None:
        check_settings(questions, sampling, samples, oracle_drafts, interval_width)
        self._engine = engine
        self._reward = reward
        self._sampler = Sampler(engine, reward, seed, store)
        self._prompts = prompts
        self._questions = tuple(questions)
        self._sampling = sampling
        self._samples = samples
        self._greedy = greedy
        self._draft_conditioned = draft_conditioned
        self._oracle_drafts = oracle_drafts
        self._interval_width = interval_width
        self._wrap = wrap
        setup = Setup(self._sampler, prompts, sampling, seed, store)
        self._modes = None if modes is None else ModeRunner(modes, setup, engine, wrap)

    @property
    def samples(self) -> int:
        """k, the number of sampled answers per question."""
        return self._samples

    @property
    def sampling(self) -> SamplingParams:
        """Parameters of the sampled answers."""
        return self._sampling

    @property
    def kinds(self) -> dict[str, int]:
        """Number of samples per question by kind (with an interval width, the maximum). ``NAME/``: of a mode."""
        kinds = {SINGLE_SHOT: self._samples, GREEDY: int(self._greedy), **self._refined_kinds(self._samples)}
        kinds |= {} if self._modes is None else self._modes.kinds(self._samples)
        return {kind: count for kind, count in kinds.items() if count}

    @property
    def planned_samples(self) -> int:
        """Number of samples of an evaluation, of all kinds and questions; with an interval width, the maximum."""
        return len(self._questions) * sum(self.kinds.values())

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
            return await self._result(records, stopped=False)
        answered, k = await self._rounds(questions, self._interval_width)
        sampler = self._for_refinements(questions, k)
        records = await together([self._refine(answers, sampler) for answers in answered])
        return await self._result(records, stopped=k < self._samples)

    async def _result(self, records: Sequence[QuestionRecord], *, stopped: bool) -> EvaluationResult:
        """Run the test-time modes on the answered questions, and compute the result of all processes."""
        whole = gather_shares(records)
        result = summarise(whole, self._reward.name, stopped=stopped)
        if self._modes is None:
            return result
        traces = await self._modes.run([(record.question, record.single_shot.samples) for record in records])
        return self._modes.added_to(result, gather_shares(traces), [record.single_shot.samples for record in whole])

    async def _all_samples(self, questions: Sequence[Question]) -> list[QuestionRecord]:
        """Draw all samples of each question at once, and refine them as soon as this question's are scored."""
        for_bare = self._for_bare(questions, range(self._samples), greedy=self._greedy)
        for_refinements = self._for_refinements(questions, self._samples)

        async def evaluate(question: Question) -> QuestionRecord:
            answers = await self._answer(question, range(self._samples), for_bare, greedy=self._greedy)
            return await self._refine(answers, for_refinements)

        return await together([evaluate(question) for question in questions])

    async def _rounds(self, questions: Sequence[Question], width: float) -> tuple[list[_Answered], int]:
        """Draw samples in rounds until the interval is narrower than ``width``; return the answers and k.

        The verdicts of all processes decide, and the main process's decision holds for all.
        """
        answered: list[_Answered] = []
        for start, end in pairwise([0, *round_ends(self._samples, self._oracle_drafts)]):
            greedy = self._greedy and start == 0
            sampler = self._for_bare(questions, range(start, end), greedy=greedy)
            calls = [self._answer(question, range(start, end), sampler, greedy=greedy) for question in questions]
            drawn = await together(calls)
            answered = [old.extended(new) for old, new in zip(answered, drawn, strict=True)] if start else drawn
            scores = gather_shares([answers.single_shot.without_texts for answers in answered])
            if from_main(is_narrow(estimate_answers(scores), width)):
                break
        return answered, end

    async def _answer(self, question: Question, samples: range, sampler: Sampler, *, greedy: bool) -> _Answered:
        bare = self._prompts.question_prompt(question)
        asked = [sampler.sample(question, bare, self._sampling, SINGLE_SHOT, samples)]
        if greedy:
            params = replace(self._sampling, temperature=0.0, top_p=1.0, top_k=0)
            asked.append(sampler.sample(question, bare, params, GREEDY, [0]))
        single_shot, *others = [Answers(drawn) for drawn in await together(asked)]
        return _Answered(question, single_shot, others[0] if greedy else None)

    async def _refine(self, answered: _Answered, sampler: Sampler) -> QuestionRecord:
        question, drafts = answered.question, answered.single_shot.samples
        # Draft j -> refinement j; and the oracle's picks. One request per refinement, since all prompts differ.
        shown = {
            DRAFT_CONDITIONED: drafts if self._draft_conditioned else (),
            DRAFT_CONDITIONED_ORACLE: self._oracle_picks(drafts),
        }
        asked = {
            kind: [self._refinement(question, i, draft) for i, draft in enumerate(of)] for kind, of in shown.items()
        }
        calls = [sampler.sample_each(question, self._sampling, kind, draws) for kind, draws in asked.items() if draws]
        refined = dict(zip((kind for kind, draws in asked.items() if draws), await together(calls), strict=True))
        fair, oracle = (Answers(refined[kind]) if kind in refined else None for kind in asked)
        return QuestionRecord(
            question=question,
            single_shot=answered.single_shot,
            greedy=answered.greedy,
            draft_conditioned=fair,
            draft_conditioned_oracle=oracle,
        )

    def _refinement(self, question: Question, index: int, draft: EvaluatedSample) -> Draw:
        return Draw(index, self._prompts.refinement_prompt(question, [draft.completion]), (draft.key,))

    def _for_bare(self, questions: Sequence[Question], samples: range, *, greedy: bool) -> Sampler:
        """Return the sampler of the answers to the bare questions, told how many requests it will make."""
        kinds = [(SINGLE_SHOT, samples), *([(GREEDY, range(1))] if greedy else [])]
        return self._wrapped(sum(self._sampler.requests(q, kind, of) for q in questions for kind, of in kinds))

    def _for_refinements(self, questions: Sequence[Question], k: int) -> Sampler:
        """Return the sampler of the refinements of k samples per question."""
        kinds = self._refined_kinds(k).items()
        counts = [self._sampler.requests(q, kind, range(of), apart=True) for q in questions for kind, of in kinds]
        return self._wrapped(sum(counts))

    def _refined_kinds(self, k: int) -> dict[str, int]:
        """Return the number of refinements of the k samples of a question, by kind."""
        oracle = k // self._oracle_drafts if self._oracle_drafts else 0
        return {DRAFT_CONDITIONED: k if self._draft_conditioned else 0, DRAFT_CONDITIONED_ORACLE: oracle}

    def _wrapped(self, requests: int) -> Sampler:
        if self._wrap is None or not requests:
            return self._sampler
        return self._sampler.through(self._wrap(self._engine, requests))

    def _oracle_picks(self, drafts: Sequence[EvaluatedSample]) -> list[EvaluatedSample]:
        """Return the best draft by reward of each complete block of N; ties go to a right draft, then to the first."""
        n = self._oracle_drafts
        if not n:
            return []
        blocks = [drafts[start : start + n] for start in range(0, len(drafts) - n + 1, n)]
        return [max(block, key=lambda draft: (draft.score.value, draft.correct)) for block in blocks]
