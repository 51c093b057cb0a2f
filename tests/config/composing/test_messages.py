"""Every mistake on the command line or in a preset: the exact line that the user reads."""

from pathlib import Path

import pytest

from igrpo.config import ConfigError
from igrpo.config.composing.composer import Composer

TYPOS = {
    "trainer.stpes=5": "trainer.stpes: no such setting with trainer=cpu; did you mean 'trainer.steps'?",
    "steps=5": "steps: no such setting; did you mean 'trainer.steps' or 'profiling.steps' or 'model.warm_start.steps'?",
    "objective.advantage.basline=mean": (
        "objective.advantage.basline: no such setting; did you mean 'objective.advantage.baseline'?"
    ),
    "sampling={temprature:1.0}": "sampling.temprature: no such setting; did you mean 'sampling.temperature'?",
    "algorithm=igrop": "algorithm=igrop: not one of critique_grpo, grpo, igrpo, self_verification; did you mean 'algorithm=igrpo'?",
    "experiment=quickstrat": None,
    "algoritm=grpo": "algoritm: no such setting; did you mean 'algorithm'?",
    "algoritm/x=grpo": "algoritm/x: no such group; did you mean 'algorithm'?",
    "hydra.run.dri=x": "hydra.run.dri: no such setting; did you mean 'hydra.run.dir'?",
    "hydra.job.env_set.A=b": "hydra.job.env_set.A: a new name is added with a plus: +hydra.job.env_set.A=b",
    "trainer=null": "trainer=null: not one of cpu, ddp, fsdp2, single",
    "trainer=5": "trainer=5: not one of cpu, ddp, fsdp2, single",
    "trainer={stpes:5}": "trainer={'stpes': 5}: not one of cpu, ddp, fsdp2, single",
    "trainer.steps": "'trainer.steps' is not a setting: write KEY=VALUE, without spaces",
    "quickstart": "'quickstart' is not a setting; did you mean 'experiment=quickstart'?",
    "quickstrat": "'quickstrat' is not a setting; did you mean 'experiment=quickstart'?",
    "trainer": "'trainer' is not a setting; did you mean 'trainer=cpu'?",
    "grpo": "'grpo' is not a setting; did you mean 'condition=grpo' or 'algorithm=grpo' or 'objective=grpo'?",
    "=3": "'=3' is not a setting: write KEY=VALUE, without spaces",
    "run_name=[1": (
        "'run_name=[1' cannot be read (no viable alternative at input '[1'); put a text with brackets, commas, quotes "
        "or other signs in quotes: \"run_name='[1'\""
    ),
    "seed=1,2": "seed=1,2: several values make a sweep: add --multirun",
}

WRONG_VALUES = {
    "trainer.steps=five": "trainer.steps='five': input should be a valid integer",
    "trainer.threads=0": "trainer.threads=0: input should be greater than 0",
    "algorithm.ties=shortets": (
        "algorithm.ties='shortets': not one of 'random', 'first', 'shortest' or 'longest'; did you mean 'shortest'?"
    ),
    "+algorithm.draft=3": "algorithm.draft: no such setting; did you mean 'drafts'?",
    "~prompt.cut_marker": "prompt.cut_marker: missing; give it a value",
    "run_name=${algorithm.nme}": (
        "run_name: ${algorithm.nme} cannot be resolved: Interpolation key 'algorithm.nme' not found"
    ),
    "prompt.name=${oc.env:IGRPO_TEST_UNSET}": (
        "prompt.name: ${oc.env:IGRPO_TEST_UNSET} cannot be resolved: "
        "the environment variable IGRPO_TEST_UNSET is not set"
    ),
    "objective.name=${halve:2}": "objective.name: ${halve:2} cannot be resolved: Unsupported interpolation type halve",
    "prompt.system=${prompt.question}${tracking.experiment}": "prompt.system: ",
    "tracking.experiment=???": "tracking.experiment: missing; give it a value, such as tracking.experiment=VALUE",
}

ALONE = {
    "model.name=tinny": "model.name='tinny': not one of 'tiny', 'byte_level', 'huggingface'; did you mean 'tiny'?",
    "benchmark=aime24": (
        "benchmark: a choice of this group needs a place: +benchmark@evaluation.benchmarks.NAME=aime24"
    ),
    "benchmark@evaluation.benchmarks.x=aime24": (
        "benchmark@evaluation.benchmarks.x: nothing is selected there yet; a new choice is added with a plus: "
        "'+benchmark@evaluation.benchmarks.x=...'"
    ),
    "~nope": "Could not delete from config. 'nope' does not exist.",
    "hydra.job.env_copy=[IGRPO_TEST_UNSET]": (
        "the environment variable IGRPO_TEST_UNSET is not set (hydra.job.env_copy asks for it)"
    ),
    "hydra.run.dir=${nope}": "hydra.run.dir: Interpolation key 'nope' not found",
}


