"""What a run keeps of what it is made of, and what a resume makes of a difference."""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path

import pytest

from igrpo.runs.fingerprints import (
    PARTS,
    Fingerprints,
    differences,
    keep_fingerprints,
    kept_date,
    read_fingerprints,
    refuse_changed_questions,
    run_date,
    write_fingerprints,
)
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import plan_cell
from tests.begun import begun_run, begun_sweep

SPLIT = {"questions": "40", "ids": "i", "problems": "p", "answers": "a"}
MADE = Fingerprints(
    date="2026-01-02",
    questions={"train": SPLIT, "test": SPLIT},
    prompts={"question": {"tokens": "t"}},
    reward={"reward": {"settings": "s", "mine.py": "m"}},
    model={"model": {"config.json": "c"}},
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return begun_run(tmp_path / "sweep" / "000-run")


def test_they_come_back_and_have_a_short_form(run: RunDirectory) -> None:
    assert read_fingerprints(run.fingerprints) is None
    write_fingerprints(run.fingerprints, MADE)
    assert read_fingerprints(run.fingerprints) == MADE
    short = MADE.short()
    assert tuple(short) == PARTS
    assert all(len(text) == 12 for text in short.values())
    other = MADE.model_copy(update={"reward": {"reward": {"settings": "s", "mine.py": "n"}}})
    assert {part for part in PARTS if other.short()[part] != short[part]} == {"reward"}


def test_a_file_of_a_newer_igrpo_is_refused_by_name(run: RunDirectory) -> None:
    write_fingerprints(run.fingerprints, MADE)
    run.fingerprints.write_text(json.dumps(json.loads(run.fingerprints.read_text()) | {"schema_version": 99}))
    with pytest.raises(ValueError, match=r"fingerprints\.json has schema version 99"):
        read_fingerprints(run.fingerprints)
    run.fingerprints.write_text(json.dumps({"schema_version": 1, "date": "2026-01-02"}))
    with pytest.raises(ValueError, match=r"fingerprints\.json does not fit"):
        read_fingerprints(run.fingerprints)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"answers": "b"}, ["the test split has other answers (of 40 questions)"]),
        ({"problems": "q", "ids": "j"}, ["the test split has other ids and texts (of 40 questions)"]),
        ({"questions": "41", "ids": "j"}, ["the test split has 41 questions, not 40"]),
        (
            {"ids": "j", "problems": "q", "answers": "b"},
            ["the test split has other questions (40, as before), or another order of them"],
        ),
    ],
)
def test_what_changed_in_a_split(changes: dict[str, str], words: list[str]) -> None:
    now = {"train": SPLIT, "test": SPLIT | changes}
    assert differences("questions", MADE.questions, now) == words


def test_splits_and_files_that_come_and_go() -> None:
    assert differences("questions", {"test": SPLIT}, {"benchmark x": SPLIT}) == [
        "the test split is gone",
        "the benchmark x split is new",
    ]
    assert differences("model", MADE.model, {"model": {"config.json": "d", "new.py": "n"}}) == [
        "model (config.json, new.py)"
    ]


def test_changed_questions_are_refused_and_all_else_is_not(run: RunDirectory) -> None:
    refuse_changed_questions(run, {})  # it keeps none yet
    write_fingerprints(run.fingerprints, MADE)
    refuse_changed_questions(run, MADE.questions)
    now = {"train": SPLIT | {"answers": "b"}, "test": SPLIT | {"questions": "9"}}
    with pytest.raises(ValueError, match="other answers") as refused:
        refuse_changed_questions(run, now)
    for words in (str(run), "the train split has other answers", "the test split has 9 questions, not 40", "data"):
        assert words in str(refused.value)


def changed_reward() -> Fingerprints:
    return MADE.model_copy(update={"reward": {"reward": {"settings": "s", "mine.py": "n"}}})


def test_a_changed_reward_is_warned_of_once_and_kept(run: RunDirectory, caplog: pytest.LogCaptureFixture) -> None:
    assert keep_fingerprints(run, MADE, None) == MADE
    assert keep_fingerprints(run, MADE, 3) == MADE
    assert caplog.text == ""
    kept = keep_fingerprints(run, changed_reward(), 4)
    assert "since the run began: reward (mine.py)" in caplog.text
    assert [(change.step, change.part, change.what) for change in kept.changes] == [(4, "reward", "reward (mine.py)")]
    caplog.clear()
    assert keep_fingerprints(run, changed_reward(), 6) == kept == read_fingerprints(run.fingerprints)
    assert caplog.text == ""


def test_a_run_that_begins_again_is_of_one_piece(run: RunDirectory, caplog: pytest.LogCaptureFixture) -> None:
    keep_fingerprints(run, MADE, None)
    assert keep_fingerprints(run, changed_reward(), 0).changes == ()
    assert "reward has changed" in caplog.text


def test_a_run_of_an_older_igrpo_is_said_to_be_one(run: RunDirectory, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert keep_fingerprints(run, MADE, 0) == MADE  # it died before it kept any
        assert caplog.text == ""
        run.fingerprints.unlink()
        assert keep_fingerprints(run, MADE, 5) == MADE
    assert f"{run} has no fingerprints" in caplog.text
    assert len(caplog.records) == 1


def test_the_date_is_that_of_the_run_or_its_sweep_and_is_kept(run: RunDirectory) -> None:
    record = json.loads(run.record_file.read_text())
    run.record_file.write_text(json.dumps(record | {"created": "2025-03-04T23:59:59+00:00"}))
    assert run_date(run) == date(2025, 3, 4)
    sweep = begun_sweep(run.path.parent, plan_cell(0, {"seed": "0"}, ("seed=0",)))
    sweep.write(sweep.read().model_copy(update={"created": "2024-05-06T00:00:00+00:00"}))
    assert run_date(run) == date(2024, 5, 6)
    assert kept_date(run) is None
    write_fingerprints(run.fingerprints, MADE)
    assert run_date(run) == kept_date(run) == date(2026, 1, 2)


def test_why_a_run_could_not_go_on_stands_in_its_record(run: RunDirectory) -> None:
    run.finish("KILLED", ended=1.8e9, error="ended by Ctrl-C")
    run.explain("the data have changed")
    record = run.read_record()
    assert (record.status, record.error) == ("KILLED", "the data have changed")
    run.finish("FINISHED")
    finished = run.read_record()
    run.explain("the data have changed")
    assert run.read_record() == finished
