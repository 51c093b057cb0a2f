"""The schema refuses what is not in it, and says so in the words of the YAML."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from igrpo.config import ConfigError, config_hash, config_values, parse_config, read_config
from igrpo.settings.rollout import LocalRolloutConfig, VllmServerConfig
from tests.composed import changed, config, group_size, values

WRONG: list[tuple[str, Any, str]] = [
    ("trainer.stpes", 1, "trainer.stpes: no such setting; did you mean 'steps'?"),
    ("zzz", 1, "zzz: no such setting; known here: alarms, algorithm, "),
    ("algorithm.draft", 1, "algorithm.draft: no such setting; did you mean 'drafts'?"),
    ("reward.worker", 1, "reward.worker: no such setting; did you mean 'workers'?"),
    ("trainer.steps", "80", "trainer.steps='80': input should be a valid integer"),
    ("trainer.steps", 1.5, "trainer.steps=1.5: input should be a valid integer"),
    ("trainer.steps", True, "trainer.steps=True: input should be a valid integer"),
    ("trainer.learning_rate", 0.0, "trainer.learning_rate=0.0: input should be greater than 0"),
    ("trainer.learning_rate", float("nan"), "trainer.learning_rate=nan: input should be a finite number"),
    ("trainer.betas", [0.9], "trainer.betas.1: missing; give it a value"),
    ("trainer.betas", [0.9, 2.0], "trainer.betas.1=2.0: input should be less than 1"),
    ("objective.kl_beta", -0.1, "objective.kl_beta=-0.1: input should be greater than or equal to 0"),
    ("algorithm.drafts", -1, "algorithm.drafts=-1: input should be greater than or equal to 0"),
    ("condition", "", "condition='': string should have at least 1 character"),
    (
        "algorithm.ties",
        "shortets",
        "algorithm.ties='shortets': not one of 'random', 'first', 'shortest' or 'longest'; did you mean 'shortest'?",
    ),
    (
        "algorithm.name",
        "igrop",
        "algorithm.name='igrop': not one of 'grpo', 'igrpo', 'critique_grpo', 'self_verification'; did you mean 'igrpo'?",
    ),
    ("reward.answer_format", [], "reward.answer_format=[]: "),
    ("budget.max_samples", 0, "budget.max_samples=0: input should be greater than 0"),
    ("budget.max_samples", 1.5, "budget.max_samples=1.5: input should be a valid integer"),
    ("budget.max_flops", -1e9, "budget.max_flops=-1000000000.0: input should be greater than 0"),
    ("budget.max_sample", 1, "budget.max_sample: no such setting; did you mean 'max_samples'?"),
    ("evaluation.top_p", 0.0, "evaluation.top_p=0.0: input should be greater than 0"),
    ("evaluation.interval_width", 0.0, "evaluation.interval_width=0.0: input should be greater than 0"),
    ("evaluation.interval_width", 1.0, "evaluation.interval_width=1.0: input should be less than 1"),
    ("algorithm.train_on", ["drafts"], "algorithm.train_on.0='drafts': not one of 'draft', 'refine' or 'internalize'"),
    ("algorithm.train_on", [], "algorithm.train_on=[]: tuple should have at least 1 item"),
    ("schema_version", 1, "schema_version=1: not one of 5"),
    ("run_name", 3, "run_name=3: input should be a valid string"),
    ("tracking", None, "tracking=None: input should be a valid dictionary"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG)
def test_one_wrong_value_gives_one_line(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(changed({key: value}))
    (problem,) = raised.value.problems
    assert problem.startswith(message)


def test_a_missing_key_has_no_silent_default() -> None:
    given = values()
    del given["trainer"]["clip_norm"]
    del given["seed"]
    with pytest.raises(ConfigError) as raised:
        parse_config(given)
    assert set(raised.value.problems) == {
        "seed: missing; give it a value",
        "trainer.clip_norm: missing; give it a value",
    }


def test_a_knob_of_another_choice_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.drafts: no such setting"):
        parse_config(changed({"algorithm": {"name": "grpo", "drafts": 4}}))


def test_unknown_keys_within_a_weighted_reward_are_found() -> None:
    given = changed({"reward.parts.format.wieght": 1.0}, "reward=math_verify_format")
    with pytest.raises(ConfigError, match=r"reward\.parts\.format\.wieght: no such setting; did you mean 'weight'\?"):
        parse_config(given)


def test_all_problems_are_counted_in_one_message() -> None:
    with pytest.raises(ConfigError, match=r"^here has 3 problems:\n  - ") as raised:
        parse_config(changed({"seed": "x", "trainer.steps": 0, "nope": 1}), "here")
    assert str(raised.value).count("\n  - ") == len(raised.value.problems) == 3


def test_values_survive_yaml_and_back(tmp_path: Path) -> None:
    original = config({"algorithm.drafts": 3})
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values(original)))
    assert read_config(path) == original
    assert config_hash(read_config(path)) == config_hash(original)
    assert config_hash(config({"algorithm.drafts": 2})) != config_hash(original)


def test_reading_a_broken_run_directory(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match="does not exist; is its folder a run directory"):
        read_config(path)
    for text, message in {
        "a: [": "is not valid YAML",
        "3": "is not a mapping",
        "a: 1": "has schema_version None; this igrpo reads version 5",
        "schema_version: 7": "has schema_version 7; this igrpo reads version 5",
    }.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_config(path)


def test_derived_numbers() -> None:
    split = config(
        {"completions_per_question": 8, "algorithm.drafts": 3, "trainer.epochs": 2, "trainer.minibatches": 4}
    )
    assert (split.plan.drafts, group_size(split), split.updates_per_step) == (3, 5, 8)
    assert split.plan.samples == 8
    baseline = config({"completions_per_question": 8}, "algorithm=grpo")
    assert (baseline.plan.drafts, group_size(baseline), baseline.updates_per_step) == (0, 8, 1)
    half = config({"algorithm.answers": 3}, "algorithm=grpo")
    assert (half.plan.drafts, group_size(half), half.plan.samples, half.completions_per_question) == (0, 3, 3, 8)
    bare = config({"algorithm.drafts": 0})
    assert (bare.plan.drafts, group_size(bare), bare.plan.samples) == (0, 8, 8)


def test_runs_from_before_a_fast_path_existed_are_read_and_do_not_use_it() -> None:
    """Their directory can still be resumed, reported and asked, on the paths on which they began."""
    stored = values()
    for section, names in (
        ("trainer", ("share_prefixes", "lean_layers")),
        ("rollout", ("fast_decode", "max_packed_mib", "prefix_caching")),
    ):
        for name in names:
            del stored[section][name]
    read = parse_config(stored)
    assert isinstance(read.rollout, LocalRolloutConfig)
    rollout = read.rollout
    assert (read.trainer.share_prefixes, read.trainer.lean_layers) == (False, False)
    assert (rollout.fast_decode, rollout.max_packed_mib, rollout.prefix_caching) == (False, 0, False)


def test_a_server_from_before_it_could_have_several_engines_has_one() -> None:
    stored = values("rollout=vllm_server")
    del stored["rollout"]["data_parallel_size"]
    read = parse_config(stored)
    assert isinstance(read.rollout, VllmServerConfig)
    assert read.rollout.data_parallel_size == 1