def problems(composer: Composer, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        composer.check_run(overrides)
    return raised.value.problems


def test_each_typo_of_many_gets_its_line(composer: Composer) -> None:
    found = problems(composer, *TYPOS)
    assert len(found) == len(TYPOS)
    (experiment,) = set(found) - set(TYPOS.values())
    assert experiment.endswith("; did you mean 'experiment=quickstart'?")
    assert set(TYPOS.values()) - set(found) == {None}


def test_each_wrong_value_of_many_gets_its_line(composer: Composer) -> None:
    found = problems(composer, *WRONG_VALUES)
    assert len(found) == len(WRONG_VALUES)
    expected = set(WRONG_VALUES.values()) - {"prompt.system: "}
    (system,) = set(found) - expected
    assert system.startswith("prompt.system: ${prompt.question}${tracking.experiment} ")
    assert expected < set(found)


def test_typos_and_wrong_values_come_in_one_report(composer: Composer) -> None:
    with pytest.raises(ConfigError) as raised:
        composer.check_run(["trainer.stpes=5", "algorithm=igrop", "data.seed=x"])
    text = str(raised.value)
    assert text.startswith("the configuration has 3 problems:\n  - algorithm=igrop: not one of")
    assert "\n  - trainer.stpes: no such" in text
    assert "\n  - data.seed='x': input" in text


def test_names_in_a_folder_of_a_group(composer: Composer) -> None:
    for wrong, right in (("paper/openmath_nemotron7b", "openmath_nemotron_7b"), ("papr/cost", "cost")):
        (problem,) = problems(composer, f"experiment={wrong}")
        assert problem.startswith(f"experiment={wrong}: not one of ")
        assert problem.endswith(f"; did you mean 'experiment=paper/{right}'?")
    (problem,) = problems(composer, "experiment=paper/zzz")
    assert problem.startswith("experiment=paper/zzz: not one of paper/base, paper/cost, ")
    assert "quickstart" not in problem


@pytest.mark.parametrize("override", ALONE)
def test_mistakes_that_hide_others(composer: Composer, override: str) -> None:
    assert problems(composer, override) == [ALONE[override]]


def test_a_key_that_the_choice_lacks_names_the_choice(composer: Composer) -> None:
    with pytest.raises(
        ConfigError, match=r"algorithm\.drafts: no such setting with algorithm=grpo; known here: name, answers$"
    ):
        composer.check_run(["algorithm=grpo", "algorithm.drafts=3"])


def test_every_value_that_is_missing_is_named_with_an_example(composer: Composer) -> None:
    with pytest.raises(ConfigError) as raised:
        composer.check_run(["experiment=math_local", "model=huggingface", "run_name=${data.path}"])
    assert raised.value.problems == [
        "model.name_or_path: missing; give it a value, such as model.name_or_path=DIRECTORY",
        "data.path: missing; give it a value, such as data.path=FILE",
        "run_name: ${data.path} points to a setting without a value",
    ]


def test_no_message_mentions_hydras_own_hints(composer: Composer) -> None:
    for override in ("+trainer=cpu", "trainer@x=cpu", "+seed=3"):
        with pytest.raises(ConfigError) as raised:
            composer.check_run([override])
        assert not {"HYDRA_FULL_ERROR", "https://hydra.cc", "Traceback", "struct"} & set(str(raised.value).split())


PRESETS = {
    "trainer:\n  stpes: 3\n": "trainer.stpes: no such setting; did you mean 'steps'?",
    "defaults:\n  - override /algorithm: igrop\n": ("algorithm has no 'igrop'; did you mean 'igrpo'?"),
    "defaults:\n  - override /algoritm: grpo\n": (
        "In 'experiment/mine': Could not override 'algoritm'. No match in the defaults list."
    ),
    "trainer: [1\n": "mine.yaml, line 3: not valid YAML: expected ',' or ']', but got '<stream end>'",
    "trainer: 3\n": "trainer=3: input should be a valid dictionary or instance of TrainerConfig",
}


@pytest.mark.parametrize("text", PRESETS)
def test_mistakes_in_a_preset_of_the_users_own(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(f"# @package _global_\n{text}")
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer, pytest.raises(ConfigError) as raised:
        composer.check_run(["experiment=mine"])
    (problem,) = raised.value.problems
    assert problem.endswith(PRESETS[text])


def test_users_own_files_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("experiments/deep", "sweeps"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "experiments" / "quickstart.yaml").write_text("# @package _global_\ntrainer:\n  steps: 7\n")
    (tmp_path / "experiments" / "deep" / "er.yaml").write_text("# @package _global_\ntrainer:\n  steps: 9\n")
    (tmp_path / "sweeps" / "two.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 4,5\n"
    )
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        assert composer.check_run(["experiment=quickstart"]).config.trainer.steps == 7
        assert composer.check_run(["experiment=deep/er"]).config.trainer.steps == 9
        assert [cell.config.seed for cell in composer.check_sweep(["sweep=two"]).cells] == [4, 5]
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "multirun").exists()
