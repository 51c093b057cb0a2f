"""Every run of a grid is checked before the first starts."""

import pytest

from igrpo.config import ConfigError
from igrpo.hydra_support.composer import Composer


def problems(composer: Composer, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        composer.check_sweep(overrides)
    return raised.value.problems


def test_cells_are_labelled_by_what_is_swept(composer: Composer) -> None:
    sweep = composer.check_sweep(["algorithm=grpo,igrpo", "seed=range(2)", "trainer.steps=2"])
    assert [cell.swept for cell in sweep.cells] == [
        {"algorithm": algorithm, "seed": f"{seed}"} for algorithm in ("grpo", "igrpo") for seed in range(2)
    ]
    assert {cell.config.trainer.steps for cell in sweep.cells} == {2}
    assert [cell.config.algorithm.name for cell in sweep.cells] == ["grpo"] * 2 + ["igrpo"] * 2


def test_the_command_line_wins_over_the_file(composer: Composer) -> None:
    sweep = composer.check_sweep(["sweep=grpo_vs_igrpo", "seed=9"])
    names = ["grpo", "igrpo", "grpo_half", "bare", "best_of_n"]
    assert [(cell.config.condition, cell.config.seed) for cell in sweep.cells] == [(name, 9) for name in names]


def test_a_wrong_cell_is_named_and_counted(composer: Composer) -> None:
    (problem,) = problems(composer, "seed=1", "completions_per_question=8,1")
    assert problem.startswith("completions_per_question=1 leaves")
    assert problem.endswith("(in 1 of 2 runs; run 1: completions_per_question=1)")


def test_a_key_that_one_choice_lacks(composer: Composer) -> None:
    (problem,) = problems(composer, "algorithm=grpo,igrpo", "algorithm.drafts=2")
    assert problem == (
        "algorithm.drafts: no such setting with algorithm=grpo; known here: name, answers (in 1 of 2 runs; run 0: algorithm=grpo)"
    )


def test_what_is_wrong_in_all_runs_is_said_once(composer: Composer) -> None:
    (problem,) = problems(composer, "seed=1,2", "trainer.steps=0")
    assert problem == "trainer.steps=0: input should be greater than 0 (in all 2 runs)"


def test_typos_of_sweeps(composer: Composer) -> None:
    (problem,) = problems(composer, "sweep=grpo_vs_igpro")
    assert problem.startswith(
        "sweep=grpo_vs_igpro: not one of draft_budget, draft_selection, group_size, grpo_vs_igrpo"
    )
    assert problem.endswith("; did you mean 'sweep=grpo_vs_igrpo'?")
    (problem,) = problems(composer, "sweep=quick/splt")
    assert problem == "sweep/quick has no 'splt'; did you mean 'split'?"
    assert problems(composer, "sweep=grpo_vs_igrpo", "trainer.stpes=3") == [
        "trainer.stpes: no such setting with trainer=cpu; did you mean 'trainer.steps'?"
    ]
    assert "igrop: not one of grpo, igrpo" in problems(composer, "algorithm=grpo,igrop")[0]
    assert "cannot be read" in problems(composer, "seed=[1")[0]
    assert problems(composer, "seed=1") == [
        "a sweep needs a setting with several values, such as sweep=NAME or seed=0,1,2"
    ]


def test_a_sweep_may_use_what_hydra_tells_a_job(composer: Composer) -> None:
    sweep = composer.check_sweep(["seed=1,2", "run_name=job-${hydra:job.num}"])
    assert [cell.config.run_name for cell in sweep.cells] == ["job-0", "job-1"]


def test_grids_that_make_no_sense(composer: Composer) -> None:
    assert problems(composer, "seed=range(0,0)") == ["the grid is empty: one of seed has no value"]
    assert problems(composer, "seed=1,1") == ["the grid has a run twice (seed=1); give each value once"]
    assert "one sweep at a time" in problems(composer, "sweep=kl,temperature")[0]
