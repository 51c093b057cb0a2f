"""Right or wrong, by the gold answer: an exact match first, then math-verify in killable worker processes.

Every completion gets one of six outcomes. ``right``, ``wrong`` and ``unparsable`` (no answer, or none that can be
read) are verdicts. ``refused`` (by the guard), ``timed_out`` (CPU limit) and ``crashed`` (memory, wall clock, a dead
worker) mean that there is none: reward 0, ``correct`` None, counted, logged, and the input kept for a look.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igrpo.rewards.math.conventions import AnswerConventions, BasePolicy, PercentPolicy, UnevaluatedPolicy
from igrpo.rewards.math.extraction import ANSWER_FORMATS, AnswerFormat, extract_answer, extract_gold
from igrpo.rewards.math.guard import refusal
from igrpo.rewards.math.normalise import normalise, plain_integer
from igrpo.rewards.math.numbers import numbers_equal, parse_number
from igrpo.rewards.math.pool import Limits, WorkerPool
from igrpo.rewards.math.restated import restates
from igrpo.types import OUTCOMES, Completion, Outcome, Question, Score

logger = logging.getLogger(__name__)

_SHOWN_CHARS = 120
_SAVED_CHARS = 20_000


class MathVerifier:
    """A Reward: 1 for a right answer, 0 for anything else. Thread-safe; used from any number of event loops.

    Args:
        answer_format: which statements count as answers; the last of them in the text is the answer.
        percent: whether ``28%`` equals 28 ("number"), 0.28 ("value"), either ("any") or only ``28%`` ("strict").
        base_subscript: whether an answer may leave out the base of a gold like ``52_8``.
        unevaluated: whether an operation that is left to the reader (``\\gcd(12,18)``, a sum, ``\\sin 30^\\circ``) may
            answer a gold answer without one.
        workers: processes, started when the first answer needs one.
        cpu_limit_s: CPU seconds of one comparison; beyond them it is ``timed_out``.
        wall_limit_s: wall-clock backstop, for a worker that waits; beyond it ``crashed``.
        memory_limit_mb: address space of a worker; beyond it ``crashed``.
        max_answer_chars: longer answers are ``refused``.
        cache_size: verdicts kept.
        incident_dir: where the inputs of refused, timed-out and crashed comparisons are appended (None: nowhere).

    Raises:
        ValueError: a setting out of its range.
    """

    name = "math_verify"

    def __init__(
        self,
        *,
        answer_format: AnswerFormat | Sequence[AnswerFormat] = ANSWER_FORMATS,
        percent: PercentPolicy = "any",
        base_subscript: BasePolicy = "optional",
        unevaluated: UnevaluatedPolicy = "rejected",
        workers: int = 2,
        cpu_limit_s: float = 3.0,
        wall_limit_s: float = 120.0,
        memory_limit_mb: int = 1024,
        max_answer_chars: int = 4000,
        cache_size: int = 65_536,
        incident_dir: Path | None = None,
    ) -> None:
        self._formats = (answer_format,) if isinstance(answer_format, str) else tuple(answer_format)
        self._conventions = AnswerConventions(percent=percent, base_subscript=base_subscript, unevaluated=unevaluated)
        self._max_answer_chars, self._cache_size, self._incident_dir = max_answer_chars, cache_size, incident_dir
        _check_formats(self._formats)
        if workers < 1 or max_answer_chars < 1 or cache_size < 1:
            raise ValueError(f"{workers=}, {max_answer_chars=}, {cache_size=}: each must be 1 or more")
        self._workers = workers
        self._pool = WorkerPool(workers, Limits(cpu_limit_s, wall_limit_s, memory_limit_mb))
        self._finalizer = weakref.finalize(self, self._pool.close)
        self._executor: ThreadPoolExecutor | None = None
        self._executor_pid = -1
        self._lock = threading.Lock()
        self._counts: Counter[Outcome] = Counter()
        self._cache: OrderedDict[tuple[str, str], Outcome] = OrderedDict()

    @property
    def counts(self) -> Counter[Outcome]:
        """How often each outcome came up since this object was made."""
        with self._lock:
            return Counter({outcome: self._counts[outcome] for outcome in OUTCOMES})

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the living workers."""
        return self._pool.pids

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        """One Score a completion. Answers that need no worker are scored in place, the others off the event loop."""
        gold = self._gold(question)
        answers = [self._answer(completion.text) for completion in completions]
        verdicts = {answer: self._quick(question, gold, answer) for answer in set(answers)}
        pending = [answer for answer, outcome in verdicts.items() if outcome is None and answer is not None]
        if pending:
            jobs = [asyncio.wrap_future(self._threads().submit(self._slow, question, gold, a)) for a in pending]
            verdicts |= dict(zip(pending, await asyncio.gather(*jobs), strict=True))
        return self._scores(question, gold, answers, verdicts)

    def score_sync(self, question: Question, texts: Sequence[str]) -> list[Score]:
        """The same for callers without an event loop, from the completions' texts."""
        gold = self._gold(question)
        answers = [self._answer(text) for text in texts]
        verdicts: dict[str | None, Outcome | None] = {}
        for answer in answers:
            if answer not in verdicts:
                quick = self._quick(question, gold, answer)
                verdicts[answer] = quick if quick or answer is None else self._slow(question, gold, answer)
        return self._scores(question, gold, answers, verdicts)

    def close(self) -> None:
        """Kill the workers. Safe to call twice."""
        self._finalizer()
        if self._executor is not None and self._executor_pid == os.getpid():
            self._executor.shutdown(wait=True)

    def _gold(self, question: Question) -> str:
        gold = normalise(extract_gold(question.answer))
        if not gold:
            logger.warning("question %s has no gold answer: every completion of it is unparsable", question.id)
        return gold

    def _answer(self, text: str) -> str | None:
        found = extract_answer(text, self._formats)
        if found is None:
            return None
        # An endless answer is refused as it stands: normalising it would cost the caller time.
        return (normalise(found) or None) if len(found) <= 2 * self._max_answer_chars else found

    def _quick(self, question: Question, gold: str, answer: str | None) -> Outcome | None:
        """The outcome of what can be told in microseconds; None for the rest."""
        if answer is None or not gold or answer == gold:
            return "right" if gold and answer == gold else "unparsable"
        if plain_integer(gold) == gold and plain_integer(answer) == answer:
            return "wrong"
        gold_number, number = parse_number(gold), parse_number(answer)
        if gold_number is not None and number is not None and "," not in gold + answer:
            return "right" if numbers_equal(gold_number, number) else "wrong"
        if any(refusal(text, self._max_answer_chars) for text in (gold, answer)):
            return "refused"
        restated = self._conventions.unevaluated == "rejected" and restates(question.problem, gold, answer)
        with self._lock:
            return "wrong" if restated else self._cache.get((gold, answer))

    def _slow(self, question: Question, gold: str, answer: str) -> Outcome:
        request = {"gold": gold, "answer": answer, "conventions": asdict(self._conventions)}
        outcome = self._pool.ask(request)
        if outcome != "crashed":  # a crash may be the machine's fault
            with self._lock:
                self._cache[gold, answer] = outcome
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
        return outcome

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None or self._executor_pid != os.getpid():
                self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="verifier")
                self._executor_pid = os.getpid()
            return self._executor

    def _scores(
        self, question: Question, gold: str, answers: list[str | None], verdicts: dict[str | None, Outcome | None]
    ) -> list[Score]:
        scores = []
        for answer in answers:
            outcome = verdicts[answer]
            assert outcome is not None
            if outcome in ("refused", "timed_out", "crashed"):
                self._report(question, gold, answer or "", outcome)
                correct = None
            else:
                correct = outcome == "right"
            scores.append(Score(value=float(outcome == "right"), correct=correct, outcome=outcome, answer=answer))
        with self._lock:
            self._counts.update(score.outcome for score in scores)
        return scores

    def _report(self, question: Question, gold: str, answer: str, outcome: Outcome) -> None:
        shown = answer if len(answer) <= _SHOWN_CHARS else answer[:_SHOWN_CHARS] + "..."
        logger.warning("the verifier has no verdict (%s) on question %s: answer %r", outcome, question.id, shown)
        if self._incident_dir is None:
            return
        incident: dict[str, Any] = {
            "time": time.time(), "outcome": outcome, "question": question.id,
            "gold": gold[:_SAVED_CHARS], "answer": answer[:_SAVED_CHARS], "answer_chars": len(answer),
        }  # fmt: skip
        self._incident_dir.mkdir(parents=True, exist_ok=True)
        # One file a process: ranks of one run share the directory.
        with self._lock, (self._incident_dir / f"verifier-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(incident) + "\n")


def _check_formats(formats: Sequence[str]) -> None:
    if not formats or not set(formats) <= set(ANSWER_FORMATS):
        raise ValueError(f"answer_format={list(formats)}: choose one or more of {list(ANSWER_FORMATS)}")
