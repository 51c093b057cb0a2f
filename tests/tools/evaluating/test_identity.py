"""What a resumed evaluation must not change, and what it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.runs.evaluation_directory import EvaluationDirectory, EvaluationRecord
from igrpo.tools.evaluating.identity import refuse_changes
from tests.evaluation.rows import rows
from tests.evaluations import make_evaluation

#: Says how, where or when it was measured.
FREE: dict[str, Any] = {
    "created": "2026-01-02T00:00:00Z",
    "command": ("igrpo",),
    "engine": {"name": "vllm_server"},
    "hardware": "GPU",
    "commit": "12ab",
    "versions": {"torch": "9"},
}
FIXED: dict[str, Any] = {
    "protocol": 0,
    "model": {"weights": "0123456789abcdef"},
    "measured": "test",
    "limit": 3,
    "benchmarks": {"math": {"samples": 3}},
    "prompt": {"name": "boxed"},
    "precision": "bf16",
    "seed": 1,
    "date": "2026-01-02",
}


@pytest.fixture
def record(tmp_path: Path) -> EvaluationRecord:
    return EvaluationDirectory(make_evaluation(tmp_path / "eval", {"math": rows([[True, False]])})).read_record()


def changed(record: EvaluationRecord, name: str, value: Any) -> EvaluationRecord:
    values = record.model_dump()
    if name == "benchmarks":
        values[name]["math"] |= value["math"]
    else:
        values[name] = values[name] | value if name == "model" else value
    return EvaluationRecord.model_validate(values)


@pytest.mark.parametrize("name", FREE)
def test_how_and_where_may_change(record: EvaluationRecord, name: str) -> None:
    refuse_changes(record, changed(record, name, FREE[name]))


@pytest.mark.parametrize("name", FIXED)
def test_what_is_measured_may_not(record: EvaluationRecord, name: str) -> None:
    with pytest.raises(ValueError, match=rf"has changed since the evaluation began: {name}\b"):
        refuse_changes(record, changed(record, name, FIXED[name]))


def test_every_part_is_one_or_the_other() -> None:
    assert {*FREE, *FIXED} == EvaluationRecord.model_fields.keys() - {"schema_version"}
