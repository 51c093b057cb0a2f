"""What a benchmark's samples say: the one place where metrics of an evaluation are added."""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.store import SampleFile
from igrpo.runs.evaluation_directory import BenchmarkResult
from igrpo.types import Question


def benchmark_result(
    result: EvaluationResult, questions: Sequence[Question], samples: int, file: SampleFile
) -> BenchmarkResult:
    """Return the result of a benchmark.

    Args:
        result: that of the evaluator.
        questions: the evaluated questions.
        samples: k, the number of samples per question.
        file: all samples.
    """
    metrics = {name.removeprefix("/"): value for name, value in result.metrics("").items()}
    return BenchmarkResult(questions=len(questions), samples=samples, metrics=metrics)
