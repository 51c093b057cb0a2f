"""Runs are found in folders and read completely; a broken run is reported and stops nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from igrpo.report.runs import find_runs, load_run
from tests.report.run_dirs import change_json, write_run


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", seed=3, after=[1.0, 0.25], before=[0.5, 0.0])
    (run,) = find_runs([path])
    assert (run.name, run.path, run.seed, run.steps, run.status) == ("a", path, 3, 4, "FINISHED")
    assert run.problem is None
    assert run.before is not None
    assert run.after is not None
    assert run.before.single_shot == {"p0": 0.5, "p1": 0.0}
    assert run.after.single_shot == {"p0": 1.0, "p1": 0.25}
    assert run.after.greedy == {"p0": 1.0, "p1": 0.0}
    assert run.after.draft_conditioned == {"p0": 1.0, "p1": 0.5}  # one more of four than single-shot
    assert run.after.samples == 4
    assert run.summary is not None
    assert run.record is not None
    assert run.summary.samples == 32  # 4 steps x 8
    assert [line["step"] for line in run.metrics] == [0, 0, 1, 2, 2, 3, 4, 4, 4]


def test_folders_of_folders_in_their_natural_order(tmp_path: Path) -> None:
    for name in ("10_x", "9_x", "2_x"):
        write_run(tmp_path / "multirun" / "day" / "sweep" / name, after=[1.0])
    (tmp_path / "multirun" / "day" / "sweep" / "sweep.json").write_text("{}")
    artifacts = tmp_path / "mlflow-artifacts" / "1"
    artifacts.mkdir(parents=True)
    shutil.copy(tmp_path / "multirun" / "day" / "sweep" / "9_x" / "config.yaml", artifacts)
    found = find_runs([tmp_path, tmp_path / "multirun" / "day" / "sweep" / "9_x"])
    assert [run.name for run in found] == ["2_x", "9_x", "10_x"]


def test_names_grow_until_they_differ(tmp_path: Path) -> None:
    for sweep in ("a", "b"):
        write_run(tmp_path / sweep / "0", after=[1.0])
    write_run(tmp_path / "b" / "1", after=[1.0])
    assert [run.name for run in find_runs([tmp_path])] == ["a/0", "b/0", "1"]


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty" / "x").mkdir(parents=True)
    with pytest.raises(ValueError, match="gone: there is no such folder"):
        find_runs([tmp_path / "gone"])
    with pytest.raises(ValueError, match="file is no bundle of `igrpo publish`"):
        find_runs([tmp_path / "file"])
    write_run(tmp_path / "run", after=[1.0])
    with pytest.raises(ValueError, match="empty: no run in it"):
        find_runs([tmp_path / "run", tmp_path / "empty"])


def _settings(path: Path, **values: object) -> None:
    file = path / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


def _cut_metrics(path: Path) -> None:
    file = path / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], lines[3][:20], *lines[4:]]) + "\n")


def _only_settings(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name != "config.yaml":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer settings": (
        lambda p: _settings(p, schema_version=99),
        "config.yaml has schema version 99",
    ),
    "no seed": (lambda p: _settings(p, seed="x"), "config.yaml does not fit: seed: "),
    "bad yaml": (lambda p: (p / "config.yaml").write_text("a: [1"), "config.yaml is not valid YAML"),
    "no settings": (lambda p: (p / "config.yaml").unlink(), "there is no .*config.yaml"),
    "binary settings": (lambda p: (p / "config.yaml").write_bytes(b"\xff\xfe\x00"), "config.yaml|decode"),
    "newer record": (lambda p: change_json(p / "run.json", schema_version=99), "run.json has schema version 99"),
    "torn record": (lambda p: (p / "run.json").write_text('{"schema'), "run.json is broken"),
    "odd record": (lambda p: change_json(p / "run.json", status="HAPPY"), "status"),
    "waiting": (_only_settings, "has no run.json: the run was never started"),
    "dead": (lambda p: change_json(p / "run.json", status="RUNNING", pid=999_999_999), "its process died; resume it"),
    "failed": (
        lambda p: change_json(p / "run.json", status="FAILED", error="RewardError: a\n b"),
        "it failed before its last step: RewardError: a b",
    ),
    "killed": (lambda p: change_json(p / "run.json", status="KILLED"), "it was stopped before its last step"),
    "no summary": (lambda p: (p / "summary.json").unlink(), "there is no .*summary.json"),
    "newer summary": (
        lambda p: change_json(p / "summary.json", schema_version=99),
        "summary.json has schema version 99",
    ),
    "no verdicts": (lambda p: (p / "evaluations" / "test-000004.json").unlink(), "was not evaluated after the last"),
    "torn verdicts": (lambda p: (p / "evaluations" / "test-000004.json").write_text("{"), "test-000004.json is broken"),
    "empty verdicts": (
        lambda p: change_json(p / "evaluations" / "test-000004.json", per_question=[]),
        "no problem at all",
    ),
    "torn start": (
        lambda p: (p / "evaluations" / "test-000000.json").write_text("{}"),
        "test-000000.json does not fit",
    ),
    "torn metrics": (_cut_metrics, "metrics.jsonl, line 4 is not JSON"),
    "no metrics": (lambda p: (p / "metrics.jsonl").unlink(), "metrics.jsonl"),
    "no steps": (lambda p: (p / "metrics.jsonl").write_text('{"step":0,"time":1}\n'), "has no training step"),
    "words": (lambda p: (p / "metrics.jsonl").write_text('{"step":0,"time":1,"a":"b"}\n'), "a is 'b', which is no num"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_says_why_and_stops_nothing(tmp_path: Path, name: str) -> None:
    breaks, words = BROKEN[name]
    path = write_run(tmp_path / "bad", seed=5, after=[1.0])
    breaks(path)
    write_run(tmp_path / "good", after=[1.0])
    bad, good = find_runs([tmp_path])
    assert good.problem is None
    assert bad.problem is not None
    assert re.search(words, bad.problem), bad.problem
    assert "\n" not in bad.problem
    assert bad.seed == (None if "ettings" in name or "yaml" in name or name == "no seed" else 5)


def test_an_incomplete_last_line_of_metrics_is_no_fault(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "ti')
    assert load_run(path).problem is None


def test_a_run_that_a_budget_ended_is_read_at_its_last_step(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0, 0.0], changes={"trainer.steps": 100}, steps=3)
    run = load_run(path)
    assert run.problem is None
    assert run.steps == 3
    assert run.after is not None
    assert run.after.single_shot == {"p0": 1.0, "p1": 0.0}


def test_a_run_without_a_test_before_training_is_used(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    (path / "evaluations" / "test-000000.json").unlink()
    run = load_run(path)
    assert (run.problem, run.before) == (None, None)


def test_an_unscored_evaluation_before_training_is_none(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    change_json(path / "evaluations" / "test-000000.json", single_shot=None)
    run = load_run(path)
    assert (run.problem, run.before) == (None, None)
    change_json(next((path / "evaluations").glob("test-*[1-9].json")), single_shot=None)
    problem = load_run(path).problem
    assert problem is not None
    assert "could score none of its answers" in problem


def test_no_folders_are_no_runs() -> None:
    assert find_runs([]) == []
