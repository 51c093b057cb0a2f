"""Gains by difficulty: bins, both ways of choosing them, and no gain from regression to the mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from igrpo.report.clustered import Value, clustered_mean
from igrpo.report.conditions import RunGroup, group_runs
from igrpo.report.difficulty import bin_of, bins, gain_differences, gains
from igrpo.report.dynamics_model import Gains
from igrpo.report.runs import find_runs
from tests.report.run_dirs import write_run

Rows = Sequence[Sequence[bool]]


def group_of(folder: Path, starts: Sequence[Rows], ends: Sequence[Rows], name: str = "grpo") -> RunGroup:
    """Write a run per seed with these verdicts of every question before and after training."""
    for seed, (start, end) in enumerate(zip(starts, ends, strict=True)):
        run = write_run(
            folder / f"{name}-{seed}", "algorithm=grpo", seed=seed, after=[0.5] * len(end), changes={"condition": name}
        )
        for step, rows in ((0, start), (4, end)):
            write_verdicts(run / f"evaluations/test-{step:06d}.json", rows)
    (found,) = group_runs([run for run in find_runs([folder]) if run.config["condition"] == name]).groups
    return found


def write_verdicts(path: Path, rows: Rows) -> None:
    problems = [{"id": f"q{i}", "single_shot": [bool(right) for right in row]} for i, row in enumerate(rows)]
    path.write_text(json.dumps({"per_question": problems}))


def by_bin(found: Gains | None) -> dict[str, Any]:
    assert found is not None
    return {one.name: one for one in found.bins}


def test_every_share_has_one_bin() -> None:
    assert bins(1) == ("0", "1")
    assert bins(3) == ("0", "1/3", "2/3", "1")
    assert [bin_of([True] * right + [False] * (3 - right)) for right in range(4)] == list(bins(3))
    for samples in (4, 6, 32):
        for right in range(samples + 1):
            share = right / samples
            expected = "0" if right == 0 else "1" if share == 1 else None
            expected = expected or ("(0, 1/3]" if 3 * right <= samples else "(1/3, 2/3]")
            if samples > right > 2 * samples / 3:
                expected = "(2/3, 1)"
            assert bin_of([True] * right + [False] * (samples - right)) == expected


def test_each_half_chooses_once_and_measures_once(tmp_path: Path) -> None:
    start = [[True, False, False, False], [True, True, True, False]]
    end = [[True, True, False, False], [True, True, True, True]]
    found = by_bin(gains("chains", group_of(tmp_path, [start], [end])))
    # q0: its first half (1/2) chooses and its second (0) measures, then the other way round. q1: 1 then 1/2.
    assert {name: one.gain.values for name, one in found.items()} == {"0": 1, "1/2": 2, "1": 1}
    assert (found["0"].start, found["0"].end, found["0"].gain.mean) == (0.5, 0.5, 0.0)
    # 1/2 is chosen by the first half of q0 (the rest has 0 right, the end 0.5) and the second of q1 (rest 1, end 1)
    assert (found["1/2"].start, found["1/2"].end, found["1/2"].gain.mean) == (0.5, 0.75, 0.25)
    assert found["1"].gain.mean == pytest.approx(0.5)  # q1: the rest has 1/2 right, the end 1


def test_without_training_there_is_no_gain_in_any_bin(tmp_path: Path) -> None:
    """The same policy before and after: what chooses by all samples and measures by them, too, finds large gains."""
    draw = np.random.default_rng(3)
    chances = draw.beta(0.7, 0.7, size=400)
    starts, ends = ([(draw.random((400, 8)) < chances[:, None]).tolist() for _ in range(3)] for _ in range(2))
    found = by_bin(gains("chains", group_of(tmp_path, starts, ends)))
    assert found.keys() == set(bins(4))
    for one in found.values():
        assert abs(one.gain.mean) < 0.02
    naive = [
        fmean(end) - fmean(start)
        for start, end in zip(chain(*starts), chain(*ends), strict=True)
        if bin_of(start) == "(0, 1/3]"
    ]
    assert fmean(naive) > 0.03


def test_one_sample_is_chosen_by_the_starts_of_other_seeds(tmp_path: Path) -> None:
    starts: list[Rows] = [[[True], [False]], [[True], [True]], [[False], [False]]]
    ends: list[Rows] = [[[True], [True]], [[True], [False]], [[True], [False]]]
    found = gains("chains", group_of(tmp_path, starts, ends))
    assert found is not None
    assert (found.chosen_by, found.samples) == ("other seeds", 1)
    # q0 right at seeds 0 and 1, q1 at seed 1: q0 is in 1/2 at seeds 0 and 1 and in 1 at seed 2, q1 in 1/2, 0 and 1/2
    values = {name: (one.gain.values, one.gain.mean) for name, one in by_bin(found).items()}
    assert values == {"0": (1, -1.0), "1/2": (4, pytest.approx((0 + 0 + 1 + 0) / 4)), "1": (1, 1.0)}


def test_a_start_that_seeds_share_chooses_nothing(tmp_path: Path) -> None:
    start: Rows = [[True], [False]]
    assert gains("chains", group_of(tmp_path, [start, start], [start, start])) is None


def test_the_development_split_stands_in_for_a_start_that_was_not_tested(tmp_path: Path) -> None:
    rows: Rows = [[True, False], [False, False], [True, True]]
    group_of(tmp_path, [rows], [rows])
    evaluations = tmp_path / "grpo-0/evaluations"
    (evaluations / "test-000000.json").unlink()
    (without,) = group_runs(find_runs([tmp_path])).groups
    assert gains("chains", without) is None
    for step in (0, 4):
        write_verdicts(evaluations / f"development-{step:06d}.json", rows)
    (group,) = group_runs(find_runs([tmp_path])).groups
    found = gains("chains", group)
    assert found is not None
    assert found.split == "development"
    assert sum(one.gain.values for one in found.bins) == 6


def test_differences_use_the_bins_of_the_first_condition(tmp_path: Path) -> None:
    start: Rows = [[True, False], [False, False], [True, True]]
    first = group_of(tmp_path, [start], [[[True, False], [False, False], [True, True]]])
    other = group_of(tmp_path, [[[False, False]] * 3], [[[True, True], [True, False], [True, True]]], name="other")
    found = gain_differences("chains", first, other)
    assert found is not None
    # q0 is once in 0 and once in 1, q1 twice in 0, q2 twice in 1; the ends differ by 0.5, 0.5 and 0
    means = {name: (one.values, one.mean) for name, one in found.bins.items()}
    assert means == {"0": (3, pytest.approx(0.5)), "1": (3, pytest.approx(0.5 / 3))}


def test_the_intervals_of_all_bins_hold_together(tmp_path: Path) -> None:
    start: Rows = [[right] * 2 for right in [True] * 8 + [False] * 8]
    end: Rows = [[True, i % 3 > 0] for i in range(8)] + [[False, i % 3 == 0] for i in range(8)]
    first = group_of(tmp_path, [start], [start])
    found = gain_differences("chains", first, group_of(tmp_path, [start], [end], name="other"))
    assert found is not None
    for name, change in (("1", -0.5), ("0", 0.5)):  # every third question of a bin changes by half of its samples
        values = [Value(f"q{i}", 0, change * (i % 3 == 0)) for i in range(8) for _ in range(2)]
        assert found.bins[name] == clustered_mean(values, 1 - 0.05 / 2)
