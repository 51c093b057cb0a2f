"""The shipped data sets and benchmarks, read from small local copies of their formats: no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from igrpo.config.composing.folders import choices
from igrpo.data.sources import read_benchmark, read_source
from igrpo.settings.benchmark import BenchmarkConfig
from igrpo.settings.data import HubDataConfig
from tests.composed import config as composed
from tests.data.messages import says
from tests.data.shipped_sets import ROWS, WITH_TEST, answer, problem, write_set

BYTES = ("model=byte_level", "prompt=boxed")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def shipped(name: str, *overrides: str) -> HubDataConfig:
    data = composed(None, *BYTES, f"data={name}", *overrides).data
    assert isinstance(data, HubDataConfig)
    return data


@pytest.mark.parametrize("name", ROWS)
def test_a_shipped_set_reads_its_own_columns(name: str, tmp_path: Path) -> None:
    source = read_source(shipped(name, *write_set(name, tmp_path / "set")))
    read = {one.problem: one.answer for split in (source.train, source.development, source.test) for one in split}
    numbers = [*range(60), *range(80, 100)] if name in WITH_TEST else range(60)
    assert read == {problem(number): answer(number) for number in numbers}
    if name in WITH_TEST:
        assert {one.problem for one in source.test} == {problem(number) for number in range(80, 100)}


def test_the_columns_are_not_the_same_by_chance(tmp_path: Path) -> None:
    """A set that is read with the columns of another is refused."""
    overrides = [one for one in write_set("gsm8k", tmp_path / "set") if one != "data=gsm8k"]
    with pytest.raises(ValueError, match=r"there is no field 'problem' \(data\.fields\.problem\); .*answer, question$"):
        read_source(shipped("math", *overrides))


def test_rows_without_an_answer_are_left_out_of_math(tmp_path: Path) -> None:
    """Two boxes of the real set are empty, 2 in 7,500: here 1 in 61, with the share raised."""
    empty: dict[str, Any] = {
        "problem": "Which?",
        "level": "Level 5",
        "type": "Algebra",
        "solution": r"It is $\boxed{}$.",
    }
    overrides = write_set("math", tmp_path / "set", more=[empty])
    with pytest.raises(
        ValueError, match=r"^data\.unusable_share=0\.001, but 1 of 61 rows have no usable question; the first: "
    ):
        read_source(shipped("math", *overrides))
    source = read_source(shipped("math", *overrides, "data.unusable_share=0.02"))
    assert len(source.train) + len(source.development) == 60


def test_a_hundred_copies_of_dapo_are_one(tmp_path: Path) -> None:
    row = ROWS["dapo_math"]
    source = read_source(
        shipped("dapo_math", *write_set("dapo_math", tmp_path / "set", more=[row(n) for n in range(60)] * 5))
    )
    assert len(source.train) + len(source.development) + len(source.test) == 60


def test_the_limit_of_acereason_is_the_number_of_the_paper() -> None:
    assert shipped("acereason_math").limit == 9400
    assert {name: shipped(name).limit for name in ROWS if name != "acereason_math"} == dict.fromkeys(
        [name for name in ROWS if name != "acereason_math"]
    )


#: Sizes of the data sets, as their authors give them.
SIZES = {"aime24": 30, "aime25": 30, "math500": 500, "amc23": 40, "gsm8k": 1319, "minerva": 272, "olympiadbench": 675,
         "gpqa_diamond": 198, "mmlu_pro": 12_032}  # fmt: skip
CHOSEN = {"gpqa_diamond", "mmlu_pro"}


def benchmark(name: str, *overrides: str) -> BenchmarkConfig:
    added = f"+benchmark@evaluation.benchmarks.one={name}"
    return composed(None, *BYTES, added, *overrides).evaluation.benchmarks["one"]


def test_the_benchmarks_of_each_evaluation() -> None:
    expected = {
        "paper": ["aime24", "aime25", "math500", "amc23", "gsm8k", "minerva"],
        "paper_math": ["aime24", "aime25", "math500", "amc23", "gsm8k", "minerva", "olympiadbench"],
        "paper_transfer": ["aime24", "aime25", "math500", "gsm8k", "gpqa_diamond", "mmlu_pro"],
    }
    for choice, names in expected.items():
        evaluation = composed(None, *BYTES, f"evaluation={choice}").evaluation
        assert (evaluation.temperature, evaluation.top_p, evaluation.max_completion_tokens) == (0.6, 0.95, 65_000)
        assert list(evaluation.benchmarks) == names
        assert evaluation.benchmarks == {name: benchmark(name) for name in names}


def test_what_identifies_each_benchmark() -> None:
    assert set(SIZES) == {choice.name for choice in choices("benchmark")}
    found = {name: benchmark(name) for name in SIZES}
    assert {name: one.rows for name, one in found.items()} == SIZES
    assert {name for name, one in found.items() if one.digest is None} == CHOSEN  # of which no copy was at hand
    assert len({one.digest for one in found.values()} - {None}) == 7  # none was copied with the file it is based on
    assert len({one.dataset for one in found.values()}) == 9
    samples = {name: 64 if name.startswith("aime") else 4 if name in CHOSEN else 8 for name in SIZES}
    assert {name: one.samples for name, one in found.items()} == samples
    assert {name: one.reward and one.reward.name for name, one in found.items()} == {
        name: "multiple_choice" if name in CHOSEN else None for name in SIZES
    }


#: A row in the columns of the hub, and the answer that is read from it.
HUB_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    **{
        name: ({"problem": "How many?", "answer": "1003", "url": "x"}, "1003")
        for name in ("aime24", "aime25", "math500")
    },
    **{name: ({"question": "How many?", "answer": "1003"}, "1003") for name in ("amc23", "minerva")},
    "gsm8k": ({"question": "How many?", "answer": "The sum is 3.\n#### 1,003"}, "1003"),
    "olympiadbench": ({"question": "How many?", "final_answer": ["$1003$"]}, "$1003$"),
    "mmlu_pro": ({"question_id": 70, "question": "How many?", "options": ["1", "1003"], "answer": "B"}, "B"),
    "gpqa_diamond": (
        {"Record ID": "rec0", "Question": "How many?", "Correct Answer": "1003"}
        | {f"Incorrect Answer {i}": f"{i}" for i in (1, 2, 3)},
        "C",
    ),
}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_every_benchmark_is_read_from_a_local_file(name: str, tmp_path: Path) -> None:
    row, answer = HUB_ROWS[name]
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps(row) + "\n")
    local = [f"evaluation.benchmarks.one.{key}" for key in (f"dataset={path}", "rows=1", "digest=null")]
    (question,) = read_benchmark(name, benchmark(name, *local))
    assert (question.problem.split("\n")[0], question.answer) == ("How many?", answer)
    assert question.options == {"mmlu_pro": ("1", "1003"), "gpqa_diamond": ("1", "2", "1003", "3")}.get(name, ())


def test_errors_of_a_benchmark_name_its_settings(tmp_path: Path) -> None:
    gsm8k = composed(None, *BYTES, "evaluation=paper").evaluation.benchmarks["gsm8k"]
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "How many?", "answer": "#### 1"}\n{"question": "How few?", "answer": "none"}\n')
    setting = "evaluation.benchmarks.gsm8k"
    with pytest.raises(
        ValueError,
        match=says(f"{path}:2: the field 'answer' has no ####", f"{setting}.fields.answer_form=hashes"),
    ):
        read_benchmark("gsm8k", gsm8k.model_copy(update={"dataset": str(path)}))
    fields = gsm8k.fields.model_copy(update={"problem": "problem"})
    with pytest.raises(
        ValueError, match=rf"there is no field 'problem' \({setting}\.fields\.problem\); The fields are"
    ):
        read_benchmark("gsm8k", gsm8k.model_copy(update={"dataset": str(path), "fields": fields}))
    with pytest.raises(
        ValueError, match=rf"^{setting}\.dataset=nobody/nothing \({setting}\.subset=main, split 'test', "
    ):
        read_benchmark("gsm8k", gsm8k.model_copy(update={"dataset": "nobody/nothing"}))
