"""Changes to the values of given settings: what is replaced, what stays, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from igrpo.config import ConfigError, RunConfig, config_values
from igrpo.config.composing.changing import SettingsChanger
from tests.composed import config

ALLOWED = ("evaluation", "reward", "prompt", "seed")
#: Values that no file has.
VALUES: dict[str, Any] = config_values(
    config(None, "seed=7", "evaluation.samples=3", "sampling.max_completion_tokens=20", "trainer.steps=11")
)


def changed(*overrides: str, values: dict[str, Any] | None = None) -> RunConfig:
    with SettingsChanger("train") as changer:
        return changer.changed(VALUES if values is None else values, overrides, ALLOWED, "not here")


def test_nothing_asked_is_nothing_changed() -> None:
    assert config_values(changed()) == VALUES


def test_a_value_changes_alone() -> None:
    made = config_values(changed("evaluation.samples=5", "seed=1"))
    assert made == VALUES | {"seed": 1, "evaluation": VALUES["evaluation"] | {"samples": 5}}


def test_a_choice_replaces_its_section_with_values_in_it() -> None:
    made = changed("evaluation=paper", "evaluation.samples=2", "evaluation.benchmarks.aime24.samples=9")
    assert (made.evaluation.temperature, made.evaluation.samples) == (0.6, 2)
    assert (len(made.evaluation.benchmarks), made.evaluation.benchmarks["aime24"].samples) == (6, 9)
    assert (made.seed, made.trainer.steps) == (7, 11)


def test_interpolations_of_a_chosen_file_refer_to_the_given_values() -> None:
    """The drafts of conf/prompt/boxed.yaml are as long as completions, here those of the values."""
    assert changed("prompt=boxed", "prompt.max_question_tokens=24").prompt.max_draft_tokens == 20


def test_a_choice_in_a_package_goes_there_and_leaves_the_rest() -> None:
    made = changed("+benchmark@evaluation.benchmarks.mine=aime24", "evaluation.benchmarks.mine.samples=2")
    assert list(made.evaluation.benchmarks) == ["mine"]
    assert made.evaluation.benchmarks["mine"].samples == 2
    assert made.evaluation.samples == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.steps=3"], "trainer.steps=3: not here (only evaluation, reward, prompt, seed can be given)"),
        (["experiment=chains"], "experiment=chains: not here"),
        (["evaluations=3"], "evaluations=3: not here"),
        (["seed=1,2"], "seed=1,2: several values; give one"),
        (["seed=x"], "seed='x': input should be a valid integer"),
        (["evaluation.sampels=1"], "evaluation.sampels: no such setting; did you mean 'evaluation.samples'?"),
        (["evaluation=papre"], "did you mean 'evaluation=paper'?"),
        (["reward=python"], "reward.target: missing; give it a value"),
        (["evaluation.benchmarks.x={}"], "a new name is added with a plus"),
        (["seed"], "'seed' is not a setting"),
        (["seed=[1"], "cannot be read"),
    ],
)
def test_mistakes(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(*overrides)
    assert message in str(caught.value)
