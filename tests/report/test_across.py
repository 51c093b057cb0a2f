"""Tasks of a report: conditions are compared within one, and methods over all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.report.conditions import group_runs
from igrpo.report.model import Report
from igrpo.report.runs import find_runs
from igrpo.report.tasks import methods_of, tasks_of
from igrpo.runs.metrics_file import MetricsFile
from tests.report.run_dirs import GRPO, IGRPO, STEPS, of_metric, report_of, write_condition

DATA = {"": {}, "-4": {"data.operations": 4}}


def write_two_tasks(folder: Path, **seeds: int) -> None:
    """Write GRPO and iGRPO on two data sets; ``seeds``: the first seeds of a condition on the second one."""
    for ending, data in DATA.items():
        for name, by_seed in (("grpo", GRPO), ("igrpo", IGRPO)):
            most = seeds.get(name, 3) if ending else 3
            own = {seed: row for seed, row in by_seed.items() if seed < most}
            changes = {"condition": name, **data}
            write_condition(folder / (name + ending), name, own, f"algorithm={name}", changes=changes)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("two")
    write_two_tasks(folder)
    return report_of(folder)


def test_conditions_are_compared_within_their_task(two: Report) -> None:
    pairs = {c.pair for c in two.comparisons}
    assert pairs == {(f"grpo operations={n}", f"igrpo operations={n}") for n in (4, 5)}
    assert not any("not comparable" in note or "different problems" in note for note in two.notes)
    assert any(note.startswith("Conditions are compared on the same task only") for note in two.notes)


def test_methods_are_summed_up_over_tasks(two: Report) -> None:
    found = two.across
    assert found is not None
    assert (found.tasks, found.seeds) == (("chains operations=5", "chains operations=4"), 3)
    grpo, igrpo = found.methods
    assert (grpo.method, igrpo.method) == ("grpo", "igrpo")
    by_seed = (2.5 / 4, 2.5 / 4, 2.75 / 4)
    assert grpo.scores == {task: pytest.approx(by_seed) for task in found.tasks}
    # six scores, of which one is cut off at each end: 0.625 three times and 0.6875 once
    assert grpo.iqm == pytest.approx((3 * 0.625 + 0.6875) / 4)
    (improvement,) = found.improvements
    assert (improvement.pair, improvement.probability) == (("grpo", "igrpo"), 0.0)  # at most 0.5 against 0.625
    assert "since all resamples agree" in found.readings[0]


def test_the_fewest_seeds_count_and_a_method_without_a_task_is_left_out(tmp_path: Path) -> None:
    write_two_tasks(tmp_path, igrpo=2)
    write_condition(tmp_path / "bare", "bare", GRPO, "condition=bare")
    found = report_of(tmp_path).across
    assert found is not None
    assert (found.seeds, [one.method for one in found.methods]) == (2, ["grpo", "igrpo"])
    assert found.left_out == (
        "bare is left out: it has no score on chains operations=4.",
        "Only the first 2 seeds count, since a method has no more; there are others on chains operations=4 and "
        "chains operations=5.",
    )


def test_one_task_has_no_such_part_and_benchmarks_are_tasks(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", IGRPO, "algorithm=igrpo")
    assert report_of(tmp_path).across is None
    for run in sorted(tmp_path.iterdir()):
        file = MetricsFile(run / "metrics.jsonl")
        file.append(STEPS, {"aime/single_shot/accuracy": 0.75 if run.name.startswith("igrpo") else 0.25})
        file.close()
    found = report_of(tmp_path).across
    assert found is not None
    assert found.tasks == ("chains", "aime")
    assert found.methods[1].scores["aime"] == (0.75, 0.75, 0.75)
    assert found.improvements[0].probability == 0.5  # never better on the one, always on the other


def test_tasks_without_a_second_condition_are_what_is_compared(tmp_path: Path) -> None:
    for ending, data in DATA.items():
        write_condition(tmp_path / ("igrpo" + ending), "igrpo", IGRPO, changes={"condition": "igrpo", **data})
    found = report_of(tmp_path)
    assert [c.pair for c in of_metric(found.comparisons)] == [("igrpo operations=5", "igrpo operations=4")]
    assert found.across is None


def test_the_training_questions_make_no_task_and_settings_tell_methods_apart(tmp_path: Path) -> None:
    for name, changes in (
        ("a", {"data.train": 100}),
        ("b", {"algorithm.drafts": 2}),
        ("c", {"data.operations": 4, "prompt.max_question_tokens": 30}),
    ):
        write_condition(tmp_path / name, "igrpo", {0: [0.5, 0.5]}, changes={"condition": "igrpo", **changes})
    tasks = tasks_of(group_runs(find_runs([tmp_path])).groups)
    assert [(task.name, len(task.groups)) for task in tasks] == [("chains operations=5", 2), ("chains operations=4", 1)]
    assert sorted(methods_of(tasks).values()) == [
        "igrpo algorithm.drafts=2 data.train=20000",
        "igrpo algorithm.drafts=4 data.train=100",
        "igrpo algorithm.drafts=4 data.train=20000",
    ]
