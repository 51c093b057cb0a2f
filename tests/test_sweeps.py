"""The shipped sweeps: what each asks, how many runs it has, what its runs share and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from igrpo.config import ConfigError, RunConfig, config_hash
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import choices, shipped
from igrpo.config.composing.planned import Sweep
from igrpo.messages import install
from tests.composed import config as composed
from tests.composed import group_size

#: Runs of each seed of a grid; trials of each search.
RUNS = {
    "draft_budget": 3, "draft_selection": 5, "group_size": 4 * 2, "grpo_vs_igrpo": 5, "kl": 4 * 2, "split": 4,
    "temperature": 4 * 2, "variants": 10, "wrapper": 2 * 6, "quick/draft_budget": 4, "quick/draft_selection": 5,
    "quick/group_size": 3 * 2, "quick/grpo_vs_igrpo": 5, "quick/kl": 4 * 2, "quick/split": 4,
    "quick/temperature": 4 * 2, "quick/variants": 10, "quick/wrapper": 2 * 3,
}  # fmt: skip
SEARCHES = {"search_lr": 20, "quick/search_lr": 8}
#: Dotted settings in which the runs of a sweep differ, beside the seed and the labels.
VARIED = {
    "draft_budget": {"prompt.max_draft_tokens"}, "draft_selection": {"algorithm.selection"},
    "group_size": {"algorithm", "completions_per_question"}, "grpo_vs_igrpo": {"algorithm", "objective"},
    "kl": {"algorithm", "objective.kl_beta"}, "split": {"algorithm.drafts"},
    "temperature": {"algorithm", "sampling.temperature"}, "variants": {"algorithm"}, "wrapper": {"algorithm", "objective"},
}  # fmt: skip
ALL = sorted(choice.name for choice in choices("sweep") if not choice.name.startswith("paper/"))


@cache
def checked(*overrides: str) -> Sweep:
    with Composer("train") as composer:
        return composer.check_sweep(overrides)


def configs(name: str) -> list[RunConfig]:
    """The runs of one seed: composing those of the others takes its time and says nothing new."""
    return [cell.config for cell in checked(f"experiment={task(name)}", f"sweep={name}", "seed=0").cells]


def task(name: str) -> str:
    """The preset of the small task with which the sweep is run."""
    return "quickstart" if name.startswith("quick/") else "chains"


def seeds(name: str) -> str:
    """The seeds that a grid's file declares."""
    values = yaml.safe_load(Path(shipped("sweeps"), f"{name}.yaml").read_text())
    return str(values["hydra"]["sweeper"]["params"]["seed"])


def test_every_sweep_is_in_these_tables_and_has_a_quick_variant() -> None:
    assert sorted({**RUNS, **SEARCHES}) == ALL
    full = {name for name in ALL if "/" not in name}
    assert {name for name in ALL if "/" in name} == {f"quick/{name}" for name in full}
    assert sorted(VARIED) == sorted(full - set(SEARCHES))


@pytest.mark.parametrize("name", ALL)
def test_the_header_asks_a_question_and_gives_the_command(name: str) -> None:
    (choice,) = [choice for choice in choices("sweep") if choice.name == name]
    assert choice.description.endswith("?")
    text = Path(shipped("sweeps"), f"{name}.yaml").read_text()
    assert f"igrpo train experiment={task(name)} sweep={name}" in text
    assert ("about " if name.startswith("quick/") else "# Matched: ") in text or name == "search_lr"


@pytest.mark.parametrize("name", RUNS)
def test_every_run_of_a_grid_is_a_run_of_its_own(name: str) -> None:
    cells = configs(name)
    assert len(cells) == RUNS[name]
    assert len({cell.run_name for cell in cells}) == len(cells)
    # without what only names them, so that a label cannot be their one difference
    plain = [cell.model_copy(update={"condition": "x", "run_name": "x"}) for cell in cells]
    assert len({config_hash(cell) for cell in plain}) == len(cells)
    assert len({cell.condition for cell in cells}) == len(cells), "a condition is run once with each seed"
    assert seeds(name) == ("0,1,2" if name.startswith("quick/") else "0,1,2,3,4")


