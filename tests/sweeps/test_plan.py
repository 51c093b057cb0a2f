"""The plan's numbers, and which search a condition takes its settings from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from igrpo.config import ConfigError
from igrpo.config.composing.composer import Composer
from igrpo.report.statistics import planned_minimum_detectable_effect
from igrpo.sweeps.plan import plan_of, print_plan, print_time
from igrpo.sweeps.power import Design, weakness
from igrpo.sweeps.step_time import StepTime
from igrpo.sweeps.tuned import tuned_overrides


@pytest.fixture
def composer() -> Iterator[Composer]:
    with Composer("train") as composer:
        yield composer


def printed(composer: Composer, *overrides: str) -> str:
    out = StringIO()
    planned = composer.check_sweep(overrides)
    print_plan(plan_of(planned), planned.cells, planned.note, Console(file=out, width=200))
    return out.getvalue()


def test_the_numbers_of_a_plan(composer: Composer) -> None:
    text = printed(composer, "sweep=grpo_vs_igrpo", "trainer.steps=10", "trainer.questions_per_step=2")
    # 5 seeds x 10 steps x 2 questions x (4 conditions of 8 completions, grpo_half with 4)
    assert f"{5 * 10 * 2 * (4 * 8 + 4):,} in training" in text
    assert "25 (5 combinations, 5 seeds each)" in text
    effect = planned_minimum_detectable_effect(seeds=5, problems=256, samples=4, level=1 - 0.05 / 4)
    assert f"a difference of {100 * effect:.1f} points" in text
    assert "5 % over 4 comparisons" in text


def test_a_brief_plan_of_many_runs_lists_the_values_instead(composer: Composer) -> None:
    def lines(*overrides: str, brief: bool) -> list[str]:
        out, planned = StringIO(), composer.check_sweep(overrides)
        print_plan(plan_of(planned), planned.cells, None, Console(file=out, width=200), brief=brief)
        return [" ".join(line.split()) for line in out.getvalue().splitlines()]

    many, few = ("condition=grpo,igrpo", "seed=0,1,2,3,4"), ("condition=grpo,igrpo", "seed=0,1")
    assert lines(*many, brief=False)[9] == "run 9: condition=igrpo seed=4"
    assert lines(*many, brief=True)[:3] == ["the plan", "condition grpo, igrpo", "seed 0, 1, 2, 3, 4"]
    assert lines(*few, brief=True)[3] == "run 3: condition=igrpo seed=1"


def test_a_plan_that_can_show_something_has_no_warning(composer: Composer) -> None:
    text = printed(composer, "condition=grpo,igrpo", "seed=0,1,2,3,4")
    assert "can detect" in text
    assert "warning" not in text


def test_one_seed_detects_nothing(composer: Composer) -> None:
    text = printed(composer, "sweep=grpo_vs_igrpo", "seed=0")
    assert "nothing: one seed cannot tell" in text
    assert "points" not in text
    assert "power" not in text


#: What `sweep=grpo_vs_igrpo` of the CPU task has.
ENOUGH = Design(seeds=5, available=256, asked=256, samples=4, comparisons=4)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        # one of these alone is too little, and raising it is enough
        ({"seeds": 2}, "give it more seeds (seed=0,1,2,3,4)"),
        ({"available": 8}, "give it more test questions (data.test)"),
        ({"available": 1}, "give it more test questions (data.test)"),
        ({"asked": 8}, "give it more test questions (evaluation.questions=256)"),
        ({"asked": 8, "available": None}, "give it more test questions (evaluation.questions=256)"),
        ({"asked": 8, "available": 9}, "give it more test questions (evaluation.questions=256 and data.test)"),
        ({"available": 30, "samples": 1}, "give it more test questions (data.test) or evaluation.samples=4"),
        ({"available": 8, "seeds": 2}, "give it more seeds (seed=0,1,2,3,4) and more test questions (data.test)"),
        ({"comparisons": 2000}, "give it more seeds, or fewer combinations"),
    ],
)
def test_a_comparison_that_shows_nothing_says_what_to_change(changes: dict[str, Any], advice: str) -> None:
    assert weakness(ENOUGH) is None
    found = weakness(replace(ENOUGH, **changes))
    assert found is not None
    assert "can show next to nothing" in found
    assert found.endswith(advice)


def test_the_plan_warns_of_a_weak_comparison(composer: Composer) -> None:
    text = printed(composer, "condition=grpo,igrpo", "seed=0,1,2,3,4", "data.test=1")
    assert "nothing (1 test question x 4 samples, 5 seeds)" in text
    assert "give it more test questions (data.test)" in text


def test_too_few_steps_are_warned_of(composer: Composer) -> None:
    grid = ("condition=grpo,igrpo", "seed=0,1,2,3,4")
    assert "6 steps of 16 questions hardly change the model" in printed(composer, *grid, "trainer.steps=6")
    assert "warning" not in printed(composer, *grid, "trainer.steps=20")
    # a search compares nothing, and its runs are too short all the same
    search = printed(composer, "sweep=search_lr", "trainer.steps=6")
    assert "can detect" not in search
    assert "hardly change the model" in search


def problems(file: Path, count: int) -> str:
    rows = [{"id": f"p{i}", "problem": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(count)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return f"data.path={file}"


def test_a_local_file_is_read_for_the_plan(composer: Composer, tmp_path: Path) -> None:
    local = ("experiment=math_local", "condition=grpo,igrpo", "seed=0,1,2,3,4", "trainer.steps=20")
    path = problems(tmp_path / "problems.jsonl", 2000)
    text = printed(composer, *local, path, "data.test=0.5", "evaluation.questions=2000", "data.development=0")
    counts = re.search(r"([\d,]+) to train on, 0 in the development split, ([\d,]+) in the test split", text)
    assert counts is not None
    train, test = (int(number.replace(",", "")) for number in counts.groups())
    assert train + test == 2000
    assert 900 < test < 1100
    effect = planned_minimum_detectable_effect(seeds=5, problems=test, samples=2)
    assert f"a difference of {100 * effect:.1f} points" in text
    apart = problems(tmp_path / "test.jsonl", 9).replace("data.path", "data.test")
    assert "9 in the test split" in printed(composer, *local, path, apart)


def test_data_that_no_run_could_use_is_refused_by_the_plan(composer: Composer, tmp_path: Path) -> None:
    local = ("experiment=math_local", "condition=grpo,igrpo", "seed=0")
    few = problems(tmp_path / "few.jsonl", 30)
    with pytest.raises(ConfigError, match=r"trainer\.questions_per_step=64: the data has 2\d questions"):
        printed(composer, *local, few, "trainer.questions_per_step=64")
    (tmp_path / "bad.jsonl").write_text('{"problem": "1 + 1?"\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:1: not valid JSON"):
        printed(composer, *local, f"data.path={tmp_path / 'bad.jsonl'}")


def test_a_data_set_on_the_hub_bounds_what_can_be_detected(composer: Composer) -> None:
    grid = ("data=gsm8k", "model=byte_level", "prompt=boxed", "seed=0,1,2,3,4")
    text = printed(composer, *grid, "condition=grpo,igrpo")
    assert "at best, as the data may hold fewer test questions" in text
    assert "to train on" not in text
    assert "can show next to nothing" in printed(composer, *grid, "condition=grpo,igrpo", "evaluation.questions=8")


def test_a_budget_shortens_the_plan(composer: Composer) -> None:
    grid = ("seed=0,1", "trainer.steps=1000", "trainer.questions_per_step=2")
    # ceil(100 / 16) = 7 steps of 16 samples, twice
    assert "  224 in training" in printed(composer, *grid, "budget.max_samples=100").replace("│", " ")
    assert "at most 32,000 in training" in printed(composer, *grid, "budget.max_flops=1e9")


def test_dynamic_sampling_makes_the_plan_a_bound(composer: Composer) -> None:
    grid = ("seed=0,1", "trainer.steps=10", "trainer.questions_per_step=2", "dynamic_sampling=refill")
    assert "at least 320 in training" in printed(composer, *grid)  # 2 x 10 x 2 x 8
    # it ends at 100 samples, which dynamic sampling may come to in a step that a plain run has not reached
    assert "at least 200 in training" in printed(composer, *grid, "budget.max_samples=100")
    assert "very roughly 320 in training" in printed(composer, *grid, "budget.max_flops=1e9")


def test_the_time_of_a_plan(composer: Composer) -> None:
    planned = composer.check_sweep(["condition=grpo,grpo_half", "seed=0", "trainer.steps=80"])
    measured = StepTime(setup=10.0, step=0.5, completions=128, question=0.01)
    grpo, half = (measured.of_run(cell.config) for cell in planned.cells)
    # 128 development questions after steps 0, 20, 40, 60 and 80; 256 of the test split before and after
    evaluating = (5 * 128 + 2 * 256) * 0.01
    assert grpo == pytest.approx(10 + 80 * 0.5 + evaluating)
    assert half == pytest.approx(10 + 80 * 0.25 + evaluating)
    out = StringIO()
    print_time(plan_of(planned), [grpo, half], measured.step, Console(file=out, width=200))
    assert f"estimated time: {(grpo + half) / 60:.0f} min, {(grpo + half) / 2:.0f} s per run" in out.getvalue()
    print_time(plan_of(planned), [60.0, 60.0], 0.5, Console(file=out, width=200), warm_starts=[200.0, 220.0])
    assert "estimated time: 9 min, 60 s per run" in out.getvalue()  # 2 x 60 + 200 + 220 s
    assert "2 warm starts of 4 min each included" in out.getvalue()


def search(folder: Path, condition: str, rate: str, *, with_drafts: bool) -> Path:
    folder.mkdir()
    found = {
        "condition": condition, "with_drafts": with_drafts, "model": "tiny", "data": "chains",
        "best": {"trainer.learning_rate": rate}, "development_accuracy": 0.5, "trials": [],
    }  # fmt: skip
    (folder / "search.json").write_text(json.dumps(found))
    return folder


def test_each_condition_takes_the_settings_of_its_search(
    composer: Composer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searches = [
        search(tmp_path / "a", "grpo", "1e-4", with_drafts=False),
        search(tmp_path / "b", "igrpo", "2e-4", with_drafts=True),
    ]
    planned = composer.check_sweep(["sweep=grpo_vs_igrpo", "seed=0"], tuned_overrides(searches, []))
    rates = {cell.config.condition: cell.config.trainer.learning_rate for cell in planned.cells}
    # bare has no drafts: it is GRPO by other means, and takes GRPO's
    assert rates == {"grpo": 1e-4, "igrpo": 2e-4, "grpo_half": 1e-4, "bare": 1e-4, "best_of_n": 1e-4}
    assert "tuned: bare takes trainer.learning_rate=1e-4" in capsys.readouterr().out
    assert all("trainer.learning_rate=" in cell.overrides[-1] for cell in planned.cells), "launched as it was checked"


def test_what_tuned_refuses(composer: Composer, tmp_path: Path) -> None:
    grpo = search(tmp_path / "a", "grpo", "1e-4", with_drafts=False)
    again = search(tmp_path / "b", "grpo", "2e-4", with_drafts=False)
    with pytest.raises(ConfigError, match="no finished search there"):
        tuned_overrides([tmp_path], [])
    with pytest.raises(ConfigError, match="two searches for condition grpo"):
        tuned_overrides([grpo, again], [])
    with pytest.raises(ConfigError, match="given on the command line and by tuned="):
        tuned_overrides([grpo], ["trainer.learning_rate=1e-3"])
    with pytest.raises(ConfigError, match="no search fits condition igrpo"):
        composer.check_sweep(["condition=grpo,igrpo", "seed=0"], tuned_overrides([grpo], []))
