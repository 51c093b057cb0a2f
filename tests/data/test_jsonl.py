"""Local files of JSON lines: what is read, what is held out, and the message for each broken file."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from igrpo.data.splits import hold_out
from igrpo.types import Question
from tests.data.making import read
from tests.data.messages import says


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def record(number: int) -> dict[str, str]:
    return {"id": f"q{number}", "problem": f"What is {number}?", "answer": str(number)}


def test_plain_and_gzipped_files_hold_the_same_questions(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", *map(record, range(5)))
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    source = read(plain)
    assert source.train == read(zipped).train
    assert [(q.id, q.problem, q.answer) for q in source.train][3] == ("q3", "What is 3?", "3")


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "separators.jsonl"
    problem = "a\u2028b\u2029c\x85d\x0be\x0cf"
    text = json.dumps({**record(1), "problem": problem}, ensure_ascii=False).replace("\\u000b", "\x0b")
    text = text.replace("\\f", "\\u000c")
    path.write_bytes(("\ufeff" + text.replace("\x0b", "\\u000b") + "\r\n\n  \n" + json.dumps(record(2))).encode())
    questions = read(path).train
    assert [q.problem for q in questions] == [problem, "What is 2?"]


def test_numbers_keep_their_spelling_and_ids_may_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    path.write_text(
        '{"id": 7, "problem": "p", "answer": 0.10}\n{"id": 8, "problem": "p", "answer": 12345678901234567890123}\n'
    )
    assert [(q.id, q.answer) for q in read(path).train] == [("7", "0.10"), ("8", "12345678901234567890123")]


def test_other_field_names_and_records_without_an_id(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "2+2", "final": "4"}, {"question": "2+3", "final": "5"})
    source = read(path, id=None, problem="question", answer="final")
    assert [(q.problem, q.answer) for q in source.train] == [("2+2", "4"), ("2+3", "5")]
    turned = write(tmp_path / "b.jsonl", {"question": "2+3", "final": "5"}, {"question": "2+2", "final": "4"})
    assert {q.id for q in read(turned, id=None, problem="question", answer="final").train} == {
        q.id
        for q in source.train  # of the problem, not of its place
    }


def test_shares_are_held_out_by_id_alone(tmp_path: Path) -> None:
    records = [record(number) for number in range(400)]
    one = read(write(tmp_path / "a.jsonl", *records), development=0.1, test=0.2)
    again = read(write(tmp_path / "b.jsonl", *records[::-1]), development=0.3, test=0.2)
    assert len(one.train) + len(one.development) + len(one.test) == 400
    # Binomial standard errors 6 and 8.
    assert 16 <= len(one.development) <= 64
    assert 50 <= len(one.test) <= 110
    assert set(one.test) == set(again.test)
    assert set(one.development) < set(again.development)
    assert not set(one.train) & set(one.test)


def test_a_split_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", *map(record, range(5)))
    test = write(tmp_path / "test.jsonl", *map(record, range(5, 8)))
    source = read(train, test=str(test))
    assert [len(source.train), len(source.development), len(source.test)] == [5, 0, 3]


def test_training_problems_in_a_held_out_file_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = write(tmp_path / "train.jsonl", *map(record, range(5)))
    test = write(tmp_path / "test.jsonl", *[{**record(number), "id": f"t{number}"} for number in range(3, 8)])
    with caplog.at_level(logging.WARNING):
        read(train, test=str(test))
    assert caplog.messages == ["2 of 5 test problems are also training problems, word for word"]


GOOD = json.dumps(record(1))
BROKEN_LINES = [
    (
        '{"id": 1,',
        "not valid JSON",
    ),
    ('{"id": "b", "problem": "p", "answer": NaN}', "NaN is not a JSON number"),
    ('["id"]', 'not ["id"]'),
    (
        '{"id": "b", "problm": "p", "answer": "1"}',
        "data.fields.problem); did you mean 'problm'? The fields are answer, id, problm",
    ),
    ("{}", "data.fields.problem); The fields are none"),
    ('{"id": "b", "problem": "p", "answer": " "}', "(data.fields.answer) is empty"),
    (
        '{"id": "b", "problem": "p", "answer": null}',
        "data.fields.answer) must be text or a number, not null",
    ),
    (
        '{"id": "b", "problem": "p", "answer": true}',
        "data.fields.answer) must be text or a number, not bool",
    ),
    (
        '{"id": "b", "problem": ["p"], "answer": "1"}',
        "data.fields.problem) must be text or a number, not list",
    ),
    (
        '{"id": "b", "problem": "\\ud800", "answer": "1"}',
        "lone surrogate",
    ),
    (GOOD, "the id 'q1' is already used at {file}:1"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN_LINES)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(ValueError, match=says(f"{path}:2: ", message.format(file=path))):
        read(path)


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"id": "b", "problem": "\xe9", "answer": "1"}\n')
    with pytest.raises(ValueError, match=says(f"{path}:2: not UTF-8", "at byte 24")):
        read(path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(GOOD.encode())[:-6])
    missing = tmp_path / "missing.jsonl"
    messages = {
        missing: f"data.path={missing}: there is no such file",
        empty: f"data.path={empty} has no question",
        tmp_path: f"data.path={tmp_path} is not a file",
        cut: f"data.path={cut} cannot be read",
    }
    for path, message in messages.items():
        with pytest.raises(ValueError, match=says(message)):
            read(path)
    with pytest.raises(ValueError, match=r"^data\.test=.*missing\.jsonl: there is no such file$"):
        read(write(tmp_path / "a.jsonl", record(1)), test=str(missing))


@pytest.mark.parametrize(
    ("development", "test", "message"),
    [
        (1.0, 0.0, "data.development=1.0: "),
        (0.0, -0.1, "data.test=-0.1: "),
        (0.5, 0.5, "data.development=0.5 and data.test=0.5 leave none of 3 questions to train on"),
        (0.0, 1e-6, "data.test=1e-06 of 3 questions holds out none"),
    ],
)
def test_impossible_shares_are_errors(development: float, test: float, message: str) -> None:
    questions = [Question(f"q{number}", f"What is {number}?", str(number)) for number in range(3)]
    with pytest.raises(ValueError, match=says(message)):
        hold_out(questions, development, test)
