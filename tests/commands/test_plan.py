"""The plan's numbers, and which search a condition takes its settings from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from igrpo.analysis.statistics import planned_minimum_detectable_effect
from igrpo.commands.plan import plan_of, print_plan, print_time
from igrpo.commands.tuned import tuned_overrides
from igrpo.config import ConfigError
from igrpo.hydra_support.composer import Composer
from igrpo.step_time import StepTime


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


def test_a_budget_shortens_the_plan(composer: Composer) -> None:
    grid = ("seed=0,1", "trainer.steps=1000", "trainer.questions_per_step=2")
    # ceil(100 / 16) = 7 steps of 16 samples, twice
    assert "  224 in training" in printed(composer, *grid, "budget.max_samples=100").replace("│", " ")
    assert "at most 32,000 in training" in printed(composer, *grid, "budget.max_flops=1e9")


def test_a_plan_with_dynamic_sampling_claims_no_more_than_it_knows(composer: Composer) -> None:
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
    assert f"estimated time: {(grpo + half) / 60:.0f} min, {(grpo + half) / 2:.0f} s a run" in out.getvalue()


def search(folder: Path, condition: str, rate: str, *, with_drafts: bool) -> Path:
    folder.mkdir()
    found = {
        "condition": condition, "with_drafts": with_drafts, "model": "tiny", "data": "chains",
        "best": {"trainer.learning_rate": rate}, "development_accuracy": 0.5, "trials": [],
    }  # fmt: skip
    (folder / "search.json").write_text(json.dumps(found))
    return folder


def test_every_condition_takes_the_settings_of_the_search_that_fits_it(
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
    assert "tuned: bare takes trainer.learning_rate=1e-4 from the search for grpo" in capsys.readouterr().out
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
