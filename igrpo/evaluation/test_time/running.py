"""Runs the test-time modes of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from igrpo.evaluation.concurrency import together
from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.evaluation.test_time.aids import Aids
from igrpo.evaluation.test_time.base import Mode, budgets_of
from igrpo.evaluation.test_time.context import QuestionContext, Setup, Shared, Waves
from igrpo.evaluation.test_time.curve import summarise_modes
from igrpo.evaluation.test_time.records import StepRecord, Trace, step_record
from igrpo.generation.base import Engine
from igrpo.types import Question

#: Kind of the answers to the bare question that the modes need beyond those of the single-shot evaluation.
MORE_ANSWERS = "test_time/answer"


@dataclass(frozen=True, slots=True)
class Modes:
    """Test-time modes by the names of their settings, at least one, and what they share."""

    by_name: Mapping[str, Mode]
    aids: Aids


class ModeRunner:
    """Runs all modes on the questions of an evaluation.

    All modes use the same answers to the bare question: first the single-shot samples of the evaluation, then more of
    the same prompt. So modes differ in what they do with them, and not by chance. They are divided into blocks, one per
    repetition, each as long as the mode that needs the most of them asks for.

    Args:
        modes: the modes.
        setup: what they share.
        wrap: as in `Evaluator`, for bit-exact evaluation; None: requests are not held back.
        engine: the engine that is wrapped.
    """

    def __init__(
        self,
        modes: Modes,
        setup: Setup,
        engine: Engine,
        wrap: Callable[[Engine, int], Engine] | None,
    ) -> None:
        self._modes, self._aids = modes.by_name, modes.aids
        self._setup, self._engine, self._wrap = setup, engine, wrap
        self._budgets = budgets_of(list(self._modes.values()))
        self._bare = {name: mode.bare(self._budgets) for name, mode in self._modes.items()}
        self._block = max(self._bare.values())
        self._needed = max((mode.repeats - 1) * self._block + self._bare[name] for name, mode in self._modes.items())

    def kinds(self, known: int) -> dict[str, int]:
        """Return the samples per question by kind, beside ``known`` single-shot ones; ``NAME/`` has those of a mode."""
        own = {
            f"{name}/": mode.repeats * (mode.plan(self._budgets)[-1].samples - self._bare[name])
            for name, mode in self._modes.items()
        }
        return {MORE_ANSWERS: max(self._needed - known, 0), **own}

    async def run(self, single_shot: Sequence[tuple[Question, Sequence[EvaluatedSample]]]) -> list[Trace]:
        """Return one trace per question, in the order of the questions.

        Args:
            single_shot: the questions, each with the samples of its single-shot evaluation.
        """
        setup = self._wrapped(len(single_shot))
        answered = await together([self._more(setup, question, known) for question, known in single_shot])
        repeats = sum(mode.repeats for mode in self._modes.values())
        setup = self._wrapped(repeats * len(single_shot))
        questions = [question for question, _ in single_shot]
        known = [{sample.key for sample in samples} for _, samples in single_shot]
        rows = zip(questions, answered, known, strict=True)
        return await together([self._trace(setup, *row) for row in rows])

    def added_to(
        self, result: EvaluationResult, traces: Sequence[Trace], single_shot_Q: Sequence[Sequence[EvaluatedSample]]
    ) -> EvaluationResult:
        """Return the result of an evaluation with the curves of the modes.

        Args:
            result: that of the other samples.
            traces, single_shot_Q: what the modes did, and the single-shot samples, for all questions in the same order.
        """
        curves = summarise_modes(self._modes, traces, single_shot_Q)
        tokens = result.generated_tokens + sum(trace.tokens for trace in traces)
        return replace(result, test_time=curves, generated_tokens=tokens)

    def _wrapped(self, workers: int) -> Setup:
        if self._wrap is None or not workers:
            return self._setup
        engine = self._wrap(self._engine, workers)
        waves = engine if isinstance(engine, Waves) else None
        return replace(self._setup, sampler=self._setup.sampler.through(engine), waves=waves)

    async def _more(
        self, setup: Setup, question: Question, known: Sequence[EvaluatedSample]
    ) -> Sequence[EvaluatedSample]:
        """Return as many answers to the bare question as the modes need, beginning with the known ones."""
        indices = range(len(known), self._needed)
        sampler, prompt = setup.sampler, setup.prompts.question_prompt(question)
        with setup.worker(), setup.at_once(sampler.requests(question, MORE_ANSWERS, indices)):
            more = await sampler.sample(question, prompt, setup.params, MORE_ANSWERS, indices)
        return (*known, *more)

    async def _trace(
        self, setup: Setup, question: Question, answers: Sequence[EvaluatedSample], known: Collection[SampleKey]
    ) -> Trace:
        shared = Shared(setup, self._aids, self._budgets)
        contexts = [
            QuestionContext(shared, question, name, repeat, answers[repeat * self._block :][: self._bare[name]])
            for name, mode in self._modes.items()
            for repeat in range(mode.repeats)
        ]
        records = await together([self._answer(setup, context) for context in contexts])
        found: dict[str, tuple[tuple[StepRecord, ...], ...]] = dict.fromkeys(self._modes, ())
        for context, record in zip(contexts, records, strict=True):
            found[context.name] = (*found[context.name], record)
        drawn = {key: len(sample.token_ids) for context in contexts for key, sample in context.samples.items()}
        return Trace(question.id, sum(tokens for key, tokens in drawn.items() if key not in known), found)

    async def _answer(self, setup: Setup, context: QuestionContext) -> tuple[StepRecord, ...]:
        with setup.worker():
            steps = await self._modes[context.name].run(context)
        return tuple(step_record(step, context.samples) for step in steps)
