"""Comparison of an answer with the gold answer, as the reward ``math_verify`` does it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from igrpo.types import Outcome, Question

if TYPE_CHECKING:
    from igrpo.rewards.math.verifier import MathVerifier


_QUESTION_ID: Final = "igrpo.verify"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict on an answer. It is true if and only if the answer is right: ``if igrpo.verify(gold, text): ...``.

    Attributes:
        outcome: ``right``, ``wrong`` or ``unparsable`` (no answer, or one that cannot be read); or ``refused`` (too
            long or too large to compare), ``timed_out`` or ``crashed``, which mean that there is no verdict.
        answer: the answer that was found, in normalised form; None if there is none.
    """

    outcome: Outcome
    answer: str | None

    @property
    def right(self) -> bool | None:
        """True or False; None if there is no verdict."""
        return self.outcome == "right" if self.outcome in {"right", "wrong", "unparsable"} else None

    def __bool__(self) -> bool:
        return self.right is True


def verify(gold: str, text: str, problem: str | None = None, **settings: Any) -> Verdict:
    """Compare the answer that a text states with the gold answer.

    The text may be a whole completion; nothing in it is evaluated in this process, and none raises. Symbolic
    comparisons run in a worker process, which the first of them starts (seconds), with limits on CPU time and memory.
    May be called from any thread, and inside a running event loop (which waits meanwhile).

    Args:
        gold: the right answer, in LaTeX or words.
        text: text that states an answer: as ``\\boxed{...}``, in ``<answer>`` tags or, if neither is there, in the last
            line. The last one counts.
        problem: the problem, if known: an answer that only repeats a formula of it is wrong.
        settings: settings of `igrpo.rewards.math.verifier.MathVerifier`, such as ``answer_format="boxed"``,
            ``percent="strict"`` or ``cpu_limit_s=1.0``. A verifier is kept for each combination of them.

    Raises:
        TypeError: there is no such setting.
        ValueError: a setting is out of its range.
        VerifierStartError: the worker process does not start.
    """
    question = Question(_QUESTION_ID, problem or "", gold)
    hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    (score,) = _verifier(**hashable).score_sync(question, [text])
    return Verdict(score.outcome, score.answer)


@cache
def _verifier(**settings: Any) -> MathVerifier:
    """Return the verifier with these settings. Its worker ends with this process."""
    from igrpo.rewards.math import verifier

    verifier.logger.addFilter(_is_of_a_run)
    return verifier.MathVerifier(**{"workers": 1, **settings})


def _is_of_a_run(record: logging.LogRecord) -> bool:
    """Keep warnings about questions of a run only: here the caller gets the verdict itself."""
    return not isinstance(record.args, tuple) or _QUESTION_ID not in record.args
