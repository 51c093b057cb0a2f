"""Files of every format: the same questions, and one error with its place where a file or a row is broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from igrpo.types import Question
from tests.data.making import read
from tests.data.messages import says

#: Texts with what separates cells, lines and quotes.
ROWS = [
    {"id": "a", "problem": 'Say "x, y; z"\nand\tmore: 1 < 2', "answer": "007"},
    {"id": "b", "problem": "Wie groß ist √2 · √2?\u2028Ja?", "answer": "2"},
    {"id": "c", "problem": "  What is $1{,}000 + 1$?", "answer": "1,001"},
]


def load(path: Path, identifier: str | None = "id") -> list[Question]:
    return list(read(path, id=identifier).train)


def found(path: Path) -> list[tuple[str, str, str]]:
    return [(question.id, question.problem, question.answer) for question in load(path)]


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def as_array(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",", line_end: str = "\r\n") -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)  # type: ignore[no-untyped-call]
    return file.getvalue()


FORMATS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "lines": ("jsonl", as_lines),
    "lines, CRLF and blank": ("jsonl", lambda rows: b"\r\n \r\n" + as_lines(rows).replace(b"\n", b"\r\n\r\n")),
    "array": ("json", as_array),
    "array in one line": ("json", lambda rows: b"\n " + json.dumps(rows).encode()),
    "array called jsonl": ("jsonl", as_array),
    "lines called json": ("json", as_lines),
    "csv": ("csv", as_csv),
    "csv, line feeds": ("csv", lambda rows: as_csv(rows, line_end="\n")),
    "csv, semicolons": ("csv", lambda rows: as_csv(rows, ";")),
    "csv, tabs": ("tsv", lambda rows: as_csv(rows, "\t")),
    "csv, upper case": ("CSV", as_csv),
    "parquet": ("parquet", as_parquet),
    "parquet called data": ("data", as_parquet),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packing", ["plain", "gz", "gzip without .gz", ".gz without gzip", "byte order mark"])
def test_every_format_and_packing_holds_the_same_questions(name: str, packing: str, tmp_path: Path) -> None:
    ending, write = FORMATS[name]
    content = write([dict(row) for row in ROWS])
    if packing == "byte order mark" and ending not in {"parquet", "data"}:
        content = b"\xef\xbb\xbf" + content
    if packing in {"gz", "gzip without .gz"}:
        content = gzip.compress(content, mtime=0)
    path = tmp_path / f"questions.{ending}{'.gz' if packing in {'gz', '.gz without gzip'} else ''}"
    path.write_bytes(content)
    assert found(path) == [(row["id"], row["problem"], row["answer"]) for row in ROWS]


@pytest.mark.parametrize("name", ["lines", "array", "csv", "parquet"])
def test_a_row_without_an_id_gets_a_hash_of_its_problem(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ending, write = FORMATS[name]
    rows = [{"problem": f"What is {n}?", "answer": str(n)} for n in range(5)]
    path, turned = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    path.write_bytes(write([*rows, rows[2], {"problem": "What is 3?", "answer": "4"}]))
    turned.write_bytes(write([{**row, "answer": row["answer"] + "0"} for row in reversed(rows)]))
    with caplog.at_level(logging.INFO):
        questions = load(path)
    assert [one.answer for one in questions] == ["0", "1", "2", "4"]  # one of two equal ones, none of two that differ
    assert "data: 7 of 7 rows have no id; a hash of the problem takes its place" in caplog.messages
    assert any("2 of 7 rows repeat the problem of another; 1 problems" in text for text in caplog.messages)
    ids = {one.problem: one.id for one in load(turned)}
    assert all(ids[one.problem] == one.id for one in questions)  # of the problem, wherever it is


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_some_rows_may_lack_an_id(nothing: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        as_lines([{"name": "x", "problem": "p", "answer": "1"}, {"name": nothing, "problem": "q", "answer": "2"}])
    )
    first, second = load(path, "name")
    assert first.id == "x"
    assert second.id == load(path, None)[1].id
    with pytest.raises(
        ValueError, match=r"a\.jsonl:1: there is no field 'nam' \(data\.fields\.id\); did you mean 'name'"
    ):
        load(path, "nam")


def test_two_rows_of_one_id_are_still_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([*ROWS, ROWS[0]]))
    with pytest.raises(ValueError, match=says(f"{path}:6: the id 'a' is already used at {path}:2")):
        load(path)


@pytest.mark.parametrize(
    ("value", "answer"),
    [(5, "5"), (5.0, "5"), (0.5, "0.5"), (-3.0, "-3"), (2**60, str(2**60)), (Decimal("1.50"), "1.50"), ("007", "007")],
)
def test_numeric_answers_of_parquet(value: object, answer: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet([{"id": 1, "problem": "p", "answer": value}]))
    assert found(path) == [("1", "p", answer)]


def test_numeric_answers_of_json_keep_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"id": 1, "problem": "p", "answer": 5.0}, {"id": 2, "problem": "q", "answer": 1e3}]')
    assert [answer for _, _, answer in found(path)] == ["5.0", "1e3"]


BROKEN: list[tuple[str, bytes, str]] = [
    ("a.csv", b"id,problem,answer\n1,p,1\n2,a,b,2\n", "{path}:3: 4 cells, and the header has 3"),
    ("a.csv", b"id,problem,answer\n1,p\n", "{path}:2: 2 cells, and the header has 3"),
    ("a.csv", b'id,problem,answer\n1,"p\nq",1\n2,"p', "{path}:4: not valid CSV"),
    ("a.csv", b"id,problem,problem\n1,p,1\n", "{path}:1: the header names 'problem' twice"),
    ("a.csv", b"id,problm,answer\n1,p,1\n", "{path}:2: there is no field 'problem' (data.fields.problem); did you mean 'problm'"),
    ("a.csv", b'id,problem,answer\n1,"p\nq",1\n2,q,\n', "{path}:4: the field 'answer' (data.fields.answer) is empty"),
    ("a.csv", b"id,problem,answer\n1,\xe9,1\n", "{path}: not UTF-8"),
    ("a.csv", b"id,problem,answer\n", "data.path={path} has no question"),
    ("a.csv", b"", "data.path={path} has no question"),
    ("a.json", b"[]", "data.path={path} has no question"),
    ("a.json", b'[{"id": 1, "problem": "p", "answer": "1"}, 5]', '{path} row 2: an item of the array must be a JSON object'),
    ("a.json", b'[{"id": 1, "problem": "p", "answer": "1"}, {"id": 2, "problem": "p"}]', "{path} row 2: there is no field 'answer' (data.fields.answer)"),
    ("a.json", b'[{"id": 1', "{path}: not valid JSON"),
    ("a.json", b'{\n "id": 1\n}', "{path}:1: not valid JSON"),
    ("a.jsonl", b'["id"]', '{path} row 1: an item of the array must be a JSON object'),
    ("a.gz", gzip.compress(b'{"id": 1, "problem": "p"}', mtime=0), "{path}:1: there is no field 'answer' (data.fields.answer)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_a_broken_file_is_named_with_its_place(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says(message.format(path=path))):
        load(path)


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet([dict(row) for row in ROWS])[:-9])
    with pytest.raises(ValueError, match=rf"^data\.path={path} cannot be read: no valid parquet"):
        load(path)
    path.write_bytes(as_parquet([{"id": 1, "problem": "p", "answer": float("inf")}]))
    with pytest.raises(ValueError, match=r"a\.parquet row 1: the field 'answer' .* not infinity$"):
        load(path)


def test_a_long_text_is_no_broken_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([{"id": "a", "problem": "x" * 300_000, "answer": "1"}]))
    assert len(load(path)[0].problem) == 300_000
