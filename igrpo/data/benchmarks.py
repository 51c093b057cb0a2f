"""Benchmarks: test sets in addition to that of the training data."""

from __future__ import annotations

from igrpo.data.fields import Fields
from igrpo.data.hub import HubDataset
from igrpo.settings.data import BenchmarkConfig
from igrpo.types import Question


def read_benchmark(name: str, benchmark: BenchmarkConfig) -> tuple[Question, ...]:
    """Read all questions of ``evaluation.benchmarks.NAME``. A row without a question is an error.

    Raises:
        ValueError: the benchmark cannot be loaded or read; the message names the setting.
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
