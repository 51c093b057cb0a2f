"""What a benchmark's samples say: the one place where metrics of an evaluation are added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.samples import DRAFT_CONDITIONED, DRAFT_CONDITIONED_ORACLE, SINGLE_SHOT, EvaluatedSample
from igrpo.evaluation.summary import MetricEstimate, summarise_samples
from igrpo.evaluation.validity.result import Checks
from igrpo.runs.evaluation_directory import BenchmarkResult
from igrpo.types import Question

#: Kinds of samples that are summarised, if there are any.
_SUMMARISED = (SINGLE_SHOT, DRAFT_CONDITIONED, DRAFT_CONDITIONED_ORACLE)


def benchmark_result(
    result: EvaluationResult,
    questions: Sequence[Question],
    samples: int,
    drawn: Sequence[EvaluatedSample],
    *,
    checks: Checks,
    same: Callable[[str, str], bool],
) -> BenchmarkResult:
    """Return the result of a benchmark.

    Args:
        result: that of the evaluator.
        questions: the evaluated questions.
        samples: k, the number of samples per question.
        drawn: all samples of all kinds, in an order that does not depend on when they ended.
        checks: what could be wrong with the result.
        same: equality of answers (see `igrpo.evaluation.summary`).
    """
    metrics = {name.removeprefix("/"): value for name, value in result.metrics("").items()}
    return BenchmarkResult(
        questions=len(questions),
        samples=samples,
        metrics=metrics,
        estimates=_estimates(drawn, same),
        test_time=result.test_time,
        validity=asdict(checks),
    )


def _estimates(
    drawn: Sequence[EvaluatedSample], same: Callable[[str, str], bool]
) -> dict[str, dict[str, MetricEstimate]]:
    by_kind = {kind: [one for one in drawn if one.kind == kind] for kind in _SUMMARISED}
    return {kind: summarise_samples(samples, same) for kind, samples in by_kind.items() if samples}
