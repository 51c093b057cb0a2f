"""Confidences of answers that need no further samples: agreement of the samples, and their log-probs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.calibration import Calibration, calibration
from igrpo.evaluation.voting import ballots

#: Definition of each confidence.
CONFIDENCES = {
    "agreement": "share of the question's samples that give the same answer, itself included (self-consistency)",
    "token_probability": "geometric mean of the probabilities of the sample's tokens, exp(mean log-prob); this is no "
    "probability of being right, so the AUROC says more about it than the calibration error",
}

#: Maps the answers of a question to the number of the group of each; None for a sample without an answer.
Grouping = Callable[[Sequence[str | None]], Sequence[int | None]]


def grouped_as_written(answers: Sequence[str | None]) -> list[int | None]:
    """Group answers that have the same normal form."""
    numbers: dict[str, int] = {}
    return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]


def grouped_by(same: Callable[[str, str], bool]) -> Grouping:
    """Return a grouping by equality of answers, as in `igrpo.evaluation.voting.vote`."""

    def group(answers: Sequence[str | None]) -> list[int | None]:
        numbers: list[int | None] = [None] * len(answers)
        for number, ballot in enumerate(ballots(answers, same)):
            for i in ballot:
                numbers[i] = number
        return numbers

    return group


def calibrations(rows_Q: Sequence[Sequence[EvaluatedSample]], group: Grouping) -> Mapping[str, Calibration]:
    """Return the calibration of each confidence that these samples have.

    ``agreement`` needs answers, and two samples per question; ``token_probability`` needs an engine that reports
    log-probs, and sampling: a greedy answer has log-probs of 0. They are those of the distribution that was sampled
    from.
    """
    right_Q = [[row.correct for row in rows] for rows in rows_Q]
    found: dict[str, list[list[float]]] = {}
    if without_answer(rows_Q) < 1 and min(map(len, rows_Q)) > 1:
        found["agreement"] = [agreement(group([row.score.answer for row in rows])) for rows in rows_Q]
    if any(row.logprob < 0 for rows in rows_Q for row in rows):
        # rounding may leave a log-prob a little above 0
        found["token_probability"] = [[math.exp(min(row.logprob, 0.0)) for row in rows] for rows in rows_Q]
    return {name: calibration(confidence_Q, right_Q) for name, confidence_Q in found.items()}


def without_answer(rows_Q: Sequence[Sequence[EvaluatedSample]]) -> float:
    """Return the share of samples in which the reward found no answer; 1 if there are no samples."""
    found = [row.score.answer is None for rows in rows_Q for row in rows]
    return sum(found) / len(found) if found else 1.0


def agreement(groups: Sequence[int | None]) -> list[float]:
    """Return the share of samples in the group of each; 0 for a sample without an answer."""
    return [0.0 if group is None else groups.count(group) / len(groups) for group in groups]
