"""Inputs of a run in MLflow: its splits and benchmarks, each with its source and a digest of its questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igrpo.config import RunConfig
from igrpo.data.reader import is_file
from igrpo.runs.fingerprints import Prints, digest
from igrpo.runs.mlflow_client import MlflowRun
from igrpo.settings.data import GeneratedDataConfig, JsonlDataConfig

_DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A split or benchmark.

    ``context`` is its use (train, development, test or the benchmark), ``source`` where it comes from, in the form of
    MLflow's source type ``source_type``, and ``digest`` is of all its questions and answers in their order.
    """

    name: str
    context: str
    digest: str
    questions: int
    source_type: str
    source: Mapping[str, Any]


def dataset_inputs(config: RunConfig, questions: Prints) -> list[DatasetInput]:
    """Return the inputs of a run. ``questions`` are the fingerprints of its questions, by split."""
    return list(_inputs(config, questions))


def _inputs(config: RunConfig, questions: Prints) -> Iterator[DatasetInput]:
    for split, prints in questions.items():
        benchmark = config.evaluation.benchmarks.get(split.removeprefix("benchmark "))
        name, kind, source = _source(config, split) if benchmark is None else _hub_source(benchmark, benchmark.split)
        hashed = digest(json.dumps(prints, sort_keys=True))[:_DIGEST_LENGTH]
        yield DatasetInput(name, split, hashed, int(prints["questions"]), kind, source)


def _source(config: RunConfig, split: str) -> tuple[str, str, dict[str, Any]]:
    """Return the data's name, and the type and location of its source in MLflow's form."""
    data = config.data
    if isinstance(data, GeneratedDataConfig):
        return data.name, "code", {"tags": {"mlflow.source.name": f"igrpo.data.{data.name}", "seed": str(data.seed)}}
    own = None if split == "train" else getattr(data, split)
    if isinstance(data, JsonlDataConfig):
        return _file_source(own if isinstance(own, str) else data.path)
    return _hub_source(data, own if isinstance(own, str) else data.split)


def _hub_source(data: Any, split: str) -> tuple[str, str, dict[str, Any]]:
    if is_file(split):
        return _file_source(split)
    if Path(data.dataset).exists():
        return _file_source(data.dataset)
    source = {"path": data.dataset, "config_name": data.subset, "split": split, "revision": data.revision}
    return data.dataset, "hugging_face", source


def _file_source(path: str) -> tuple[str, str, dict[str, Any]]:
    return Path(path).name, "local", {"uri": str(Path(path).absolute())}


def log_datasets(run: MlflowRun, datasets: Sequence[DatasetInput]) -> None:
    """Log the inputs of a run. MLflow keeps one of each name and digest, so this may be repeated."""
    from mlflow.entities import Dataset, InputTag
    from mlflow.entities import DatasetInput as Input

    run.client.log_inputs(
        run.run_id,
        [
            Input(
                Dataset(
                    name=one.name,
                    digest=one.digest,
                    source_type=one.source_type,
                    source=json.dumps(one.source),
                    profile=json.dumps({"num_rows": one.questions}),
                ),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in datasets
        ],
    )
