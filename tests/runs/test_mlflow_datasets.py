"""Inputs of a run in MLflow: which data, from where, and whether two runs had the same."""

from pathlib import Path

import pytest

from igrpo.runs.fingerprinting import question_prints
from igrpo.runs.fingerprints import Prints
from igrpo.runs.mlflow_datasets import dataset_inputs
from igrpo.types import Question
from tests.composed import config

BYTES = ("model=byte_level", "prompt=boxed")


def prints(*splits: str, answer: str = "1") -> Prints:
    return question_prints({split: [Question(f"{split} 1", "1 + 0", answer)] for split in splits})


def test_digests_are_of_the_questions() -> None:
    run = config({})
    train, test = dataset_inputs(run, prints("train", "test"))
    (changed,) = dataset_inputs(run, prints("train", answer="2"))
    assert [one.context for one in (train, test)] == ["train", "test"]
    assert (train.name, train.source_type, train.questions) == ("chains", "code", 1)
    assert train == dataset_inputs(run, prints("train"))[0]
    assert len({train.digest, test.digest, changed.digest}) == 3


@pytest.mark.parametrize("separate", [False, True])
def test_sources_of_files(tmp_path: Path, separate: bool) -> None:
    train, test = tmp_path / "all.jsonl", tmp_path / "test.jsonl"
    for path in (train, test):
        path.write_text("")
    given = (f"data.test={test}",) if separate else ()
    run = config({}, *BYTES, "data=jsonl", f"data.path={train}", *given)
    found = dataset_inputs(run, prints("train", "development", "test"))
    assert [one.source for one in found] == [{"uri": str(path)} for path in (train, train, test if separate else train)]
    assert [one.source_type for one in found] == ["local"] * 3


def test_sources_of_the_hub() -> None:
    run = config({}, *BYTES, "data=gsm8k", "evaluation=paper")
    name = next(iter(run.evaluation.benchmarks))
    train, test, benchmark = dataset_inputs(run, prints("train", "test", f"benchmark {name}"))
    assert {one.source_type for one in (train, test, benchmark)} == {"hugging_face"}
    assert train.source["path"] == "openai/gsm8k"
    assert train.source["split"] == "train"
    assert benchmark.source["path"] == run.evaluation.benchmarks[name].dataset
    assert benchmark.context == f"benchmark {name}"
