"""Every run of a grid is checked before the first starts."""

from pathlib import Path

import pytest

from igrpo.config import ConfigError
from igrpo.config.composing.composer import Composer


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


DRAFTS = "left out, since there is no such setting: algorithm.drafts where algorithm=grpo"

#: Grids in which not every choice has every setting: the runs, and the end of the note.
PARTIAL: dict[tuple[str, ...], tuple[list[dict[str, str]], str]] = {
    ("algorithm=grpo,igrpo", "algorithm.drafts=2,4"): (
        [{"algorithm": "grpo"}, *({"algorithm": "igrpo", "algorithm.drafts": n} for n in "24")],
        f"{DRAFTS}; 4 combinations are 3 runs, as equal ones are run once",
    ),
    ("algorithm.drafts=2,4", "algorithm=igrpo,grpo", "seed=0,1"): (
        [
            {"algorithm.drafts": n, "algorithm": "igrpo", "seed": s} if n else {"algorithm": "grpo", "seed": s}
            for n, s in (("2", "0"), ("2", "1"), ("", "0"), ("", "1"), ("4", "0"), ("4", "1"))
        ],
        f"{DRAFTS}; 8 combinations are 6 runs, as equal ones are run once",
    ),
    ("algorithm=grpo,igrpo", "algorithm.drafts=2"): ([{"algorithm": "grpo"}, {"algorithm": "igrpo"}], DRAFTS),
    ("condition=grpo,igrpo_wrong", "algorithm.drafts=3,4"): (
        [{"condition": "grpo"}, *({"condition": "igrpo_wrong", "algorithm.drafts": n} for n in "34")],
        f"{DRAFTS}; 4 combinations are 3 runs, as equal ones are run once",
    ),
    ("algorithm=grpo,igrpo,self_verification", "algorithm.drafts=2,4", "algorithm.buffer=8,9"): (
        [
            {"algorithm": "grpo"},
            *({"algorithm": "igrpo", "algorithm.drafts": n} for n in "24"),
            *({"algorithm": "self_verification", "algorithm.buffer": n} for n in "89"),
        ],
        "algorithm.buffer where algorithm=grpo or algorithm=igrpo; 12 combinations are 5 runs, as equal ones are run once",
    ),
    ("reward=judge,math_verify", *JUDGES): (
        [{"reward": "judge"}, {"reward": "math_verify"}],
        "reward.base_url where reward=math_verify; reward.model where reward=math_verify",
    ),
    ("reward=judge,math_verify", *JUDGES, "judge_prompt@reward.prompt=default"): (
        [{"reward": "judge"}, {"reward": "math_verify"}],
        "reward.model where reward=math_verify; judge_prompt@reward.prompt where reward=math_verify",
    ),
    ("algorithm=igrpo,grpo", "algorithm.transfer.cap=2,3", "algorithm.transfer.level=sequence"): (
        [*({"algorithm": "igrpo", "algorithm.transfer.cap": n} for n in "23"), {"algorithm": "grpo"}],
        "algorithm.transfer.level where algorithm=grpo; 4 combinations are 3 runs, as equal ones are run once",
    ),
}


@pytest.mark.parametrize("given", PARTIAL, ids=" ".join)
def test_a_setting_applies_where_it_exists_and_equal_runs_merge(composer: Composer, given: tuple[str, ...]) -> None:
    sweep = composer.check_sweep(given)
    expected, note = PARTIAL[given]
    assert [cell.swept for cell in sweep.cells] == expected
    assert sweep.note is not None
    assert sweep.note.endswith(note)
    for cell in sweep.cells:  # a launcher composes them anew
        assert composer.check_run(cell.overrides).config == cell.config
    assert composer.launcher(given).endswith("BasicLauncher")


def test_a_grid_whose_settings_exist_everywhere_has_no_note(composer: Composer) -> None:
    sweep = composer.check_sweep(["algorithm=igrpo,grpo", "trainer.steps=1,2"])
    assert (len(sweep.cells), sweep.note) == (4, None)


