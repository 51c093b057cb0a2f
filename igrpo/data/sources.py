"""Questions of the configured data set, from a generator, a local file or the `datasets` library.

Local files have their own reader (`igrpo.data.reader`), since `datasets` reports no line numbers, changes the spelling
of numbers (an answer 0.10 becomes 0.1), and rejects columns of mixed types. Rows of both become questions by the same
mapper (`igrpo.data.mapper`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from igrpo.data.chains import chain_splits
from igrpo.data.identity import check_identity
from igrpo.data.mapper import RowMapper
from igrpo.data.reader import is_file, looks_local, read_file, read_hub
from igrpo.data.splits import Splits, choose, hold_out, warn_of_overlap
from igrpo.data.times_tables import times_tables_splits
from igrpo.settings.benchmark import BenchmarkConfig
from igrpo.settings.data import (
    ChainsDataConfig,
    DataConfig,
    HubDataConfig,
    JsonlDataConfig,
    TimesTablesDataConfig,
)
from igrpo.types import Question


def read_source(data: DataConfig) -> Splits:
    """Read or generate the questions of all splits.

    Raises:
        ValueError: a file, a data set, a split or a field is missing or broken, too many rows are unusable, or a share
            holds out no question; the message names the setting and its value, or the file and the line.
    """
    if isinstance(data, ChainsDataConfig):
        return chain_splits(**data.model_dump(exclude={"name"}))
    if isinstance(data, TimesTablesDataConfig):
        return times_tables_splits(**data.model_dump(exclude={"name"}))
    return _read_splits(data, _jsonl_reader(data) if isinstance(data, JsonlDataConfig) else _hub_reader(data))


def read_benchmark(name: str, benchmark: BenchmarkConfig) -> tuple[Question, ...]:
    """Read all questions of ``evaluation.benchmarks.NAME``. A row without a question is an error.

    Raises:
        ValueError: the benchmark cannot be loaded or read, or it is not the one that its settings describe; the message
            names the setting.
    """
    section = f"evaluation.benchmarks.{name}"
    questions = _read_dataset(benchmark, benchmark.dataset, benchmark.split, RowMapper(section, benchmark.fields))
    check_identity(section, benchmark, questions)
    return questions


#: Reads the questions that a setting (such as ``data.test``) names: the setting and its value.
_Reader = Callable[[str, str], tuple[Question, ...]]


def _read_splits(data: JsonlDataConfig | HubDataConfig, read: _Reader) -> Splits:
    """Read the training questions; hold out a share of them, or read the held-out questions that are named."""
    main = ("data.path", data.path) if isinstance(data, JsonlDataConfig) else ("data.dataset", data.dataset)
    development, test = data.development, data.test
    splits = hold_out(
        read(*main),
        0.0 if isinstance(development, str) else development,
        0.0 if isinstance(test, str) else test,
    )
    train = choose(splits.train, data.limit, data.limit_seed) if isinstance(data, HubDataConfig) else splits.train
    splits = Splits(
        train,
        read("data.development", development) if isinstance(development, str) else splits.development,
        read("data.test", test) if isinstance(test, str) else splits.test,
    )
    warn_of_overlap(splits)
    return splits


def _jsonl_reader(data: JsonlDataConfig) -> _Reader:
    mapper = RowMapper("data", data.fields)

    def read(setting: str, name: str) -> tuple[Question, ...]:
        return _read_file(setting, name, mapper)

    return read


def _hub_reader(data: HubDataConfig) -> _Reader:
    mapper = RowMapper(
        "data",
        data.fields,
        where=data.where,
        problem_prefix=data.problem_prefix,
        problem_suffix=data.problem_suffix,
        unusable_share=data.unusable_share,
    )

    def read(setting: str, name: str) -> tuple[Question, ...]:
        if setting == "data.dataset":
            return _read_dataset(data, name, data.split, mapper)
        if is_file(name):
            return _read_file(setting, name, mapper)
        if looks_local(name):
            raise ValueError(f"{setting}={name}: there is no such file")
        if is_file(data.dataset):
            raise ValueError(
                f"{setting}={name}: data.dataset={data.dataset} is a single file, which has no other split; give a "
                "share of it to hold out, or another file"
            )
        return _read_dataset(data, data.dataset, name, mapper)

    return read


def _read_dataset(
    data: HubDataConfig | BenchmarkConfig, name: str, split: str, mapper: RowMapper
) -> tuple[Question, ...]:
    """Read a split of a data set; a single local file has only one."""
    if is_file(name):
        return _read_file(f"{mapper.section}.dataset", name, mapper)
    section = mapper.section
    if looks_local(name) and not Path(name).expanduser().exists():
        raise ValueError(f"{section}.dataset={name}: there is no such file or directory")  # the hub would be asked
    rows = read_hub(name, data.subset, split, data.revision, fields=mapper.paths, section=section)
    return mapper.questions(rows, f"{section}.dataset={name}: its split '{split}'")


def _read_file(setting: str, name: str, mapper: RowMapper) -> tuple[Question, ...]:
    return mapper.questions(read_file(Path(name).expanduser(), setting), f"{setting}={name}")
