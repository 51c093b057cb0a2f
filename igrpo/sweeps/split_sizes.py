"""Sizes of the splits of a sweep's data, if they can be read without a download or a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from igrpo.config import ConfigError, RunConfig
from igrpo.settings.data import ChainsDataConfig, DataConfig, JsonlDataConfig, TimesTablesDataConfig


class SplitSizes(NamedTuple):
    """Number of questions per split, before contaminated or too long questions are removed."""

    train: int
    development: int
    test: int


def split_sizes(configs: Sequence[RunConfig]) -> SplitSizes | None:
    """Return the size of each split, as the minimum over runs; None if a size is only known during a run.

    Raises:
        ConfigError: a local file cannot be read, or there are fewer training questions than questions per step.
    """
    read: dict[str, SplitSizes | None] = {}
    problems: dict[str, None] = {}
    for config in configs:
        key = config.data.model_dump_json()
        if key not in read:
            read[key] = _sizes(config.data)
        sizes, step = read[key], config.trainer.questions_per_step
        if sizes is not None and sizes.train < step:
            problems[
                f"trainer.questions_per_step={step}: the data has {sizes.train} questions to train on; lower it, or "
                "give more data"
            ] = None
    if problems:
        raise ConfigError(list(problems), "the data")
    known = [sizes for sizes in read.values() if sizes is not None]
    return SplitSizes(*map(min, zip(*known, strict=True))) if len(known) == len(read) else None


def _sizes(data: DataConfig) -> SplitSizes | None:
    if isinstance(data, ChainsDataConfig):
        return SplitSizes(data.train, data.development, data.test)
    if not isinstance(data, JsonlDataConfig | TimesTablesDataConfig):
        return None
    from igrpo.data.sources import read_source

    try:
        splits = read_source(data)
    except ValueError as error:
        raise ConfigError([str(error)], "the data") from error
    return SplitSizes(len(splits.train), len(splits.development), len(splits.test))
