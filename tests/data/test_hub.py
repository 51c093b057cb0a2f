"""Data sets of data=hub, in local directories and files: no network."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from igrpo.data.sources import read_source
from igrpo.data.splits import Splits
from igrpo.settings.data import HubDataConfig
from tests.composed import config as composed
from tests.data.messages import says

FIELDS = {"id": None, "problem": "question", "answer": "answer", "answer_form": "plain"}
ROWS = [{"question": f"What is {number}?", "answer": number} for number in range(40)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def load(name: Path | str, **changes: Any) -> Splits:
    """The source of conf/data/hub.yaml, with nothing held out, and the changes."""
    settings = {"dataset": str(name), "fields": FIELDS, "development": 0.0, "test": 0.0} | changes
    values = {f"data.{key}": value for key, value in settings.items()}
    data = composed(values, "model=byte_level", "prompt=boxed",
                    "data=hub", "data.dataset=x").data  # fmt: skip
    assert isinstance(data, HubDataConfig)
    return read_source(data)


def write_jsonl(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_directory_with_splits(tmp_path: Path) -> None:
    directory = tmp_path / "set"
    directory.mkdir()
    write_jsonl(directory / "train.jsonl", ROWS[:30])
    write_jsonl(directory / "test.jsonl", [{**row, "answer": 7} for row in ROWS[30:]])
    source = load(directory, development=0.2, test="test")
    assert len(source.train) + len(source.development) == 30
    assert [len(source.test), source.test[0].problem, source.test[0].answer] == [10, "What is 30?", "7"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_single_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"questions.{suffix}"
    if suffix == "parquet":
        datasets.Dataset.from_list(ROWS).to_parquet(path)
    else:
        write_jsonl(path, ROWS)
    source = load(path)
    last = source.train[-1]
    assert (last.problem, last.answer) == ("What is 39?", "39")
    assert last.id == hashlib.sha256(b"What is 39?").hexdigest()[:16]  # null: a hash of the problem


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(
        ValueError,
        match=says(
            f"{path}:1: there is no field 'questoin' (data.fields.problem); ",
            "'question'? The fields are answer, question",
        ),
    ):
        load(path, fields=FIELDS | {"problem": "questoin"})
    with pytest.raises(
        ValueError, match=r"^data\.dataset=nobody/nothing \(data\.subset=None, split 'train', .* cannot be loaded: "
    ):
        load("nobody/nothing")
    directory = tmp_path / "set"
    directory.mkdir()
    write_jsonl(directory / "train.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"split 'tests', .* cannot be loaded: Unknown split"):
        load(directory, test="tests")


def test_nested_fields_and_the_prefix_of_a_problem(tmp_path: Path) -> None:
    rows = [
        {"prompt": [{"content": f"Solve this.\n\nWhat is {n}?\n\nBe brief."}], "gold": {"truth": str(n)}}
        for n in range(5)
    ]
    path = tmp_path / "nested.parquet"
    datasets.Dataset.from_list(rows).to_parquet(path)
    nested = FIELDS | {"problem": "prompt.0.content", "answer": "gold.truth"}
    source = load(path, fields=nested, problem_prefix="Solve this.", problem_suffix="Be brief.")
    assert [(one.problem, one.answer) for one in source.train] == [(f"What is {n}?", str(n)) for n in range(5)]
    messages = {
        "gold.truht": "there is no field 'gold.truht' (data.fields.answer); did you mean 'truth'? The fields are truth",
        "prompt.1.content": "there is no field 'prompt.1.content' (data.fields.answer); '1' was looked up in a list of 1, "
        "whose items are 0, 1 and so on",
        "gold.truth.x": "there is no field 'gold.truth.x' (data.fields.answer); 'x' was looked up in str",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError, match=says(f"{path} row 1: {message}")):
            load(path, fields=nested | {"answer": name})


def test_rows_that_cannot_be_used_are_counted_up_to_a_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"question": f"[Q] What is {n}?", "answer": f"It is \\boxed{{{n}}}."} for n in range(10)]
    broken: list[dict[str, object]] = [
        {"question": "[Q] Why?", "answer": "It is \\boxed{}."},  # as two rows of MATH
        {"question": "[Q] Who?", "answer": None},
        {"question": "When?", "answer": "It is \\boxed{2}."},  # without the prefix
    ]
    path = write_jsonl(tmp_path / "a.jsonl", [*rows, *broken])
    settings = {"fields": FIELDS | {"answer_form": "boxed"}, "problem_prefix": "[Q]"}
    first = f"{path}:11: the field 'answer' has no \\boxed{{}} with an answer in it (data.fields.answer_form=boxed)"
    with pytest.raises(ValueError, match=says(first)):
        load(path, **settings)
    with pytest.raises(
        ValueError,
        match=says(f"data.unusable_share=0.2, but 3 of 13 rows have no usable question; the first: {first}"),
    ):
        load(path, **settings, unusable_share=0.2)  # 3/13 = 0.23
    with caplog.at_level(logging.WARNING):
        source = load(path, **settings, unusable_share=0.25)
    assert [one.answer for one in source.train] == [str(n) for n in range(10)]
    assert caplog.messages == [f"data: 3 of 13 rows have no usable question and are left out; the first: {first}"]
    only = write_jsonl(tmp_path / "b.jsonl", [*rows, broken[2]])
    with pytest.raises(ValueError, match=r"b\.jsonl:11: the field 'question' lacks the text of data\.problem_prefix$"):
        load(only, **settings)


def test_repeats_are_one_question_and_contradictions_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*ROWS, *ROWS[:3], {"question": "What is 5?", "answer": 6}]
    with caplog.at_level(logging.WARNING):
        source = load(write_jsonl(tmp_path / "a.jsonl", rows))
    assert [one.answer for one in source.train] == [str(n) for n in range(40) if n != 5]
    assert caplog.messages == [
        "data: 4 of 44 rows repeat the problem of another; 1 problems that have several answers are left out"
    ]


def test_only_some_rows(tmp_path: Path) -> None:
    rows = [{**row, "kind": {"name": "odd" if n % 2 else "even"}} for n, row in enumerate(ROWS)]
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_list(rows).to_parquet(path)
    source = load(path, where={"kind.name": "odd"})
    assert [one.answer for one in source.train] == [str(n) for n in range(1, 40, 2)]
    with pytest.raises(ValueError, match=r"^data\.dataset=.*a\.parquet has no question that has the values of where$"):
        load(path, where={"kind.name": "prime"})
    with pytest.raises(ValueError, match=r"there is no field 'kidn' \(data\.where\); did you mean 'kind'\? The fields"):
        load(path, where={"kidn": "odd"})


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(("field", "value"), [("level", 5), ("share", 0.5), ("hard", True), ("kind", "5")])
def test_where_compares_numbers_in_every_format(
    field: str, value: str | float | bool, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    rows = [
        {
            **row,
            "level": 5 if n < 3 else 50,
            "share": 0.5 if n < 3 else 5.5,
            "hard": n < 3,
            "kind": "5" if n < 3 else "5.0",
        }
        for n, row in enumerate(ROWS)
    ]
    if suffix == "jsonl":
        write_jsonl(path, rows)
    elif suffix == "csv":
        datasets.Dataset.from_list(rows).to_csv(path)
    else:
        datasets.Dataset.from_list(rows).to_parquet(path)
    assert [one.answer for one in load(path, where={field: value}).train] == ["0", "1", "2"]


def test_rows_of_a_directory_are_named_by_split_and_number(tmp_path: Path) -> None:
    directory = tmp_path / "set"
    directory.mkdir()
    write_jsonl(directory / "train.jsonl", [*ROWS[:3], {"question": "Why?", "answer": None}])
    with pytest.raises(ValueError, match=rf"^{directory}\[train\] row 3: the field 'answer' .* not null$"):
        load(directory)


def test_a_limit_chooses_by_id_and_a_lower_one_among_the_same(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    turned = write_jsonl(tmp_path / "b.jsonl", ROWS[::-1])
    many, few, other = (load(path, limit=20), load(path, limit=7), load(path, limit=7, limit_seed=1))
    assert [len(source.train) for source in (many, few, other)] == [20, 7, 7]
    assert set(few.train) < set(many.train)
    assert set(few.train) == set(load(turned, limit=7).train)
    assert set(few.train) != set(other.train)
    assert load(path, limit=100).train == load(path).train
    assert list(few.train) == sorted(few.train, key=lambda one: int(one.answer))  # in the order of the file
    held = load(path, limit=7, test=0.3)
    assert held.test == load(path, test=0.3).test  # a limit changes nothing that is held out


def test_a_single_file_has_no_other_split_to_hold_out(tmp_path: Path) -> None:
    path, other = write_jsonl(tmp_path / "a.jsonl", ROWS[:30]), write_jsonl(tmp_path / "b.jsonl", ROWS[30:])
    assert [one.answer for one in load(path, test=str(other)).test] == [str(n) for n in range(30, 40)]
    with pytest.raises(
        ValueError, match=rf"^data\.test=test: data\.dataset={path} is a single file, which has no other split; give a"
    ):
        load(path, test="test")
