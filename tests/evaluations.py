"""Directories of evaluations, made from samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.store import SampleFile
from igrpo.runs.evaluation_directory import (
    BenchmarkResult,
    EvaluatedModel,
    EvaluatedQuestions,
    EvaluationDirectory,
    EvaluationRecord,
    EvaluationResults,
)
from igrpo.types import Question

DIGEST = {"ids": "i", "problems": "p", "answers": "a"}
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "max_new_tokens": 64}


def make_evaluation(
    path: Path,
    samples: Mapping[str, Sequence[EvaluatedSample]],
    *,
    finished: bool = True,
    questions: Sequence[Question] | None = None,
    digest: Mapping[str, str] = DIGEST,
    sampling: Mapping[str, float] = SAMPLING,
    reward: Mapping[str, Any] | None = None,
    weights: str | None = None,
    **record: Any,
) -> Path:
    """Write an evaluation with these samples by benchmark; ``record`` replaces parts of its record."""
    directory = EvaluationDirectory(path)
    measured = {}
    for benchmark, rows in samples.items():
        ids = list(dict.fromkeys(row.question for row in rows))
        asked = questions or [Question(name, f"What is {name}?", "0") for name in ids]
        SampleFile(directory.samples(benchmark)).add(rows)
        directory.questions(benchmark).parent.mkdir(parents=True, exist_ok=True)
        directory.questions(benchmark).write_text("".join(f"{json.dumps(asdict(one))}\n" for one in asked))
        measured[benchmark] = EvaluatedQuestions(
            rows=len(ids),
            questions=len(ids),
            too_long=0,
            digest=digest,
            samples=len(rows) // len(ids),
            kinds={"single_shot": len(rows) // len(ids)},
            sampling=sampling,
            reward=reward or {"name": "math_verify", "workers": 2},
        )
    model = EvaluatedModel(
        source="run", path=f"/runs/{path.name}", step=20, weights=weights or path.name, dtype="float32", parameters=1
    )
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "command": (),
        "model": model,
        "measured": "benchmarks",
        "limit": None,
        "benchmarks": measured,
        "prompt": {"name": "tiny"},
        "engine": {"name": "local"},
        "precision": "32-true",
        "seed": 0,
        "date": "2026-01-01",
        "hardware": "CPU",
        "commit": None,
        "versions": {},
    }
    directory.write(EvaluationRecord.model_validate(values | record))
    results = {name: BenchmarkResult(questions=1, samples=1, metrics={}) for name in samples} if finished else {}
    directory.write(EvaluationResults(complete=finished, benchmarks=results))
    return path
