"""The questions of a run: what is left out because it is held out elsewhere, or too long, and what is said about it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from igrpo.assembly import build_prompts, fitting_source
from igrpo.config import RunConfig
from igrpo.config.data_checks import data_problems, missing_data
from igrpo.data.reader import looks_local
from igrpo.data.sources import read_benchmark, read_source
from igrpo.prompts.builder import PromptBuilder
from tests.assembly.parts import byte_policy
from tests.composed import config as composed

BYTES = ("model=byte_level", "prompt=boxed")
TRAINED = "A baker sells {} loaves in the morning and twice as many in the afternoon. How many loaves does she sell?"
BENCHMARK = {
    "subset": None,
    "revision": None,
    "split": "test",
    "fields": {"id": None, "problem": "problem", "answer": "answer", "answer_form": "plain"},
    "samples": 2,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def layout(config: RunConfig) -> PromptBuilder:
    return build_prompts(config.prompt, byte_policy().tokenizer)


def write(path: Path, problems: Sequence[str]) -> Path:
    rows = [{"id": f"{path.stem}{i}", "problem": problem, "answer": "1"} for i, problem in enumerate(problems)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def files(folder: Path, benchmark: Sequence[str], changes: dict[str, Any] | None = None) -> RunConfig:
    """A run on 20 templated problems, 2 held out from each of two further files, and a benchmark of one file."""
    train = write(folder / "train.jsonl", [TRAINED.format(100 + i) for i in range(20)])
    development = write(folder / "development.jsonl", ["What is the area of a circle?", "Name a prime."])
    test = write(folder / "test.jsonl", ["How long is a day?", TRAINED.format(103).upper()])
    own = {"bakers": BENCHMARK | {"dataset": str(write(folder / "bakers.jsonl", benchmark))}}
    values = {"data.development": str(development), "data.test": str(test), "evaluation.benchmarks": own}
    return composed(values | (changes or {}), *BYTES, "data=jsonl", f"data.path={train}")


def test_what_is_held_out_is_not_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = files(tmp_path, [TRAINED.format(107), TRAINED.format(999), "Something else."])
    with caplog.at_level(logging.WARNING):
        fitting = fitting_source(config, layout(config))
    # 103 stands in the test file, in capitals; 107 in the benchmark. 999 is the same problem with another number.
    assert [one.id for one in fitting.train] == [f"train{i}" for i in range(20) if i not in (3, 7)]
    assert [one.id for one in fitting.test] == ["test0", "test1"]
    assert [one.problem for one in fitting.benchmarks["bakers"]] == [
        TRAINED.format(107), TRAINED.format(999), "Something else."
    ]  # fmt: skip
    report = fitting.decontamination
    assert report is not None
    assert len(report.kept) == 18
    assert {name: len(matches) for name, matches in report.found.items()} == {"development": 0, "test": 1, "bakers": 1}
    assert caplog.messages[-1] == report.summary()
    assert json.loads(json.dumps(report.as_dict())) == report.as_dict()


def test_decontamination_can_be_off(tmp_path: Path) -> None:
    config = files(tmp_path, [TRAINED.format(107)], {"data.decontamination.method": "off"})
    fitting = fitting_source(config, layout(config))
    assert len(fitting.train) == 20
    assert fitting.decontamination is None


def test_nothing_left_to_train_on_is_an_error(tmp_path: Path) -> None:
    config = files(tmp_path, [TRAINED.format(100 + i) for i in range(20)])
    with pytest.raises(
        ValueError, match=r"^data\.decontamination\.method=near leaves none of 20 training questions: all of them are"
    ):
        fitting_source(config, layout(config))


def test_chains_are_disjoint_already() -> None:
    config = composed(None)
    fitting = fitting_source(config, layout(config))
    assert (len(fitting.train), fitting.decontamination, fitting.benchmarks) == (20_000, None, {})


def test_a_benchmark_is_never_cut_and_never_empty(tmp_path: Path) -> None:
    config = files(tmp_path, ["One?", "Two?", "Three?"], {"evaluation.questions": 1})
    fitting = fitting_source(config, layout(config))
    assert [len(fitting.development), len(fitting.test), len(fitting.benchmarks["bakers"])] == [1, 1, 3]
    config = files(tmp_path, ["x" * 900])
    with pytest.raises(ValueError, match=r"^the benchmark bakers has no question within prompt\.max_question_tokens="):
        fitting_source(config, layout(config))


def test_names_of_benchmarks() -> None:
    one = BENCHMARK | {"dataset": "x"}
    benchmarks = {"test": one, "aime-24": one, "aime_24": one, "AIME": one}
    config = composed(None, *BYTES)
    sections = {"benchmarks": benchmarks}
    evaluation = type(config.evaluation).model_validate(config.evaluation.model_dump() | sections)
    found = list(data_problems(config.model_copy(update={"evaluation": evaluation})))
    assert [problem.partition(":")[0] for problem in found] == [
        "evaluation.benchmarks.test", "evaluation.benchmarks.aime-24", "evaluation.benchmarks.AIME"
    ]  # fmt: skip
    assert found[0] == ("evaluation.benchmarks.test: 'test' is a split of the run's own data; give it another name")


def test_local_data_that_is_not_there(tmp_path: Path) -> None:
    away = tmp_path / "away"
    config = composed(None, *BYTES, "data=math", f"data.dataset={away}", "evaluation=paper",
                      f"evaluation.benchmarks.amc23.dataset={tmp_path}")  # fmt: skip
    assert list(missing_data(config)) == [f"data.dataset={away}: there is no such file or directory"]


def test_a_name_that_can_only_be_a_path_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    for name in ("mone.jsonl", "mone.CSV", "a/mone.json.gz", "a/b/mone", "./mone", "~/mone"):
        assert looks_local(name), name
    for name in ("gsm8k", "openai/gsm8k", "owner/name.v2", "hf://datasets/owner/name/mone.jsonl"):
        assert not looks_local(name), name
    (tmp_path / "here.jsonl").touch()
    config = composed(None, *BYTES, "data=hub", "data.dataset=mone.jsonl", "data.test=other.csv", "data.development=dev",
                      "evaluation=paper", "evaluation.benchmarks.amc23.dataset=mine/amc.parquet",
                      f"evaluation.benchmarks.math500.dataset={tmp_path / 'here.jsonl'}")  # fmt: skip
    assert sorted(missing_data(config)) == [
        "data.dataset=mone.jsonl: there is no such file or directory",
        "data.test=other.csv: there is no such file",
        "evaluation.benchmarks.amc23.dataset=mine/amc.parquet: there is no such file or directory",
    ]
    with pytest.raises(
        ValueError, match=r"^evaluation\.benchmarks\.amc23\.dataset=mine/amc\.parquet: there is no such"
    ):
        read_benchmark("amc23", config.evaluation.benchmarks["amc23"])
    with pytest.raises(ValueError, match=r"^data\.dataset=mone\.jsonl: there is no such file or directory$"):
        read_source(config.data)
