"""Comparison of two evaluations on the same questions (`igrpo eval DIR --against DIR`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from igrpo.evaluation.columns import by_question
from igrpo.evaluation.flips import Flip, flips
from igrpo.evaluation.paired import PairedDifference, paired_difference
from igrpo.evaluation.samples import SINGLE_SHOT, EvaluatedSample
from igrpo.evaluation.store import read_samples
from igrpo.files import write_json_atomic, write_text_atomic
from igrpo.report.statistics import holm
from igrpo.runs.evaluation_directory import EvaluationDirectory, EvaluationRecord
from igrpo.seeding import derive_seed
from igrpo.tools.evaluating.against_page import page
from igrpo.tools.evaluating.comparable import Part, comparable
from igrpo.tools.evaluating.pairing import common_questions, same_content
from igrpo.types import Question

SCHEMA_VERSION = 1

_Rows = dict[str, list[EvaluatedSample]]


@dataclass(frozen=True, slots=True)
class BenchmarkComparison:
    """Two models on a benchmark: accuracies and samples per question of both, difference, and flipped questions.

    ``p_holm`` is p, corrected for the number of benchmarks. ``questions`` has those of the flips.
    """

    name: str
    samples: tuple[int, int]
    accuracies: tuple[float, float]
    paired: PairedDifference
    p_holm: float
    flips: tuple[Flip, ...]
    questions: Mapping[str, Question]

    @property
    def gained(self) -> tuple[Flip, ...]:
        """Flips to the first model: it is right, and the second one is not."""
        return tuple(flip for flip in self.flips if flip.gained)

    @property
    def lost(self) -> tuple[Flip, ...]:
        """Flips to the second model."""
        return tuple(flip for flip in self.flips if not flip.gained)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations, their differences on each benchmark (first - second), and what else differs, as sentences."""

    first: Path
    second: Path
    models: tuple[str, str]
    protocol: int
    notes: tuple[str, ...]
    benchmarks: tuple[BenchmarkComparison, ...]


def compare_evaluations(first: Path, second: Path, allowed: Collection[Part] = ()) -> Comparison:
    """Compare the single-shot samples of two evaluations, question by question.

    Args:
        first: directory of an evaluation.
        second: directory of the one that it is compared with.
        allowed: parts that may differ (see `comparable`). If the questions differ, those are compared that both have,
            with the same problem and answer up to their spelling (see `igrpo.tools.evaluating.pairing`).

    Raises:
        ValueError: not an evaluation, not complete on a common benchmark, or not comparable.
    """
    pair = EvaluationDirectory(first), EvaluationDirectory(second)
    if pair[0].path.resolve() == pair[1].path.resolve():
        raise ValueError(f"{first} would be compared with itself: give two evaluations")
    records = pair[0].read_record(), pair[1].read_record()
    common = comparable(*records, allowed, alike=list(_alike(pair, records)))
    found = [_benchmark(pair, name) for name in common.benchmarks]
    adjusted = holm([one.paired.p for one in found])
    return Comparison(
        first=pair[0].path,
        second=pair[1].path,
        models=(_model_words(records[0].model), _model_words(records[1].model)),
        protocol=records[0].protocol,
        notes=common.notes,
        benchmarks=tuple(replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)),
    )


def write_comparison(comparison: Comparison) -> tuple[Path, Path]:
    """Write the comparison next to the first evaluation, as JSON and as Markdown; return the two paths.

    The same two directories always give the same file names.
    """
    second = comparison.second
    digest = hashlib.sha256(str(second).encode()).hexdigest()[:8]
    stem = comparison.first / f"against-{second.name}-{digest}"
    as_json, as_page = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.md")
    write_json_atomic(as_json, _values(comparison))
    write_text_atomic(as_page, page(comparison))
    return as_json, as_page


