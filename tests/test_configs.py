"""Every YAML file that is shipped composes to a configuration that the schema accepts."""

from pathlib import Path

import pytest

from igrpo.config import SCHEMA_VERSION, ConfigError
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import MOUNTED, PLACES, choices, groups, shipped
from tests.composed import group_size

HUB_SETS = ("math", "acereason_math", "openr1_math", "gsm8k", "dapo_math", "deepscaler")
JUDGE = ["reward.base_url=http://127.0.0.1:1/v1", "reward.model=x"]
#: What a choice cannot do without, so that it composes.
COMPANIONS = {
    ("data", "jsonl"): ["data.path=x.jsonl", "model=byte_level", "prompt=boxed"],
    ("data", "hub"): ["data.dataset=x", "model=byte_level", "prompt=boxed"],
    **{("data", name): ["model=byte_level", "prompt=boxed"] for name in HUB_SETS},
    ("model", "huggingface"): ["model.name_or_path=x", "prompt=boxed"],
    ("model", "byte_level"): ["prompt=boxed"],
    ("reward", "python"): ["reward.target=module:Class"],
    ("reward", "judge"): JUDGE,
    ("reward", "judge_gated"): JUDGE,
    ("reward", "judge_local"): ["reward.model=x"],
    ("reward", "judge_vllm"): ["reward.model=x"],
    ("reward", "judge_and_rule"): [text.replace("reward.", "reward.parts.judge.reward.") for text in JUDGE],
    ("judge_prompt", "default"): ["reward=judge", *JUDGE],
    ("test_time", "majority"): ["+test_time@evaluation.test_time.other=refine"],
    ("prompt", "boxed"): ["model=byte_level"],
    ("prompt", "think_answer"): ["model=byte_level"],
    ("prompt", "turns"): ["model=byte_level"],
    ("data", "times_tables"): ["model=byte_level", "prompt=boxed"],
    ("experiment", "math_local"): ["data.path=x.jsonl"],
    ("experiment", "compare"): ["data.path=x.jsonl", "model.name_or_path=x"],
}
CHOICES = [(group, choice.name) for group in groups() if group != "sweep" for choice in choices(group)]
#: Only a part of something larger: it tells no right answer from a wrong one (math_verify_format holds it).
PARTS = [("reward", "format")]


def test_nothing_is_overlooked() -> None:
    listed = {(group, name) for group, name in CHOICES} | {("sweep", choice.name) for choice in choices("sweep")}
    folders = {**{name: f"conf/{name}" for name in groups()}, **MOUNTED}
    found = {
        (group, path.relative_to(shipped(folder)).with_suffix("").as_posix())
        for group, folder in folders.items()
        for path in Path(shipped(folder)).rglob("*.yaml")
    }
    assert listed == found


@pytest.mark.parametrize(("group", "name"), [choice for choice in CHOICES if choice not in PARTS])
def test_every_choice_of_every_group(group: str, name: str) -> None:
    with Composer("train") as composer:
        run = composer.check_run(
            [*COMPANIONS.get((group, name), []), f"{PLACES.get(group, group)}={name}".replace("NAME", "own")]
        )
    assert run.config.schema_version == SCHEMA_VERSION


def test_a_reward_without_verdicts_is_refused_alone() -> None:
    with Composer("train") as composer, pytest.raises(ConfigError, match="reward=format tells no right answer"):
        composer.check_run(["reward=format"])


def test_matched_budget() -> None:
    with Composer("train") as composer:
        baseline, method = (composer.check_run([f"algorithm={name}"]).config for name in ("grpo", "igrpo"))
    assert group_size(baseline) == method.plan.drafts + group_size(method)
    same = {"algorithm", "condition", "run_name"}
    assert baseline.model_dump(exclude=same) == method.model_dump(exclude=same)


def test_every_file_says_what_it_is() -> None:
    silent = [f"{group}={choice.name}" for group in groups() for choice in choices(group) if not choice.description]
    assert silent == []