def test_the_quickstart_is_the_task_of_the_sweeps_with_less_evaluation() -> None:
    quick, whole, plain = (
        composed(None, *([f"experiment={name}"] if name else [])) for name in ("quickstart", "chains", "")
    )
    fewer = {f"evaluation.{name}" for name in ("every", "questions", "interval_width", "greedy")}
    assert differing([quick, whole]) == {"run_name", *fewer}
    assert differing([whole, plain]) == {"run_name", "evaluation.greedy", "evaluation.reuse_first"}


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in flat(value, f"{prefix}.{key}".lstrip(".")).items()}


def differing(cells: Sequence[RunConfig]) -> set[str]:
    """The dotted settings that not all of the runs share."""
    rows = [flat(cell.model_dump()) for cell in cells]
    keys = {key for row in rows for key in row}
    return {key for key in keys if any(row.get(key, key) != rows[0].get(key, key) for row in rows)}


@pytest.mark.parametrize("name", RUNS)
def test_runs_of_one_seed_differ_only_in_what_is_swept(name: str) -> None:
    varied = VARIED[name.removeprefix("quick/")]
    found = differing(configs(name)) - {"condition", "run_name"}
    assert {key for key in varied if any(part == key or part.startswith(f"{key}.") for part in found)} == varied
    assert [key for key in found if not any(key == part or key.startswith(f"{part}.") for part in varied)] == []


def test_a_seed_covers_the_warm_start_and_nothing_of_the_data() -> None:
    cells = [cell.config for cell in checked("experiment=quickstart", "sweep=quick/grpo_vs_igrpo").cells]
    assert [(cell.condition, cell.seed) for cell in cells] == [
        (condition, seed) for condition in ("grpo", "igrpo", "grpo_half", "bare", "best_of_n") for seed in range(3)
    ]
    for first in range(0, len(cells), 3):
        assert differing(cells[first : first + 3]) == {"seed", "run_name", "model.warm_start.seed"}
    assert all(cell.model_dump()["model"]["warm_start"]["seed"] == cell.seed for cell in cells)
    assert len({cell.run_name for cell in cells}) == len(cells)