def _alike(
    pair: tuple[EvaluationDirectory, EvaluationDirectory], records: tuple[EvaluationRecord, EvaluationRecord]
) -> Iterator[str]:
    """Yield the benchmarks whose questions have other hashes in the two records, and the same content."""
    ours, theirs = (record.benchmarks for record in records)
    for name in [name for name in ours if name in theirs and ours[name].digest != theirs[name].digest]:
        if same_content(_questions(pair[0], name), _questions(pair[1], name)):
            yield name


def _benchmark(pair: tuple[EvaluationDirectory, EvaluationDirectory], name: str) -> BenchmarkComparison:
    rows = _rows(pair[0], name), _rows(pair[1], name)
    questions = _questions(pair[0], name), _questions(pair[1], name)
    shared = [(ours, theirs) for ours, theirs in common_questions(*questions) if ours in rows[0] and theirs in rows[1]]
    both = [ours for ours, _ in shared]
    other = {ours: rows[1][theirs] for ours, theirs in shared}
    if not both:
        raise ValueError(f"the evaluations have no question of {name} in common")
    samples = len(rows[0][both[0]]), len(other[both[0]])
    right = [(_right(rows[0][question]), _right(other[question])) for question in both]
    paired = paired_difference(right, samples, seed=derive_seed("against", name))
    flipped = flips({question: rows[0][question] for question in both}, other)
    return BenchmarkComparison(
        name=name,
        samples=samples,
        accuracies=(
            sum(ours for ours, _ in right) / (samples[0] * len(both)),
            sum(theirs for _, theirs in right) / (samples[1] * len(both)),
        ),
        paired=paired,
        p_holm=paired.p,
        flips=tuple(flipped),
        questions={flip.question: questions[0][flip.question] for flip in flipped},
    )


def _rows(directory: EvaluationDirectory, name: str) -> _Rows:
    if name not in directory.read_results().benchmarks:
        raise ValueError(f"{directory} has not finished {name}; to finish it: igrpo eval resume={directory}")
    samples = [sample for sample in read_samples(directory.samples(name)) if sample.kind == SINGLE_SHOT]
    if not any(sample.scored for sample in samples):
        raise ValueError(f"{directory} has no accuracy on {name}: its reward could score no sample")
    return {row[0].question: row for row in by_question(samples)}


def _questions(directory: EvaluationDirectory, name: str) -> dict[str, Question]:
    path = directory.questions(name)
    try:
        read = [Question(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not have the questions of {name}: {error}") from None
    return {question.id: question for question in read}


def _right(samples: Collection[EvaluatedSample]) -> int:
    return sum(sample.correct for sample in samples)


def _model_words(model: Any) -> str:
    """Name a model: the run or its path, and the checkpoint."""
    step = "" if model.step is None else f", step {model.step}"
    return f"{model.path}{step}"


def _values(comparison: Comparison) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": comparison.protocol,
        "first": {"path": str(comparison.first), "model": comparison.models[0]},
        "second": {"path": str(comparison.second), "model": comparison.models[1]},
        "notes": list(comparison.notes),
        "benchmarks": {one.name: _benchmark_values(one) for one in comparison.benchmarks},
    }


def _benchmark_values(one: BenchmarkComparison) -> dict[str, Any]:
    return {
        "samples": list(one.samples),
        "accuracies": list(one.accuracies),
        **asdict(one.paired),
        "p_holm": one.p_holm,
        "flips": [
            {
                "question": flip.question,
                "problem": one.questions[flip.question].problem,
                "answer": one.questions[flip.question].answer,
                "right": [flip.first_right, flip.second_right],
                "first": _sample_values(flip.first),
                "second": _sample_values(flip.second),
            }
            for flip in one.flips
        ],
    }


def _sample_values(sample: EvaluatedSample) -> dict[str, Any]:
    return {
        "index": sample.index,
        "correct": sample.score.correct,
        "answer": sample.score.answer,
        "tokens": len(sample.token_ids),
        "text": sample.text,
    }
