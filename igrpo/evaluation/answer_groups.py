"""Groups of equal answers among the samples of a question, as counts: what votes and agreement depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from igrpo.evaluation.voting import ballots

#: Questions whose answers are compared at the same time; more would wait for the verifier's processes.
_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class AnswerGroups:
    """Answers of a question: ``sizes`` and ``right`` count the samples, and the right ones, of each different answer.

    ``blank`` is the number of samples without an answer. The order of the groups has no meaning; it is sorted, so that
    questions with the same counts are equal.
    """

    sizes: tuple[int, ...]
    right: tuple[int, ...]
    blank: int

    @property
    def samples(self) -> int:
        """Number of samples, with and without an answer."""
        return sum(self.sizes) + self.blank

    def resampled(self, rng: np.random.Generator) -> AnswerGroups:
        """Return the groups of as many samples drawn from these with replacement."""
        wrong = [size - right for size, right in zip(self.sizes, self.right, strict=True)]
        cells = np.array([*self.right, *wrong, self.blank])
        drawn = rng.multinomial(self.samples, cells / cells.sum()).tolist()
        groups = len(self.sizes)
        right, wrong, blank = drawn[:groups], drawn[groups:-1], drawn[-1]
        return _sorted([(a + b, a) for a, b in zip(right, wrong, strict=True)], blank)


def group_answers(
    answers_QK: Sequence[Sequence[str | None]],
    correct_QK: Sequence[Sequence[bool]],
    same: Callable[[str, str], bool],
) -> list[AnswerGroups]:
    """Group the answers to each question by equality.

    Args:
        answers_QK: normalised answers; None for a sample without an answer.
        correct_QK: verdicts. Samples of a group may have different ones, if a check failed.
        same: as in `voting.vote`; thread-safe.
    """

    def grouped(answers: Sequence[str | None], correct: Sequence[bool]) -> AnswerGroups:
        groups = ballots(answers, same)
        counts = [(len(samples), sum(correct[i] for i in samples)) for samples in groups]
        return _sorted(counts, sum(answer is None for answer in answers))

    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        return list(threads.map(grouped, answers_QK, correct_QK))


def _sorted(counts: Sequence[tuple[int, int]], blank: int) -> AnswerGroups:
    kept = sorted((pair for pair in counts if pair[0]), reverse=True)
    return AnswerGroups(tuple(size for size, _ in kept), tuple(right for _, right in kept), blank)
