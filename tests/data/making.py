"""Splits of local files, with default field names and nothing held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from igrpo.data.mapper import RowMapper
from igrpo.data.sources import read_source
from igrpo.data.splits import Splits
from igrpo.settings.data import DecontaminationConfig, FieldNames, JsonlDataConfig

_OFF = DecontaminationConfig(method="off", ngram=1, shorter_share=1.0, longer_share=1.0)


def names(**changes: Any) -> FieldNames:
    usual = {"id": "id", "problem": "problem", "answer": "answer", "answer_form": "plain"}
    return FieldNames.model_validate(usual | changes)


def mapper(prefix: str = "", suffix: str = "", **changes: Any) -> RowMapper:
    return RowMapper("data", names(**changes), problem_prefix=prefix, problem_suffix=suffix)


def read(path: Path, development: float | str = 0.0, test: float | str = 0.0, **changes: Any) -> Splits:
    return read_source(
        JsonlDataConfig(
            name="jsonl",
            path=str(path),
            fields=names(**changes),
            development=development,
            test=test,
            decontamination=_OFF,
        )
    )
