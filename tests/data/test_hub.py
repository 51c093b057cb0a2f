"""HubSource on local data sets in the formats of the hub: no network."""

import json
from pathlib import Path

import datasets
import pytest

from igrpo.data.sources import Fields, HubSource, Source
from tests.data.messages import exactly

FIELDS = Fields(id=None, problem="question", answer="answer")
ROWS = [{"question": f"What is {number}?", "answer": number} for number in range(40)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def load(
    name: Path | str,
    split: str = "train",
    development: float | str = 0.0,
    test: float | str = 0.0,
    fields: Fields = FIELDS,
) -> HubSource:
    return HubSource(
        str(name), subset=None, split=split, fields=fields, revision=None, development=development, test=test
    )


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_directory_with_splits(tmp_path: Path) -> None:
    directory = tmp_path / "set"
    directory.mkdir()
    write_jsonl(directory / "train.jsonl", ROWS[:30])
    write_jsonl(directory / "test.jsonl", [{**row, "answer": 7} for row in ROWS[30:]])
    source = load(directory, development=0.2, test="test")
    assert isinstance(source, Source)
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
    assert [(q.id, q.problem, q.answer) for q in source.train][-1] == ("39", "What is 39?", "39")


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(
        ValueError,
        match=exactly(
            f"{path}[train] row 0: there is no field 'questoin' (data.fields.problem); "
            "did you mean 'question'? The fields are answer, question"
        ),
    ):
        load(path, fields=Fields(id=None, problem="questoin"))
    with pytest.raises(
        ValueError, match=r"^data\.dataset=nobody/nothing \(data\.subset=None, split 'train', .* cannot be loaded: "
    ):
        load("nobody/nothing")
    text = tmp_path / "a.txt"
    text.write_text("1")
    with pytest.raises(ValueError, match=r"a file must end in one of \.jsonl, \.json, \.parquet, \.csv$"):
        load(text)
    directory = tmp_path / "set"
    directory.mkdir()
    write_jsonl(directory / "train.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"split 'tests', .* cannot be loaded: Unknown split"):
        load(directory, test="tests")
