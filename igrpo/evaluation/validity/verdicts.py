"""A stricter and a laxer verdict beside the main one: how much of an accuracy hangs on the verifier.

Both are made of the kept texts. By construction, what is right by the strict verdict is right by the main one, and what
is right by the main one is right by the lax one, so that their accuracies enclose the main one:

strict
    right, complete (the token limit did not end it), in a box or tag if the main verifier reads any, and the same text
    as the gold answer after removal of typography
lax
    right, or the gold answer is found somewhere in the text (see `igrpo.evaluation.validity.lax`)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from igrpo.evaluation.estimators import AccuracyEstimate, estimate_accuracy
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.lax import LAX_REASONS, LaxReader
from igrpo.evaluation.validity.shown import printable, tail
from igrpo.rewards.math.extraction import AnswerFormat, extract_answer, extract_gold
from igrpo.rewards.math.normalise import normalise
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import Question

StrictReason = Literal["cut_off", "not_marked", "written_otherwise"]

#: Why the strict verdict rejects what the main one accepts.
STRICT_REASONS: dict[str, str] = {
    "cut_off": "the token limit ended the completion",
    "not_marked": "the answer is in no box and no tag",
    "written_otherwise": "the answer equals the gold answer, but is written in another way",
}
assert set(STRICT_REASONS) == set(get_args(StrictReason))

REASONS: dict[str, str] = {**STRICT_REASONS, **LAX_REASONS}

#: Most examples of each verdict.
EXAMPLES = 5
_MARKS: tuple[AnswerFormat, ...] = ("boxed", "answer_tag")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A sample on whose verdict the main and another verdict differ.

    ``alike`` is the number of samples of the question with the same answer and the same reason. Texts are printable.
    """

    question: str
    index: int
    reason: str
    answer: str | None
    gold: str
    text_end: str
    alike: int


@dataclass(frozen=True, slots=True)
class OtherVerdict:
    """Accuracy by another verdict, the number of samples, the share of them on which it differs from the main one, that
    share by reason, and the worst differences: those that concern most samples of a question."""

    accuracy: AccuracyEstimate
    samples: int
    differs: float
    reasons: Mapping[str, float]
    worst: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Accuracy by the main verdict and by the two others."""

    strict: OtherVerdict
    main: AccuracyEstimate
    lax: OtherVerdict


def compare_verdicts(
    questions: Mapping[str, Question], rows_Q: Sequence[Sequence[EvaluatedSample]], settings: MathVerifyConfig
) -> Verdicts:
    """Compare the verdicts on samples that the rule verifier judged.

    Args:
        questions: questions by id.
        rows_Q: k samples per question.
        settings: the verifier's settings.

    Raises:
        ValueError: there are no samples, or not the same number per question.
        VerifierStartError: the verifier's processes do not start.
    """
    main_Q = [[row.correct for row in rows] for rows in rows_Q]
    strict_Q = [_strict_reasons(questions[rows[0].question], rows, settings) for rows in rows_Q]
    reader = LaxReader(settings)
    try:
        lax_Q = [_lax_reasons(questions[rows[0].question], rows, reader) for rows in rows_Q]
    finally:
        reader.close()
    return Verdicts(
        strict=_other(questions, rows_Q, strict_Q, _changed(main_Q, strict_Q)),
        main=estimate_accuracy(main_Q),
        lax=_other(questions, rows_Q, lax_Q, _changed(main_Q, lax_Q)),
    )


def _strict_reasons(
    question: Question, rows: Sequence[EvaluatedSample], settings: MathVerifyConfig
) -> list[str | None]:
    gold = normalise(extract_gold(question.answer))
    return [_strict_reason(gold, row, settings.answer_format) if row.correct else None for row in rows]


def _strict_reason(gold: str, row: EvaluatedSample, formats: Sequence[AnswerFormat]) -> StrictReason | None:
    """Return why a right answer is not right by the strict verdict; None if it is."""
    if row.truncated:
        return "cut_off"
    marks = [mark for mark in _MARKS if mark in formats]
    answer = extract_answer(row.text, marks or formats)
    if answer is None:
        return "not_marked"
    return None if normalise(answer) == gold else "written_otherwise"


def _lax_reasons(question: Question, rows: Sequence[EvaluatedSample], reader: LaxReader) -> list[str | None]:
    open_rows = [row for row in rows if not row.correct]
    found = iter(reader.reasons(question, [row.text for row in open_rows]))
    return [None if row.correct else next(found) for row in rows]


def _changed(main_Q: Sequence[Sequence[bool]], reasons_Q: Sequence[Sequence[str | None]]) -> list[list[bool]]:
    """Return the verdicts, of which those with a reason are the opposite of the main ones."""
    return [
        [right != (reason is not None) for right, reason in zip(*rows, strict=True)]
        for rows in zip(main_Q, reasons_Q, strict=True)
    ]


def _other(
    questions: Mapping[str, Question],
    rows_Q: Sequence[Sequence[EvaluatedSample]],
    reasons_Q: Sequence[Sequence[str | None]],
    right_Q: Sequence[Sequence[bool]],
) -> OtherVerdict:
    cases = [(row, reason) for rows in zip(rows_Q, reasons_Q, strict=True) for row, reason in zip(*rows, strict=True)]
    different = [(row, reason) for row, reason in cases if reason is not None]
    counts = Counter(reason for _, reason in different)
    return OtherVerdict(
        accuracy=estimate_accuracy(right_Q),
        samples=len(cases),
        differs=len(different) / len(cases),
        reasons={reason: number / len(cases) for reason, number in counts.most_common()},
        worst=_worst(questions, different),
    )


def _worst(
    questions: Mapping[str, Question], different: Sequence[tuple[EvaluatedSample, str]]
) -> tuple[Disagreement, ...]:
    """Return one sample of each kind of difference, the most frequent kinds first, one question at most once."""
    alike: defaultdict[tuple[str, str, str | None], list[EvaluatedSample]] = defaultdict(list)
    for row, reason in different:
        alike[row.question, reason, row.score.answer].append(row)
    chosen: dict[str, Disagreement] = {}
    for (question, reason, answer), rows in sorted(alike.items(), key=lambda item: -len(item[1])):
        if question not in chosen and len(chosen) < EXAMPLES:
            chosen[question] = Disagreement(
                question=printable(question),
                index=rows[0].index,
                reason=reason,
                answer=None if answer is None else tail(answer),
                gold=tail(extract_gold(questions[question].answer)),
                text_end=tail(rows[0].text),
                alike=len(rows),
            )
    return tuple(chosen.values())
