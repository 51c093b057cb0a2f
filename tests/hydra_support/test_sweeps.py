"""Every run of a grid is checked before the first starts."""

from pathlib import Path

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


JUDGES = ("reward.base_url=http://127.0.0.1:1/v1", "reward.model=m")


def test_settings_of_what_is_swept_need_not_be_the_default_s(composer: Composer) -> None:
    """The reward is math_verify by default, which has no such settings."""
    sweep = composer.check_sweep(["reward=judge,judge_gated", *JUDGES, "seed=1,2"])
    assert [cell.config.reward.name for cell in sweep.cells] == ["judge"] * 4
    assert [cell.swept["reward"] for cell in sweep.cells] == ["judge"] * 2 + ["judge_gated"] * 2
    assert composer.launcher(["reward=judge,judge_gated", *JUDGES]).endswith("BasicLauncher")
    problem = problems(composer, "reward=judge,math_verify", *JUDGES)[0]
    assert problem.startswith("reward.base_url: no such setting with reward=math_verify")
    assert problem.endswith("(in 1 of 2 runs; run 1: reward=math_verify)")
    (problem,) = problems(composer, "reward=math_verify,format", "reward.base_uri=x")
    assert problem.startswith("reward.base_uri: no such setting with reward=math_verify")


def test_the_same_for_what_a_sweep_s_file_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      reward: judge,judge_gated\n"
    )
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        assert [cell.swept for cell in composer.check_sweep(["sweep=mine", *JUDGES]).cells] == [
            {"reward": "judge"}, {"reward": "judge_gated"},
        ]  # fmt: skip
        (alone,) = composer.check_sweep(["sweep=mine", *JUDGES, "reward=judge", "seed=1"]).cells
        assert alone.config.reward.name == "judge"


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
    assert problem.startswith("sweep=quick/splt: not one of quick/draft_budget, quick/draft_selection, ")
    assert problem.endswith("; did you mean 'sweep=quick/split'?")
    assert problems(composer, "sweep=grpo_vs_igrpo", "trainer.stpes=3") == [
        "trainer.stpes: no such setting with trainer=cpu; did you mean 'trainer.steps'?"
    ]
    assert (
        "igrop: not one of critique_grpo, grpo, igrpo, self_verification"
        in problems(composer, "algorithm=grpo,igrop")[0]
    )
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
