"""Runs are grouped into conditions with unique names; of two equal runs the newer one is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from igrpo.report.conditions import Grouping, compared_settings, group_runs
from igrpo.report.runs import LoadedRun, load_run
from tests.composed import changed
from tests.report.run_dirs import write_run


def run(*overrides: str, seed: int = 0, name: str = "run", ended: str = "2026-01-01", **more: Any) -> LoadedRun:
    """A usable run of these settings, with nothing else in it."""
    return LoadedRun(
        name=name,
        path=None,
        config=changed({"seed": seed, "model.warm_start.seed": 0, **more.pop("changes", {})}, *overrides),
        status="FINISHED",
        ended=ended,
        record=None,
        summary=None,
        metrics=(),
        before=None,
        after=None,
        problem=more.pop("problem", None),
    )


def shape(grouping: Grouping) -> dict[str, list[int]]:
    return {group.name: list(group.runs) for group in grouping.groups}


def test_seeds_are_one_condition() -> None:
    runs = [run(f"algorithm={name}", seed=seed) for seed in (2, 0, 1) for name in ("grpo", "igrpo")]
    assert shape(group_runs(runs)) == {"grpo": [0, 1, 2], "igrpo": [0, 1, 2]}


COSTS: list[Mapping[str, Any]] = [
    {"run_name": "other", "tracking.uri": None, "tracking.experiment": "x", "checkpoint.every": 1},
    {"trainer.threads": 7, "trainer.device": "auto", "trainer.tokens_per_microbatch": 9999, "trainer.head_chunk": 64},
    {"evaluation.every": 1, "evaluation.questions": 3, "evaluation.samples": 9, "evaluation.oracle_drafts": 2},
    {"evaluation.greedy": True, "evaluation.interval_width": 0.2},
    {"evaluation.reuse_first": True, "rollout.max_batch_rows": 3, "reward.workers": 5, "reward.cache_size": 1},
]


@pytest.mark.parametrize("changes", COSTS)
def test_what_only_costs_is_no_other_condition(changes: Mapping[str, Any]) -> None:
    grouping = group_runs([run(seed=0), run(seed=1, changes=changes)])
    assert shape(grouping) == {"igrpo": [0, 1]}
    assert grouping.groups[0].settings == {}


def test_a_reward_within_a_weighted_one_may_have_more_workers() -> None:
    part = {"weight": 1.0, "reward": {"name": "math_verify", "workers": 1, "percent": "any"}}
    settings = compared_settings({"reward": {"name": "weighted", "parts": {"right": part}}})
    assert settings.keys() == {"reward.name"} | {
        f"reward.parts.right.{n}" for n in ("weight", "reward.name", "reward.percent")
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.learning_rate", 0.5),
        ("evaluation.temperature", 0.5),
        ("sampling.max_completion_tokens", 5),
        ("data.operations", 3),
    ],
)
def test_anything_else_is(key: str, value: Any) -> None:
    grouping = group_runs([run(seed=0), run(seed=1, changes={key: value})])
    leaf = key.rpartition(".")[2]
    names = [group.name for group in grouping.groups]
    assert names[1] == f"igrpo {leaf}={value}"
    assert names[0].startswith(f"igrpo {leaf}=")
    assert [list(group.settings) for group in grouping.groups] == [[key], [key]]


def test_a_group_size_sweep_without_labels_reads_well() -> None:
    cells = [(k, a) for k in (4, 8, 16, 32) for a in ("grpo", "igrpo")]
    grouping = group_runs(
        [run(f"completions_per_question={k}", f"algorithm={a}", seed=s) for k, a in cells for s in (0, 1)]
    )
    assert shape(grouping) == {f"{a} completions_per_question={k}": [0, 1] for k, a in cells}
    settings = {group.name: group.settings for group in grouping.groups}
    assert settings["igrpo completions_per_question=8"]["algorithm.drafts"] == "4"
    assert "algorithm.drafts" not in settings["grpo completions_per_question=8"]


def test_conditions_with_one_label_are_named_by_their_settings() -> None:
    runs = [run(changes={"condition": "mine"}), run("algorithm=grpo", changes={"condition": "bare"})]
    assert list(shape(group_runs(runs))) == ["mine", "bare"]
    more = run("algorithm.selection=random", "algorithm.drafts=2", changes={"condition": "mine"})
    assert list(shape(group_runs([*runs, more]))) == ["mine drafts=4", "bare", "mine drafts=2"]


def test_two_labels_are_two_conditions_with_the_same_settings() -> None:
    one, other = run(seed=0, changes={"condition": "a"}), run(seed=0, changes={"condition": "b"})
    grouping = group_runs([one, other])
    assert shape(grouping) == {"a": [0], "b": [0]}
    assert [group.settings for group in grouping.groups] == [{}, {}]


def test_a_part_gives_its_section_as_a_name() -> None:
    runs = [run(f"objective={name}", changes={"condition": "igrpo"}) for name in ("grpo", "dapo")]
    assert list(shape(group_runs(runs))) == ["igrpo objective=grpo", "igrpo objective=dapo"]


def test_leaf_names_that_two_sections_share_are_written_out() -> None:
    keys = ("sampling.temperature", "evaluation.temperature")
    pairs = [(a, b) for a in (0.5, 0.7) for b in (0.5, 0.7)]
    names = shape(group_runs([run(changes=dict(zip(keys, pair, strict=True))) for pair in pairs]))
    assert "igrpo evaluation.temperature=0.7 sampling.temperature=0.5" in names


def test_long_values_are_cut_and_names_stay_different() -> None:
    texts = ["x" * 40 + end for end in ("a", "b")]
    names = list(shape(group_runs([run(changes={"prompt.system": text}) for text in texts])))
    assert names == [f"igrpo system={'x' * 21}... (1)", f"igrpo system={'x' * 21}... (2)"]


def seeded(seed: int, start: int, algorithm: str = "igrpo") -> LoadedRun:
    return run(f"algorithm={algorithm}", changes={"seed": seed, "model.warm_start.seed": start})


def test_a_warm_start_that_follows_the_seed_splits_nothing() -> None:
    assert shape(group_runs([seeded(0, 0), seeded(1, 1), seeded(2, 2)])) == {"igrpo": [0, 1, 2]}


def test_a_warm_start_that_all_seeds_share_splits_nothing() -> None:
    assert shape(group_runs([seeded(0, 0), seeded(1, 0), seeded(2, 0)])) == {"igrpo": [0, 1, 2]}


def test_two_warm_starts_are_two_conditions() -> None:
    grouping = group_runs([seeded(seed, start) for seed in (0, 1) for start in (7, 8)])
    assert shape(grouping) == {"igrpo model.warm_start.seed=7": [0, 1], "igrpo model.warm_start.seed=8": [0, 1]}


def test_an_ambiguous_seed_follows_the_other_conditions() -> None:
    shared = group_runs([*(seeded(seed, 0, "grpo") for seed in (0, 1, 2)), seeded(0, 0)])
    assert [group.settings.get("model.warm_start.seed") for group in shared.groups] == [None, None]
    follows = group_runs([*(seeded(seed, seed, "grpo") for seed in (0, 1, 2)), seeded(0, 0)])
    assert [group.settings.get("model.warm_start.seed") for group in follows.groups] == [None, None]
    mixed = group_runs([*(seeded(seed, seed, "grpo") for seed in (0, 1)), *(seeded(seed, 0) for seed in (0, 1))])
    assert [group.settings["model.warm_start.seed"] for group in mixed.groups] == ["= seed", "0"]


def test_of_two_equal_runs_the_newer_one_counts() -> None:
    runs = [
        run(name="old", ended="2026-01-01"),
        run(name="new", ended="2026-02-01"),
        run(name="older", ended="2025-01-01"),
    ]
    grouping = group_runs(runs)
    assert [one.name for one in grouping.groups[0].runs.values()] == ["new"]
    reason = "new is a newer run of the same condition and seed"
    assert [(entry.name, entry.excluded) for entry in grouping.entries] == [
        ("old", reason),
        ("new", None),
        ("older", reason),
    ]


def test_a_newer_run_that_cannot_be_used_replaces_nothing() -> None:
    runs = [run(name="old"), run(name="new", ended="2026-02-01", problem="it failed")]
    grouping = group_runs(runs)
    assert [one.name for one in grouping.groups[0].runs.values()] == ["old"]
    assert [entry.excluded for entry in grouping.entries] == [None, "it failed"]
    assert [entry.condition for entry in grouping.entries] == ["igrpo", "igrpo"]


def test_settings_without_a_label_are_named_by_their_algorithm(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", "algorithm=grpo", after=[1.0])
    text = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(
        "".join(line for line in text.splitlines(keepends=True) if not line.startswith("condition:"))
    )
    assert shape(group_runs([load_run(path)])) == {"grpo": [0]}


def test_unreadable_settings_are_an_unknown_condition(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    (path / "config.yaml").unlink()
    (entry,) = group_runs([load_run(path)]).entries
    assert (entry.condition, entry.seed, entry.status) == ("unknown", None, "FINISHED")
    assert entry.excluded is not None
