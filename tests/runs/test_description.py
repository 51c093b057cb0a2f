"""How a run is named and described in MLflow."""

import getpass
from types import SimpleNamespace
from typing import Any

import pytest

from igrpo.runs.command import settings_in
from igrpo.runs.description import describe, describe_result, told_name
from igrpo.runs.mlflow_client import NOTE_TAG, MlflowRun
from igrpo.runs.run_tracking import origin_tags, run_tags
from igrpo.runs.summary import Accuracy, Summary
from tests.composed import config

BYTES = ("model=byte_level", "prompt=boxed")
SUMMARY = Summary(
    algorithm="igrpo", objective="grpo", seed=0, steps=1, single_shot=Accuracy(), draft_conditioned=Accuracy(),
    entropy={}, samples=0, tokens={}, seconds={}, versions={}, commit=None, config_hash="",  # type: ignore[arg-type]
)  # fmt: skip


def test_a_sentence_says_what_the_run_is() -> None:
    run = config({}, *BYTES, "data=times_tables", "condition=igrpo_both", "seed=3", "trainer.steps=24")
    text = describe(run, "grpo_vs_igrpo 10-00-00")
    assert text.startswith("igrpo_both (iGRPO) on byte_level, times_tables, 24 steps of ")
    assert text.endswith(" completions, seed 3; part of sweep grpo_vs_igrpo 10-00-00.")
    assert describe(config({}, "algorithm=grpo"), None).startswith("GRPO on tiny, chains, ")
    assert "part of" not in describe(run, None)


def test_models_and_files_go_by_their_last_name() -> None:
    run = config(
        {},
        "model=huggingface",
        "model.name_or_path=org/Small-1B",
        "prompt=boxed",
        "data=jsonl",
        "data.path=/a/mine.jsonl",
    )
    assert {"model": "Small-1B", "data": "mine.jsonl"}.items() <= run_tags(run).items()
    assert list(run_tags(run))[:2] == ["condition", "seed"]


def test_the_result_is_the_accuracy_before_and_after() -> None:
    after = Accuracy(before=0.25, after=0.5, interval=(0.4, 0.625))
    text = describe_result(SUMMARY.model_copy(update={"single_shot": after}))
    assert text == "Single-shot accuracy on the test split 25.0% before, **50.0%** after training [40.0%, 62.5%]"
    assert describe_result(SUMMARY) == ""


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["igrpo", "train"], "igrpo-s0"),
        (["igrpo", "train", "algorithm=igrpo", "seed=0", "tracking.uri=x", "hydra/launcher=joblib"], "igrpo-s0"),
        (
            ["igrpo", "train", "experiment=quickstart", "+trainer.steps=50", "objective=dapo", "--check"],
            "igrpo-s0 quickstart steps=50 dapo",
        ),
        (["igrpo", "train", "experiment=igrpo"], "igrpo-s0"),  # a preset that run_name says already
        (["igrpo", "train", "resume=runs/x"], "igrpo-s0"),
        (["igrpo.train", "resume=runs/x", "trainer.steps=3"], "igrpo-s0 steps=3"),
        (["mine.py", "lr=3"], "igrpo-s0"),  # the command line of another program
        (["igrpo", "train", "data.path=http://ann:secret@host/x"], "igrpo-s0 path=http://host/x"),
    ],
)
def test_a_run_is_named_by_what_was_given(command: list[str], name: str) -> None:
    assert told_name(config({}), settings_in(command)) == name


def test_a_long_name_is_cut() -> None:
    assert len(told_name(config({}), {"data.path": "x" * 500})) == 120


def test_origin_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.runs.run_tracking.git_commit", lambda: "abc-dirty")
    tags = origin_tags(["/somewhere/igrpo/__main__.py", "train", "data.path=my file.jsonl"])
    assert tags == {
        "mlflow.source.name": "igrpo train",
        "igrpo.command": "igrpo train 'data.path=my file.jsonl'",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": getpass.getuser(),
        "mlflow.source.git.commit": "abc",
    }
    monkeypatch.setattr("getpass.getuser", lambda: {}["no entry"])
    assert "mlflow.user" not in origin_tags(["igrpo"])


def test_a_command_is_told_without_passwords() -> None:
    tags = origin_tags(["/x/igrpo", "train", "tracking.uri=http://ann:s3cret@host:5000"])
    assert tags["igrpo.command"] == "igrpo train tracking.uri=http://host:5000"
    tags = origin_tags(["igrpo.train", "resume=runs/x"])
    assert (tags["mlflow.source.name"], tags["igrpo.command"]) == ("igrpo.train", "igrpo.train resume=runs/x")


def test_numbers_agree_with_their_nouns() -> None:
    text = describe(config({}, "trainer.steps=1", "trainer.questions_per_step=1"), None)
    assert "1 step of 1 question x " in text


def test_a_description_of_the_user_is_kept() -> None:
    tags: dict[str, str] = {}

    def log_batch(run_id: str, tags: Any, into: dict[str, str] = tags) -> None:
        into |= {tag.key: tag.value for tag in tags}

    client = SimpleNamespace(
        get_run=lambda run_id: SimpleNamespace(data=SimpleNamespace(tags=tags)), log_batch=log_batch
    )
    run = MlflowRun(client, "x", "1")  # type: ignore[arg-type]
    run.describe("What it is.")
    assert tags[NOTE_TAG] == "What it is."
    run.describe("What it is.", "Its result.")
    assert tags[NOTE_TAG] == "What it is.\n\nIts result."
    run.describe("What it is after a resume.")
    assert tags[NOTE_TAG] == "What it is after a resume."
    for edited in ("My own words.", "What it is after a resume. My own words."):
        tags[NOTE_TAG] = edited
        run.describe("What it is after a resume.")
        assert tags[NOTE_TAG] == edited
