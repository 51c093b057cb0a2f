"""Checks of data sets and benchmarks that pydantic cannot make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from igrpo.config.schema import RunConfig
from igrpo.data.reader import is_file, looks_local
from igrpo.settings.data import FieldNames, GeneratedDataConfig, HubDataConfig

#: Splits of the run's own data. Evaluations are stored under the names of splits and benchmarks.
_SPLITS = frozenset({"train", "development", "test"})
_OPTION_FORMS = ("letter", "index", "option")
_NAME = re.compile(r"[a-z0-9_]+")


def data_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction about options, and each benchmark whose name cannot name files."""
    if not isinstance(config.data, GeneratedDataConfig):
        yield from _options("data.fields", config.data.fields)
    for name, benchmark in config.evaluation.benchmarks.items():
        yield from _options(f"evaluation.benchmarks.{name}.fields", benchmark.fields)
        if name in _SPLITS:
            yield f"evaluation.benchmarks.{name}: '{name}' is a split of the run's own data; give it another name"
        elif not _NAME.fullmatch(name):
            yield (
                f"evaluation.benchmarks.{name}: use only lowercase letters, digits and _, because files and "
                "metrics are named after the benchmark"
            )


def _options(section: str, fields: FieldNames) -> Iterator[str]:
    if (fields.options is None) == (fields.answer_form in _OPTION_FORMS):
        other = "needs the options of a row: give" if fields.options is None else "does not go with"
        yield (
            f"{section}.answer_form={fields.answer_form} {other} {section}.options; the forms of an answer to a "
            f"question with options are {', '.join(_OPTION_FORMS)}"
        )


def missing_data(config: RunConfig) -> Iterator[str]:
    """Yield a message for each data set that is given as a local path that does not exist."""
    named = {
        f"evaluation.benchmarks.{name}.dataset": benchmark.dataset
        for name, benchmark in config.evaluation.benchmarks.items()
    }
    if isinstance(config.data, HubDataConfig):
        named["data.dataset"] = config.data.dataset
    for key, value in named.items():
        if looks_local(value) and not Path(value).expanduser().exists():
            yield f"{key}={value}: there is no such file or directory"
    if isinstance(config.data, HubDataConfig):
        for key, part in (("data.development", config.data.development), ("data.test", config.data.test)):
            if isinstance(part, str) and looks_local(part) and not is_file(part):
                yield f"{key}={part}: there is no such file"