@pytest.mark.parametrize("typo", ["algorithm.draft=2,4", "algorithm.draft=2", "algorithm.transfer.kap=2"])
def test_a_setting_that_no_choice_has_is_refused(composer: Composer, typo: str) -> None:
    found = problems(composer, "algorithm=grpo,igrpo", typo)
    assert all(problem.startswith(f"{typo.partition('=')[0]}: no such setting") for problem in found)
    assert any("did you mean 'algorithm." in problem for problem in found)


def test_what_is_left_out_hides_no_other_mistake(composer: Composer) -> None:
    found = problems(composer, "algorithm=grpo,igrpo", "algorithm.drafts=2,7", "trainer.stpes=3")
    assert any(problem.startswith("trainer.stpes: no such setting") for problem in found)
    (problem,) = problems(composer, "algorithm=grpo,igrpo", "algorithm.drafts=2,7")
    assert "algorithm.drafts=7 a group of 1" in problem
    assert problem.endswith("(in 1 of 3 runs; run 2: algorithm=igrpo algorithm.drafts=7)")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("trainer.learning_rate=interval(1e-5,1e-3)", "a grid has no list of its values; give values, such as"),
        ("trainer.learning_rate=tag(log,interval(1e-5,1e-3))", "add sweep=search_lr"),
        ("trainer.learning_rate=interval(1,2),3", "cannot be among other values"),
        ("trainer.learning_rate=1,range(1,2)", "cannot be among other values"),
        ("trainer.learning_rate=choice(1,glob(*))", "cannot be"),
        ("trainer.learning_rate=sort(interval(1,2))", "sort(2,1)"),
        ("trainer.learning_rate=shuffle(glob(*))", "shuffle(1,2)"),
        ("trainer.learning_rate=tag(a,1)", "tag(name,choice(1,2))"),
        ("trainer.learning_rate=choice()", "choice(1,2)"),
        ("trainer.learning_rate=glob(*)", "is for the choices of a group"),
        ("trainer.steps=range(1,3,0)", "must not be zero"),
        ("trainer.learning_rate=range(1.0,3,0)", "step:0"),
        ("seed=range(0,1e9)", "more than 10,000 runs"),
        ("algorithm=interval(1,2)", "give its choices"),
        ("algorithm=glob(z*)", "algorithm has no value"),
    ],
)
def test_a_sweep_function_that_no_grid_can_run(composer: Composer, given: str, says: str) -> None:
    (problem,) = problems(composer, given, "seed=1") if not given.startswith("seed") else problems(composer, given)
    assert given.partition("=")[0] in problem
    assert says in problem


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("seed=choice(1,2)", ["1", "2"]),
        ("seed=range(1,4)", ["1", "2", "3"]),
        ("seed=sort(3,1,2)", ["1", "2", "3"]),
        ("seed=tag(a,b,choice(1,2))", ["1", "2"]),
        ("algorithm=glob(*_*)", ["critique_grpo", "self_verification"]),
        ("algorithm=glob(*,exclude=*_*)", ["grpo", "igrpo"]),
    ],
)
def test_the_sweep_functions_that_a_grid_runs(composer: Composer, given: str, values: list[str]) -> None:
    assert [next(iter(cell.swept.values())) for cell in composer.check_sweep([given]).cells] == values
    shuffled = composer.check_sweep(["seed=shuffle(range(1,4))"]).cells
    assert sorted(cell.swept["seed"] for cell in shuffled) == ["1", "2", "3"]


@pytest.mark.parametrize("value", ["1e-3", "'tag(log, interval(1e-7, 1e-5))'"])
def test_a_search_without_a_range_is_refused(composer: Composer, value: str) -> None:
    (problem,) = problems(composer, "sweep=search_lr", "condition=grpo", f"trainer.learning_rate={value}")
    assert "trainer.learning_rate=" in problem
    assert "nothing to search" in problem
    (problem,) = problems(composer, "sweep=search_lr", "algorithm=glob(*)")
    assert "algorithm=glob(*)" in problem


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
    assert problems(composer, "seed=range(0,0)") == ["the grid is empty: seed has no value"]
    assert problems(composer, "seed=1,1") == ["the grid has a run twice (seed=1); give each value once"]
    assert "one sweep at a time" in problems(composer, "sweep=kl,temperature")[0]
