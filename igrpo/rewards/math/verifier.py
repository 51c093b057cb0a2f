"""Rule-based verifier: compares answers with the gold answer, first by exact match, then in killable worker processes.

Every completion gets one of six outcomes. ``right``, ``wrong`` and ``unparsable`` (no answer, or one that cannot be
read) are verdicts. ``refused`` (by the guard), ``timed_out`` (CPU limit) and ``crashed`` (memory, a sleeping or dead
worker, any exception) mean that there is no verdict: the reward is 0, ``correct`` is None, and the completion is
counted, logged and saved for inspection. No text raises an error: a failure affects only the outcome of its completion.
If the worker processes do not start at all, no completion could ever get a verdict: that raises VerifierStartError.
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
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from igrpo.rewards.math.conventions import AnswerConventions, BasePolicy, PercentPolicy, UnevaluatedPolicy
from igrpo.rewards.math.extraction import ANSWER_FORMATS, AnswerFormat, check_formats, extract_answer, extract_gold
from igrpo.rewards.math.guard import refusal
from igrpo.rewards.math.normalise import normalise, plain_integer
from igrpo.rewards.math.numbers import numbers_equal, parse_number
from igrpo.rewards.math.pool import Limits, PoolClosedError, VerifierStartError, WorkerPool, WorkerReply
from igrpo.rewards.math.restated import restates
from igrpo.rewards.math.worker import described
from igrpo.types import OUTCOMES, Completion, Outcome, Question, Score

logger = logging.getLogger(__name__)

_SHOWN_CHARS = 120
_SAVED_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class _Extracted:
    """Answer of a completion, and its outcome if that was determined without a worker."""

    text: str
    answer: str | None
    reply: WorkerReply | None


class MathVerifier:
    """Reward of 1 for a right answer, 0 for anything else. Thread-safe; usable from any number of event loops.

    Args:
        answer_format: statements that count as answers; the last one in the text is the answer.
        percent: whether ``28%`` equals 28 ("number"), 0.28 ("value"), either ("any") or only ``28%`` ("strict").
        base_subscript: whether an answer may leave out the base of a gold answer such as ``52_8``.
        unevaluated: whether an unevaluated operation (``\\gcd(12,18)``, a sum, ``\\sin 30^\\circ``) is accepted if the
            gold answer has none.
        workers: processes for ordinary comparisons, and as many for slow ones; started when the first answer needs one.
        cpu_limit_s: CPU seconds per comparison; a comparison that needs more is ``timed_out``.
        wall_limit_s: seconds that a worker may sleep (stopped, swapping), as a safeguard; after that, the comparison is
            ``crashed``.
        memory_limit_mb: address space of a worker; a comparison that needs more is ``crashed``.
        max_answer_chars: longer answers are ``refused``.
        cache_size: number of cached outcomes.
        incident_dir: directory for the inputs of refused, timed-out and crashed comparisons (None: not saved).

    Raises:
        ValueError: a setting is out of its range.
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
        check_formats(self._formats)
        if workers < 1 or max_answer_chars < 1 or cache_size < 1:
            raise ValueError(f"{workers=}, {max_answer_chars=}, {cache_size=}: each must be 1 or more")
        self._pool = WorkerPool(workers, Limits(cpu_limit_s, wall_limit_s, memory_limit_mb))
        self._finalizer = weakref.finalize(self, self._pool.close)
        self._lock = threading.Lock()
        self._counts: Counter[Outcome] = Counter()
        self._cache: OrderedDict[tuple[str, str], Outcome] = OrderedDict()

    @property
    def counts(self) -> Counter[Outcome]:
        """Number of completions with each outcome since this object was created."""
        with self._lock:
            return Counter({outcome: self._counts[outcome] for outcome in OUTCOMES})

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the living workers."""
        return self._pool.pids

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        """Return one Score per completion. Comparisons in workers do not block the event loop.

        Raises:
            VerifierStartError: the worker processes do not start.
        """
        gold, found = self._look(question, [completion.text for completion in completions])
        jobs = self._submitted(gold, found)
        await asyncio.gather(*map(asyncio.wrap_future, jobs.values()), return_exceptions=True)
        return self._scores(question, gold, found, jobs)

    def score_sync(self, question: Question, texts: Sequence[str]) -> list[Score]:
        """Return one Score per text, for callers without an event loop."""
        gold, found = self._look(question, texts)
        return self._scores(question, gold, found, self._submitted(gold, found))

    def equal_sync(self, gold: str, answer: str) -> bool:
        """True if the normalised ``answer`` is accepted for ``gold``, also normalised; False if the comparison fails.

        Raises:
            VerifierStartError: the worker processes do not start.
        """
        try:
            outcome = self._quick(Question("", "", gold), gold, answer)
        except Exception:  # see `_found`
            return False
        if outcome is None:
            outcome = self._reply(gold, answer, self._submitted(gold, [_Extracted("", answer, None)])[answer]).outcome
        return outcome == "right"

    def close(self) -> None:
        """Kill the workers. Safe to call twice."""
        self._finalizer()

    def _look(self, question: Question, texts: Sequence[str]) -> tuple[str, list[_Extracted]]:
        """Return the gold answer, and the answers and outcomes that can be determined without a worker."""
        try:
            gold = self._gold(question)
        except Exception as error:
            reply = WorkerReply("crashed", f"of the gold answer: {described(error)}")
            return str(question.answer), [_Extracted(text, None, reply) for text in texts]
        return gold, [self._found(question, gold, text) for text in texts]

    def _found(self, question: Question, gold: str, text: str) -> _Extracted:
        answer = None
        try:
            answer = self._answer(text)
            outcome = self._quick(question, gold, answer)
        except Exception as error:
            return _Extracted(text, answer, WorkerReply("crashed", described(error)))
        return _Extracted(text, answer, None if outcome is None else WorkerReply(outcome))

    def _submitted(self, gold: str, found: Sequence[_Extracted]) -> dict[str | None, Future[WorkerReply]]:
        """Queue the comparisons that need a worker, once per answer, and return them by answer."""
        pending = dict.fromkeys(item.answer for item in found if item.reply is None)
        shared = {"gold": gold, "conventions": asdict(self._conventions)}
        return {answer: self._pool.submit(shared | {"answer": answer}) for answer in pending}

    def _gold(self, question: Question) -> str:
        gold = normalise(extract_gold(question.answer))
        if not gold:
            logger.warning("question %s has no gold answer: every completion of it is unparsable", question.id)
        return gold

    def _answer(self, text: str) -> str | None:
        found = extract_answer(text, self._formats)
        if found is None:
            return None
        # A very long answer will be refused: normalising it would only cost the caller time.
        return (normalise(found) or None) if len(found) <= 2 * self._max_answer_chars else found

    def _quick(self, question: Question, gold: str, answer: str | None) -> Outcome | None:
        """Return the outcome if it can be determined in microseconds, else None."""
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

    def _reply(self, gold: str, answer: str | None, job: Future[WorkerReply]) -> WorkerReply:
        """Wait for the reply of a queued comparison and return it."""
        try:
            reply = job.result()
        except (PoolClosedError, VerifierStartError):
            raise
        except Exception as error:
            return WorkerReply("crashed", described(error))
        if answer is not None and reply.outcome != "crashed":  # not a crash, which may depend on the machine
            with self._lock:
                self._cache[gold, answer] = reply.outcome
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
        return reply

    def _scores(
        self, question: Question, gold: str, found: Sequence[_Extracted], jobs: dict[str | None, Future[WorkerReply]]
    ) -> list[Score]:
        replies = {answer: self._reply(gold, answer, job) for answer, job in jobs.items()}
        scores = []
        for item in found:
            reply = item.reply or replies[item.answer]
            outcome = reply.outcome
            if outcome in ("refused", "timed_out", "crashed"):
                self._report(question, gold, item, reply)
                correct = None
            else:
                correct = outcome == "right"
            scores.append(Score(value=float(outcome == "right"), correct=correct, outcome=outcome, answer=item.answer))
        with self._lock:
            self._counts.update(score.outcome for score in scores)
        return scores

    def _report(self, question: Question, gold: str, found: _Extracted, reply: WorkerReply) -> None:
        answer = found.answer or ""
        shown = answer if len(answer) <= _SHOWN_CHARS else answer[:_SHOWN_CHARS] + "..."
        what = f"{reply.outcome}: {reply.error}" if reply.error else reply.outcome
        logger.warning("the verifier has no verdict (%s) on question %s: answer %r", what, question.id, shown)
        if self._incident_dir is None:
            return
        incident: dict[str, Any] = {
            "time": time.time(), "outcome": reply.outcome, "error": reply.error, "question": question.id,
            "gold": gold[:_SAVED_CHARS], "answer": answer[:_SAVED_CHARS], "answer_chars": len(answer),
        }  # fmt: skip
        if found.answer is None:  # extraction failed, so only the text can be inspected
            incident["completion_end"] = found.text[-_SAVED_CHARS:]
        try:
            self._incident_dir.mkdir(parents=True, exist_ok=True)
            # One file per process: ranks of one run share the directory.
            with self._lock, (self._incident_dir / f"verifier-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(incident) + "\n")
        except OSError as error:
            logger.warning("the incident is not saved in %s: %s", self._incident_dir, error)