@pytest.mark.parametrize("name", [name for name in RUNS if "group_size" not in name])
def test_the_samples_of_a_comparison_are_matched(name: str) -> None:
    cells = configs(name)
    samples = {c.condition: c.trainer.steps * c.trainer.questions_per_step * c.plan.samples for c in cells}
    half = samples.pop("grpo_half", None)
    (whole,) = set(samples.values())
    assert half in {None, whole // 2}
    assert {cell.plan.samples for cell in cells} == ({4, 8} if half else {8})


@pytest.mark.parametrize("name", ["group_size", "quick/group_size"])
def test_sizes_are_split_evenly_and_match_the_baseline(name: str) -> None:
    found = {(c.completions_per_question, c.algorithm.name, c.plan.drafts, group_size(c)) for c in configs(name)}
    sizes = (4, 8, 16) if name.startswith("quick/") else (4, 8, 16, 32)
    expected = {("igrpo", size // 2, size // 2) for size in sizes} | {("grpo", 0, size) for size in sizes}
    assert found == {(drafts + group, algorithm, drafts, group) for algorithm, drafts, group in expected}


def test_the_controls_are_what_they_are_called() -> None:
    by_name = {cell.condition: cell for cell in configs("grpo_vs_igrpo")}
    assert {name: (c.plan.drafts, group_size(c)) for name, c in by_name.items()} == {
        "grpo": (0, 8), "igrpo": (4, 4), "grpo_half": (0, 4), "bare": (0, 8), "best_of_n": (0, 8),
    }  # fmt: skip
    assert group_size(by_name["grpo_half"]) == group_size(by_name["igrpo"])  # as many trained completions
    assert differing([by_name["best_of_n"], by_name["grpo"]]) - {"condition", "run_name"} == {
        f"objective.{key}" for key in (
            "name", "advantage.baseline", "advantage.scale", "advantage.select", "surrogate", "clip_low", "clip_high",
        )
    }  # fmt: skip


@pytest.mark.parametrize("name", ["wrapper", "quick/wrapper"])
def test_the_wrapper_takes_several_updates_a_batch(name: str) -> None:
    assert {cell.updates_per_step for cell in configs(name)} == {4}


@pytest.mark.parametrize("name", ["draft_selection", "split", "draft_budget"])
def test_sweeps_over_drafts_choose_igrpo_by_themselves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /algorithm: grpo\n  - override /objective: dapo\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text + "completions_per_question: 12\n")
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        cells = composer.check_sweep(["experiment=mine", f"sweep={name}", "seed=0"]).cells
    assert {(cell.config.algorithm.name, cell.config.objective.name) for cell in cells} == {("igrpo", "dapo")}
    assert {cell.config.plan.samples for cell in cells} == ({8} if name == "split" else {12})


def test_the_command_line_wins_over_condition_and_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /algorithm: grpo\n  - override /objective: dapo\ncondition: mine\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        found = {
            name: composer.check_run(["experiment=mine", *([f"condition={name}"] if name else [])]).config
            for name in ("", "igrpo", "bare", "best_of_n")
        }
        assert composer.check_run(["condition=bare", "objective=gspo"]).config.objective.name == "gspo"
        with pytest.raises(ConfigError, match="condition=igrpo cannot go with algorithm=grpo"):
            composer.check_run(["condition=igrpo", "algorithm=grpo"])
        with pytest.raises(ConfigError, match=r"algorithm\.answers: no such setting"):
            composer.check_run(["condition=grpo_half", "algorithm=igrpo"])
    assert {name: (c.condition, c.algorithm.name, c.objective.name) for name, c in found.items()} == {
        "": ("mine", "grpo", "dapo"),
        "igrpo": ("igrpo", "igrpo", "dapo"),
        "bare": ("bare", "igrpo", "dapo"),
        "best_of_n": ("best_of_n", "grpo", "best_of_n"),
    }


def test_a_sweep_of_the_users_own_wins_in_the_quick_variant_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      condition: grpo,igrpo\n"
    (tmp_path / "sweeps" / "grpo_vs_igrpo.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        own = composer.check_sweep(["sweep=grpo_vs_igrpo"])
        quick = composer.check_sweep(["sweep=quick/grpo_vs_igrpo"])
    assert [cell.swept for cell in own.cells] == [{"condition": "grpo"}, {"condition": "igrpo"}]
    assert len(quick.cells) == 2 * 3  # its own three seeds of the user's two conditions
    assert {cell.config.trainer.steps for cell in quick.cells} == {30}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("condition", ["grpo", "igrpo"])
def test_a_search_tunes_one_algorithm_on_a_seed_of_its_own(name: str, condition: str) -> None:
    sweep = checked("experiment=quickstart", f"sweep={name}", f"condition={condition}")
    assert sweep.search is not None
    assert (sweep.search.trials, sweep.cells) == (SEARCHES[name], ())
    assert sweep.keys == ("trainer.learning_rate",)
    assert (sweep.base.condition, sweep.base.algorithm.name) == (condition, condition)
    assert str(sweep.base.seed) not in seeds("grpo_vs_igrpo").split(",")
    assert sweep.base.evaluation.interval_width is None  # the quickstart's would make the choice noisier


@pytest.mark.parametrize("given", ["condition=grpo,igrpo", "seed=0,1,2", "seed=range(0,3)"])
def test_a_search_has_one_condition_and_one_seed(given: str) -> None:
    with Composer("train") as composer, pytest.raises(ConfigError, match="a search tunes one condition at one seed"):
        composer.check_sweep(["sweep=search_lr", given])


def test_the_search_covers_decades_at_a_seed_of_its_own() -> None:
    search = checked("sweep=quick/search_lr", "condition=igrpo").search
    assert search is not None
    assert (search.at_once, search.sampler["seed"], search.sampler["n_startup_trials"]) == (1, 0, 4)
    assert {key: item.input_line for key, item in search.space.items()} == {
        "trainer.learning_rate": "trainer.learning_rate=tag(log, interval(1e-5, 1e-2))"
    }
    assert search.fixed["seed"] == "seed=100"


def test_a_missing_optuna_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.config.composing.composer.find_spec", lambda name: None)
    with Composer("train") as composer, pytest.raises(ConfigError) as raised:
        composer.check_sweep(["sweep=search_lr"])
    assert raised.value.problems == [f"hydra/sweeper=search: not installed: {install('search')}"]


@pytest.mark.parametrize("given", ["hydra.sweeper.n_trials=0", "hydra.sweeper.n_jobs=1.5"])
def test_a_search_needs_whole_numbers_of_trials(given: str) -> None:
    with Composer("train") as composer, pytest.raises(ConfigError, match="give a whole number") as raised:
        composer.check_sweep(["sweep=search_lr", "condition=grpo", given])
    assert given in str(raised.value)
