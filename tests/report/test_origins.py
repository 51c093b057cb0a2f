"""A report refuses runs that differ in more than what is compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.cli.main import main
from igrpo.report.runs import find_runs
from igrpo.runs.fingerprints import Change, Part, read_fingerprints, write_fingerprints
from igrpo.runs.run_directory import RunDirectory
from tests.begun import begun_sweep
from tests.report.run_dirs import GRPO, report_of, write_condition


def write_seeds(folder: Path, name: str, *overrides: str, seeds: Sequence[int] = (0, 1, 2), **more: Any) -> None:
    write_condition(folder, name, {seed: GRPO[seed] for seed in seeds}, *overrides, **more)


def as_sweep(folder: Path) -> None:
    begun_sweep(folder, swept_keys=["condition"])


PARTS: list[tuple[Part, str]] = [
    ("questions", "the test split has other answers"),
    ("prompts", "question (tokens)"),
    ("reward", "reward (source)"),
    ("model", "model (weights)"),
]


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize(("part", "words"), PARTS)
def test_equal_settings_that_led_to_something_else_are_refused(
    tmp_path: Path, part: Part, words: str, sweep: bool
) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo", made_of={part: "changed"})
    if sweep:  # a sweep sets what differs, and this is not set by anybody
        as_sweep(tmp_path)
    with pytest.raises(ValueError, match=f"--allow-different {part}$") as refused:
        report_of(tmp_path)
    for expected in (f"{part}: in igrpo-0, against grpo-0 of the same settings", words):
        assert expected in str(refused.value)
    other: Part = "model" if part == "reward" else "reward"
    with pytest.raises(ValueError, match=f"--allow-different {part}$"):
        report_of(tmp_path, allow_different=(other,))
    allowed = report_of(tmp_path, allow_different=(part,))
    assert allowed.comparisons
    assert any(f"Compared although they differ in {part}: in igrpo-0" in note for note in allowed.notes)


def test_every_part_that_differs_is_named_at_once(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo", made_of={"reward": "changed", "model": "changed"})
    with pytest.raises(ValueError, match=r"--allow-different reward --allow-different model$"):
        report_of(tmp_path)


def test_seeds_of_one_condition_must_be_made_of_the_same_too(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo", seeds=(0, 1))
    write_seeds(tmp_path, "grpo", "algorithm=grpo", seeds=(2,), made_of={"questions": "changed"})
    with pytest.raises(ValueError, match=r"in grpo-2, against grpo-0 .*train split"):
        report_of(tmp_path)


def test_a_run_that_takes_no_part_is_not_looked_at(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo")
    write_seeds(tmp_path, "failed", seeds=(0,), made_of={"questions": "changed"}, status="FAILED")
    assert report_of(tmp_path).comparisons


@pytest.mark.parametrize(
    "changes",
    [
        {"data.operations": 4},
        {"reward.percent": "any"},
        {"prompt.question": "{problem}="},
        {"model.warm_start.slip": 0.2},
        {"model.warm_start.seed": 7},
    ],
)
def test_one_difference_that_is_set_is_what_is_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_seeds(tmp_path, "one")
    write_seeds(tmp_path, "other", changes=changes)
    found = report_of(tmp_path)
    assert found.comparisons
    assert not any("although they differ" in note for note in found.notes)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("questions", {"data.seed": 0, "data.train": 9}),
        ("reward", {"reward.percent": "any"}),
        ("prompts", {"prompt.question": "{problem}="}),
        ("model", {"model.warm_start.slip": 0.2}),
    ],
)
def test_a_second_difference_is_refused_outside_of_a_sweep(tmp_path: Path, part: Part, changes: dict[str, Any]) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo", changes=changes)
    setting = list(changes)[-1]
    with pytest.raises(ValueError, match=f"--allow-different {part}$") as refused:
        report_of(tmp_path)
    assert f"{part}: igrpo differs from grpo in algorithm.name, and in {setting} as well" in str(refused.value)
    assert report_of(tmp_path, allow_different=(part,)).comparisons
    as_sweep(tmp_path)  # what a sweep or its conditions set differs on purpose
    assert report_of(tmp_path).comparisons


def test_a_layout_that_the_baseline_never_uses_may_differ(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo", changes={"prompt.draft_thinking": "strip"}, made_of={})
    for seed in (0, 1, 2):  # the same question layout as the baseline's, whatever else the prompt's settings say
        ours, theirs = (RunDirectory(tmp_path / f"{name}-{seed}") for name in ("igrpo", "grpo"))
        mine, baseline = (read_fingerprints(one.fingerprints) for one in (ours, theirs))
        assert mine is not None
        assert baseline is not None
        prompts = {**baseline.prompts, "refinement": {"tokens": "another"}}
        write_fingerprints(ours.fingerprints, mine.model_copy(update={"prompts": prompts}))
    assert report_of(tmp_path).comparisons


def test_two_data_sets_with_a_baseline_each_stay_apart(tmp_path: Path) -> None:
    for data in (5, 4):
        for name in ("grpo", "igrpo"):
            changes = {"condition": f"{name}{data}", "data.operations": data}
            write_seeds(tmp_path, f"{name}{data}", f"algorithm={name}", changes=changes)
    found = report_of(tmp_path)
    assert {c.pair for c in found.comparisons} == {("grpo5", "igrpo5"), ("grpo4", "igrpo4")}
    assert found.baseline == "grpo4"
    assert (
        "Conditions are compared on the same task only; the tasks are chains operations=4 and chains operations=5."
        in found.notes
    )
    with pytest.raises(ValueError, match="--allow-different questions"):
        report_of(tmp_path, baseline="grpo5")


def test_a_reward_that_changed_within_a_run_is_refused(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo")
    path = RunDirectory(tmp_path / "igrpo-1").fingerprints
    kept = read_fingerprints(path)
    assert kept is not None
    change = Change(step=2, part="reward", what="reward (mine.py)")
    write_fingerprints(path, kept.model_copy(update={"changes": (change,)}))
    with pytest.raises(ValueError, match=r"igrpo-1 .*after step 2 .*reward \(mine\.py\)"):
        report_of(tmp_path)
    assert report_of(tmp_path, allow_different=("reward",)).comparisons


def test_runs_of_an_older_igrpo_are_compared_with_one_note(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo")
    for run in find_runs([tmp_path])[1:]:
        assert run.path is not None
        RunDirectory(run.path).fingerprints.unlink()
        summary = json.loads((run.path / "summary.json").read_text())
        del summary["fingerprints"]
        (run.path / "summary.json").write_text(json.dumps(summary))
    found = report_of(tmp_path)
    assert found.comparisons
    (note,) = [note for note in found.notes if "fingerprints" in note]
    assert note.startswith("5 of 6 runs have no fingerprints")
    assert "grpo-1, grpo-2, igrpo-0" in note


def test_broken_fingerprints_exclude_the_run(tmp_path: Path) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    RunDirectory(tmp_path / "grpo-2").fingerprints.write_text("{")
    (problem,) = [run.problem for run in find_runs([tmp_path]) if run.problem is not None]
    assert "fingerprints.json is broken" in problem


def test_the_command_takes_the_flag_and_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_seeds(tmp_path, "grpo", "algorithm=grpo")
    write_seeds(tmp_path, "igrpo", made_of={"questions": "changed"})
    out = str(tmp_path / "out")
    assert main(["report", str(tmp_path), "--out", out]) == 2
    assert "--allow-different questions" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "--out", out, "--allow-different", "questions"]) == 0
    assert main(["report", str(tmp_path), "--out", out, "--allow-different", "weather"]) == 2
