"""Benchmarks: test sets beside that of the training data."""

from __future__ import annotations

from igrpo.config.parts.data import BenchmarkConfig
from igrpo.data.fields import Fields
from igrpo.data.hub import HubDataset
from igrpo.types import Question


def read_benchmark(name: str, benchmark: BenchmarkConfig) -> tuple[Question, ...]:
    """All questions of ``evaluation.benchmarks.NAME``; a row that holds none is an error, for none may be missing.

    Raises:
        ValueError: it cannot be loaded or read; the message names the setting.
    """
    dataset = HubDataset(
        section=f"evaluation.benchmarks.{name}",
        name=benchmark.dataset,
        subset=benchmark.subset,
        revision=benchmark.revision,
        fields=Fields(**benchmark.fields.model_dump()),
        where={},
        unusable_share=0.0,
    )
    return dataset.read(benchmark.split)
