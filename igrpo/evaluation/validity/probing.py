"""Sampling for the contamination probe: one greedy completion of each cut problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from igrpo.evaluation.concurrency import together
from igrpo.evaluation.sampler import Sampler, SampleStore
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.contamination import Cut, cut
from igrpo.generation.base import Engine, SamplingParams
from igrpo.prompts.plain import plain_prompt, plain_tokens
from igrpo.types import Completion, Question, Score

#: Tokens beyond those of the hidden text, which the model may divide into more.
_MORE_TOKENS = 8


class Unjudged:
    """A reward that gives no scores: a completion of a problem is no answer to it."""

    name = "unjudged"

    def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        return [None] * len(completions)

    def close(self) -> None: ...


class ContaminationProbe:
    """Completes problems of which the first part is shown.

    Args:
        engine: engine to sample from.
        tokenizer: the model's tokenizer.
        stop_token_ids: tokens that end a completion.
        shown: share of a problem's words that is shown.
        seed: the run's seed.
        store: where samples are kept (None: nowhere).
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: PreTrainedTokenizerBase,
        stop_token_ids: tuple[int, ...],
        *,
        shown: float,
        seed: int,
        store: SampleStore | None = None,
    ) -> None:
        self._sampler = Sampler(engine, Unjudged(), seed, store)
        self._tokenizer, self._shown = tokenizer, shown
        self._greedy = SamplingParams(
            temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=1, stop_token_ids=stop_token_ids
        )

    async def run(self, questions: Sequence[Question]) -> Mapping[str, EvaluatedSample]:
        """Return a completion by question, of those that can be cut.

        Raises:
            ValueError: a prompt does not fit the model.
        """
        cuts = [
            (question, found) for question in questions if (found := cut(question.problem, self._shown)) is not None
        ]
        samples = await together([self._complete(question, found) for question, found in cuts])
        return {sample.question: sample for sample in samples}

    async def _complete(self, question: Question, parts: Cut) -> EvaluatedSample:
        hidden = len(plain_tokens(self._tokenizer, parts.hidden))
        params = replace(self._greedy, max_new_tokens=hidden + _MORE_TOKENS)
        prompt = plain_prompt(self._tokenizer, parts.shown)
        (sample,) = await self._sampler.sample(question, prompt, params, f"contamination/{self._shown:g}", [0])
        return sample
