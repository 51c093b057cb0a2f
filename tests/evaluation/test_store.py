"""The file of samples: what it keeps, and what it does after the process died at any byte."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.disk import DiskFullError
from igrpo.evaluation.samples import EvaluatedSample, sample_line, sample_of
from igrpo.evaluation.store import SampleFile, read_samples
from igrpo.types import OUTCOMES, Completion, Score
from tests.evaluated import RIGHT, WRONG, evaluated


def made(question: str, index: int, text: str = "x", **changes: object) -> EvaluatedSample:
    completion = Completion((1, 2), text, (-0.5, -1 / 3), None, (0.1, 2 / 3), "stop", 0)
    return evaluated(question, index, completion, RIGHT if index % 2 else WRONG, **changes)


SAMPLES = [made("a", 0, "é\n\u2028\ud800 }"), made("a", 1), made("b", 0, entropy=None), made("a", 0, kind="greedy")]


def file_of(path: Path, samples: list[EvaluatedSample]) -> SampleFile:
    file = SampleFile(path)
    file.add(samples)
    return file


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "test.jsonl"
    file_of(path, SAMPLES[:2]).add(SAMPLES[2:])
    assert read_samples(path) == SAMPLES
    again = SampleFile(path)
    assert list(again.samples.values()) == SAMPLES
    assert len(again) == 4
    assert again.get("a", ("greedy", 0)) == SAMPLES[3]
    assert again.get("b", ("greedy", 0)) is None
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["tokens"] for line in lines] == [2] * 4


@given(
    text=st.text(),
    values=st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.none() | st.booleans()),
    outcome=st.sampled_from(OUTCOMES),
    context=st.lists(st.tuples(st.text(), st.integers(0, 9)), max_size=3),
    entropy=st.none() | st.floats(0, 20),
)
def test_a_line_is_the_sample(
    text: str,
    values: tuple[float, bool | None],
    outcome: str,
    context: list[tuple[str, int]],
    entropy: float | None,
) -> None:
    sample = replace(
        made("q", 3, text),
        context=tuple(context),
        entropy=entropy,
        score=Score(*values, outcome, text or None),  # type: ignore[arg-type]
    )
    assert sample_of(json.loads(json.dumps(sample_line(sample)))) == sample


def _ends(data: bytes) -> list[int]:
    return [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]


def test_after_a_death_at_any_byte_whole_lines_remain(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    file_of(whole, SAMPLES)
    data = whole.read_bytes()
    lengths = {*range(0, len(data), 41), *(end + by for end in _ends(data) for by in (-2, -1, 0, 1)), len(data)}
    for length in sorted(length for length in lengths if length <= len(data)):
        path = tmp_path / "torn.jsonl"
        path.write_bytes(data[:length])
        kept = SAMPLES[: data[:length].count(b"\n")]
        assert read_samples(path) == kept, "reading leaves out a line that is being written"
        file = SampleFile(path)
        assert list(file.samples.values()) == kept
        file.add(SAMPLES)
        assert path.read_bytes() == data


def test_a_long_torn_line_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    file_of(path, SAMPLES[:1])
    begin = path.read_bytes()
    path.write_bytes(begin + b"x" * 200_000)
    SampleFile(path)
    assert path.read_bytes() == begin


def test_the_first_of_equal_keys_counts(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    other = replace(SAMPLES[1], text="other")
    file_of(path, [SAMPLES[1], other]).add([other])
    assert read_samples(path) == [SAMPLES[1]]
    path.write_bytes(path.read_bytes() + json.dumps(sample_line(other)).encode() + b"\n")
    assert read_samples(path) == list(SampleFile(path).samples.values()) == [SAMPLES[1]]


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"no json", b'{"question": "a"}'])
def test_a_broken_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "test.jsonl"
    file_of(path, SAMPLES[:2])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(ValueError, match=r"test\.jsonl, line 3: not a sample of an evaluation"):
        SampleFile(path)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    file = file_of(path, SAMPLES[:1])
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(DiskFullError, match=r"cannot write .*test\.jsonl"):
            file.add(SAMPLES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    file.add(SAMPLES)
    assert read_samples(path) == SAMPLES
