"""Results of all checks of an evaluation, as objects and as an entry of its result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.calibration import Calibration
from igrpo.evaluation.validity.confidence import Grouping, calibrations, grouped_as_written, without_answer
from igrpo.evaluation.validity.contamination import Contamination
from igrpo.evaluation.validity.sensitivity import Sensitivity
from igrpo.evaluation.validity.verdicts import Verdicts, compare_verdicts
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import Question


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks of one benchmark.

    ``without_answer`` is the share of samples in which the reward found no answer. ``verdicts`` is None if another
    reward than the rule verifier gives the verdicts. ``calibration`` is by kind of confidence, and ``sensitivity`` by
    the name of the setting that is varied. Without any score there is neither ``verdicts`` nor ``calibration``.
    """

    without_answer: float
    verdicts: Verdicts | None
    calibration: Mapping[str, Calibration]
    sensitivity: Mapping[str, Sensitivity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Validity:
    """Checks of an evaluation, by benchmark; ``contamination`` compares benchmarks, and is None if not asked for.

    ``not_compared`` has a sentence for each setting that was to be varied and has no other value to compare.
    """

    benchmarks: Mapping[str, Checks]
    contamination: Contamination | None = None
    not_compared: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """Return the checks as plain values, for a file."""
        return asdict(self)


def free_checks(
    questions: Sequence[Question],
    rows: Sequence[EvaluatedSample],
    verifier: MathVerifyConfig | None,
    group: Grouping = grouped_as_written,
) -> Checks:
    """Make the checks that need no further samples.

    Args:
        questions: the benchmark's questions.
        rows: the single-shot samples, the same number for each question.
        verifier: settings of the rule verifier that judged them; None: something else did.
        group: finds equal answers.

    Raises:
        ValueError: there are no samples, or not the same number per question.
        VerifierStartError: the verifier's processes do not start.
    """
    known = {question.id: question for question in questions}
    by_question: dict[str, list[EvaluatedSample]] = {}
    for row in rows:
        by_question.setdefault(row.question, []).append(row)
    rows_Q = list(by_question.values())
    if not any(row.scored for row in rows):
        return Checks(without_answer(rows_Q), None, {})  # no verdict, so nothing to be right or wrong about
    verdicts = None if verifier is None else compare_verdicts(known, rows_Q, verifier)
    return Checks(without_answer(rows_Q), verdicts, calibrations(rows_Q, group))
