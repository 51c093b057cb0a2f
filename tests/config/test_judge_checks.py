"""What is wrong with a judge's settings is said in one sentence that names the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.config import ConfigError
from igrpo.config.checks import missing_files
from igrpo.messages import install
from tests.composed import config

REMOTE = ("reward=judge", "reward.base_url=http://127.0.0.1:1/v1", "reward.model=m")
LOCAL = ("reward=judge_local", "reward.model=m")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward.votes": 3}, r"reward\.votes=3 are all the same at reward\.temperature=0; raise the temperature"),
        (
            {"reward.max_cost": 1.0},
            r"reward\.max_cost=1\.0 is never reached by a judge that costs nothing; give reward\.in",
        ),
        ({"reward.prompt.user": "{problem} {solution}"}, r"reward\.prompt\.user must hold \{reference\} exactly once"),
        (
            {"reward.prompt.reference": "none"},
            r"reward\.prompt\.reference must hold \{answer\} exactly once; it holds it 0",
        ),
        ({"reward.base_url": "localhost:8000"}, r"reward\.base_url='localhost:8000'"),
        ({"reward.partial_credit": 1.0}, r"reward\.partial_credit=1\.0"),
        ({"reward.threshold": 0.0}, r"reward\.threshold=0\.0"),
        ({"reward.modle": "m"}, r"reward\.modle: no such setting; did you mean 'model'"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(changes, *REMOTE)


def test_the_same_within_a_sum_names_the_part() -> None:
    part = "reward.parts.judge.reward"
    settings = ("reward=judge_and_rule", f"{part}.base_url=http://127.0.0.1:1/v1", f"{part}.model=m")
    with pytest.raises(ConfigError, match=r"reward\.parts\.judge\.reward\.votes=2 are all the same"):
        config({f"{part}.votes": 2}, *settings)
    assert config({f"{part}.votes": 2, f"{part}.temperature": 0.5}, *settings).reward.name == "weighted"


def test_settings_of_a_server_are_unknown_to_a_local_judge() -> None:
    with pytest.raises(ConfigError, match=r"reward\.max_cost: no such setting"):
        config({"reward.max_cost": 1.0}, *LOCAL)


VLLM = ("reward=judge_vllm", "reward.model=m")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ("rollout=vllm_colocate",),
            r"reward\.name=judge_vllm and rollout=vllm_colocate: at most one vLLM engine .* `igrpo serve --judge`",
        ),
        (("trainer=ddp", "trainer.devices=2"), r"reward\.name=judge_vllm is for one trainer process, and there are 2"),
    ],
)
def test_a_judge_by_vllm_has_the_process_to_itself(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(None, *VLLM, *settings)
    assert config(None, *VLLM).reward.name == "judge_vllm"


def test_what_is_missing_is_told_before_a_run_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert missing_files(config(None, *REMOTE)) == []
    (problem,) = missing_files(config({"reward.model": str(tmp_path / "none")}, *LOCAL))
    assert problem == f"reward.model={tmp_path / 'none'}: there is no such directory"
    monkeypatch.setattr("igrpo.config.judge_checks.find_spec", lambda name: None)
    (problem,) = missing_files(config(None, *VLLM))
    assert problem == f"reward.name=judge_vllm needs vLLM, which is not installed: {install('vllm')}"
    (problem,) = missing_files(config(None, *REMOTE))
    assert problem.endswith(f"needs the openai client, which is not installed: {install('judge')}")
