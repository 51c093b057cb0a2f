"""Reward of a generative judge: the mean of its votes on a solution, from 0 to 1.

If a reply cannot be read, the vote is requested once more, with a note that the first reply could not be read. If the
second reply cannot be read either, the vote is missing. A completion without any vote gets no score, rather than 0, and
is removed from its group. The same score ranks drafts and trains refinements (paper, section 3).

The paper's ablation only says that a generative judge replaces the rule. Here a rule verifier runs beside the judge,
and the agreement of the two verdicts is measured. With ``partial_credit`` the verifier is also a gate: a solution that
it finds right gets 1 and is not sent to the judge; any other gets ``partial_credit`` times the judge's score.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from statistics import fmean
from weakref import WeakValueDictionary

from igrpo.rewards.base import Measure, Reward, checked_score
from igrpo.rewards.judge.backend import Backend, JudgeRefusedError, JudgeReply
from igrpo.rewards.judge.counts import Counts
from igrpo.rewards.judge.own_loop import OwnLoop, together
from igrpo.rewards.judge.parsing import parse_score
from igrpo.rewards.judge.prompt import JudgePrompt, Message, asked_again
from igrpo.rewards.judge.store import ScoreCache, Spending, cache_key
from igrpo.seeding import derive_seed
from igrpo.settings.judge import GenerativeJudgeConfig
from igrpo.types import Completion, Question, Score

log = logging.getLogger(__name__)

_TRIES = 2  # requests per vote, if replies cannot be read


class Judge:
    """Reward given by a generative judge.

    Thread-safe. It can be used from any number of event loops; the work is done in an event loop of its own.

    Args:
        config: settings of the prompt, the votes and the verdict.
        backend: answers the requests; closed with this object.
        cache, spending: scores and costs so far; closed with this object.
        concurrency: maximum number of concurrent requests.
        verifier: the rule verifier; closed with this object.
    """

    name = "judge"

    def __init__(
        self,
        config: GenerativeJudgeConfig,
        backend: Backend,
        *,
        cache: ScoreCache,
        spending: Spending,
        verifier: Reward,
        concurrency: int,
    ) -> None:
        self._config, self._backend, self._prompt = config, backend, JudgePrompt(config)
        self._cache, self._spending, self._verifier = cache, spending, verifier
        self._counts = Counts()
        self._loop = OwnLoop("igrpo-judge")
        self._turns = asyncio.Semaphore(concurrency)
        self._under_way: set[asyncio.Task[float | None]] = set()
        self._asked_for: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        """Return one Score per completion, None where the judge gave no readable reply.

        Raises:
            JudgeError: the judge does not answer.
            RewardPausedError: ``reward.max_cost`` is spent.
        """
        texts = [completion.text for completion in completions]
        if self._config.partial_credit is None:
            ruled, judged = await asyncio.gather(self._rule(question, completions), self._judge(question, texts))
        else:  # the judge is not asked about solutions that the rule finds right
            ruled = await self._rule(question, completions)
            open_texts = [text for text, rule in zip(texts, ruled, strict=True) if not _is_right(rule)]
            judged = await self._judge(question, open_texts)
        return [self._score(rule, judged.get(text)) for text, rule in zip(texts, ruled, strict=True)]

    def step_measures(self) -> Mapping[str, Measure]:
        """See `igrpo.rewards.base.Measured`."""
        return {**self._counts.take(), **self._spending.measures()}

    def close(self) -> None:
        """Stop requests, connections and the verifier's processes. Safe to call twice."""
        self._loop.close(self._backend.aclose)
        self._cache.close()
        self._spending.close()
        self._verifier.close()

    async def _rule(self, question: Question, completions: Sequence[Completion]) -> tuple[Score | None, ...]:
        if not question.answer.strip():
            return (None,) * len(completions)
        return await checked_score(self._verifier, question, completions)

    def _score(self, rule: Score | None, judged: float | None) -> Score | None:
        """Combine the verdicts of rule and judge into one Score, and count them."""
        config, ruled = self._config, None if rule is None else rule.correct
        gated = config.partial_credit is not None
        if not (gated and ruled) and judged is None:
            self._counts.add("unscored")
            return None
        opinion = None if judged is None else judged >= config.threshold
        if ruled is not None and opinion is not None:
            self._counts.add("compared")
            self._counts.add("agreed", int(ruled == opinion))
        first = ruled if gated or config.verdict == "rule" else opinion
        correct = first if first is not None else opinion
        value = judged
        if config.partial_credit is not None:
            value = 1.0 if ruled or judged is None else config.partial_credit * judged
        assert value is not None
        assert correct is not None, "one of the two has a verdict"
        return Score(
            value=value,
            correct=correct,
            outcome="right" if correct else "wrong",
            answer=None if rule is None else rule.answer,
            parts={
                **({} if judged is None else {"judge": judged}),
                **({} if ruled is None else {"rule": float(ruled)}),
            },
        )

    async def _judge(self, question: Question, texts: Sequence[str]) -> dict[str, float | None]:
        """Return the judge's value of each text, None without votes. Equal texts are requested once."""
        different = list(dict.fromkeys(texts))
        if not different:
            return {}
        self._counts.add("cut", sum(self._prompt.is_cut(text) for text in texts))
        values = await self._loop.run(together(self._value(question, text) for text in different))
        return dict(zip(different, values, strict=True))

    async def _value(self, question: Question, text: str) -> float | None:
        messages = self._prompt.messages(question, text)
        votes = await together(self._vote(messages, number) for number in range(self._config.votes))
        read = [vote for vote in votes if vote is not None]
        return fmean(read) if read else None

    async def _vote(self, messages: Sequence[Message], number: int) -> float | None:
        key = cache_key(self._backend.identity, messages, number)
        self._counts.add("votes")
        # concurrent requests for the same vote wait here and then find it in the cache
        async with self._asked_for.setdefault(key, asyncio.Lock()):
            kept = await asyncio.to_thread(self._cache.get, key)
            if kept is not None:
                self._counts.add("cached")
                return kept
            return await self._new_vote(messages, number, key)

    async def _new_vote(self, messages: Sequence[Message], number: int, key: str) -> float | None:
        for attempt in range(_TRIES):
            asked = asked_again(messages) if attempt else messages
            try:
                score = await self._ask(asked, derive_seed("judge", number, attempt), key)
            except JudgeRefusedError as error:
                log.warning("the judge rejects the request for a vote, which is missing: %s", error)
                self._counts.add("refused")
                return None
            if score is not None:
                return score
        return None

    async def _ask(self, messages: Sequence[Message], seed: int, key: str) -> float | None:
        """Request a score, add its cost and store it; return None if the reply holds no score."""
        async with self._turns:
            if await asyncio.to_thread(lambda: self._spending.is_over):
                # requests in flight are paid for: count them, and cache their scores for the resumed run
                await asyncio.gather(*self._under_way, return_exceptions=True)
                raise self._spending.pause()
            task = asyncio.create_task(self._answer(messages, seed, key))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            return await task

    async def _answer(self, messages: Sequence[Message], seed: int, key: str) -> float | None:
        reply = await self._backend.ask(messages, seed)
        score = parse_score(reply.text)
        self._counts.add("requests")
        self._counts.add("retries", reply.retries)
        await asyncio.to_thread(self._keep, key, reply, score)
        if score is None:
            self._counts.add("unparsable")
            log.info("the judge's reply contains no valid score: %.300r", reply.text)
        return score

    def _keep(self, key: str, reply: JudgeReply, score: float | None) -> None:
        self._spending.add(reply)
        if score is not None:
            self._cache.put(key, score)


def _is_right(rule: Score | None) -> bool:
    return rule is not None and rule.correct is True
