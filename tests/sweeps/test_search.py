"""What a search picks, from the directories of its runs alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.config.composing.composer import Composer
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.sweeps import search
from igrpo.sweeps.search import continue_search, write_best
from tests.begun import begun_sweep

pytest.importorskip("optuna", "3", reason="needs igrpo[search]")

OVERRIDES = ("sweep=search_lr", "condition=grpo", "hydra.sweeper.sampler.n_startup_trials=3")


def finish(sweep: SweepDirectory, cell: CellRecord, accuracy: float) -> None:
    """Make a run look finished, with that accuracy on the development split."""
    directory = sweep.run_directory(cell)
    directory.create()
    directory.begin()
    directory.finish("FINISHED")
    steps = 80
    directory.summary.write_text(json.dumps({"steps": steps, "single_shot": {"after": accuracy}}))
    evaluation = {"single_shot": {"value": accuracy}}
    (directory.evaluations / f"development-{steps:06d}.json").write_text(json.dumps(evaluation))


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[CellRecord]]:
    """Runs a search in a folder, whose runs of small learning rates are the best; of broken ones none finishes."""
    rounds: list[int] = []

    def run_cells(composer: Composer, sweep: SweepDirectory, cells: Sequence[CellRecord], *_: Any) -> None:
        rounds.append(len(cells))
        for cell in cells:
            is_new = sweep.run_directory(cell).config.exists() and not sweep.run_directory(cell).summary.exists()
            if is_new and cell.number not in broken:
                finish(sweep, cell, 1 - float(cell.swept["trainer.learning_rate"]))

    broken: set[int] = set()
    monkeypatch.setattr(search, "run_cells", run_cells)

    def run(name: str, *overrides: str, fails: Sequence[int] = ()) -> list[CellRecord]:
        broken.update(fails)
        sweep = SweepDirectory(tmp_path / name)
        given = [*OVERRIDES, "trainer.steps=80", *overrides]
        if not sweep.exists:
            begun_sweep(sweep.path, overrides=given, swept_keys=["trainer.learning_rate"], is_search=True)
        with Composer("train") as composer:
            continue_search(composer, sweep, given)
        write_best(sweep, sweep.read())
        return list(sweep.read().cells)

    run.rounds = rounds  # type: ignore[attr-defined]
    return run


def rates(cells: Sequence[CellRecord]) -> list[float]:
    return [float(cell.swept["trainer.learning_rate"]) for cell in cells]


def test_an_interrupted_search_picks_what_it_would_have_picked(searched: Callable[..., list[CellRecord]]) -> None:
    whole = searched("whole", "hydra.sweeper.n_trials=6")
    searched("parts", "hydra.sweeper.n_trials=2")
    parts = searched("parts", "hydra.sweeper.n_trials=6")
    assert [cell.number for cell in whole] == list(range(6))
    assert rates(whole) == rates(parts)
    assert len(set(rates(whole))) == 6
    assert all(1e-5 <= rate <= 1e-2 for rate in rates(whole))
    assert rates(searched("other", "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.seed=7")) != rates(whole)


def test_rounds_have_the_given_number_of_trials(searched: Any, tmp_path: Path) -> None:
    searched("sweep", "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    assert searched.rounds == [0, 2, 2, 1]


def test_the_best_of_the_finished_trials_is_kept(searched: Callable[..., list[CellRecord]], tmp_path: Path) -> None:
    cells = searched("sweep", "hydra.sweeper.n_trials=4", fails=[1])
    found = json.loads((tmp_path / "sweep" / "search.json").read_text())
    finished = [rate for number, rate in enumerate(rates(cells)) if number != 1]
    assert float(found["best"]["trainer.learning_rate"]) == min(finished)
    assert found["trials"][1]["development_accuracy"] is None


@pytest.mark.parametrize(
    ("space", "allowed"),
    [
        ("trainer.minibatches=int(interval(1,3))", {"1", "2", "3"}),
        ("trainer.minibatches=1,2", {"1", "2"}),
        ("trainer.minibatches=range(1,4)", {"1", "2", "3"}),  # without its end, as in a grid
        ("objective=grpo,dapo", {"grpo", "dapo"}),
    ],
)
def test_the_ranges_and_lists_that_a_search_takes(searched: Any, space: str, allowed: set[str]) -> None:
    cells = searched("sweep", "hydra.sweeper.n_trials=5", space)
    picked = {cell.swept[space.partition("=")[0]] for cell in cells}
    assert picked <= allowed
    assert len(picked) > 1
