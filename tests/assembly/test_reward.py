"""A reward of the user's own, from the working directory: the good case and every wrong one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from igrpo.assembly import build_reward
from igrpo.config.parts.reward import FormatConfig, PythonRewardConfig, WeightedConfig, WeightedPart
from igrpo.rewards.base import checked_score
from tests.assembly.parts import completion, question, values

GOOD = """
from igrpo.types import Score

class Length:
    def __init__(self, longest: int = 4) -> None:
        if longest < 1:
            raise ValueError("longest must be at least 1")
        self.name, self.longest = "length", longest

    async def score(self, question, completions):
        return [Score(float(len(c.text) <= self.longest), None, "right") for c in completions]

    def close(self) -> None: ...

class NoReward:
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory that nothing else has imported."""
    name = f"own_reward_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(GOOD)
    (tmp_path / "broken_reward.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def made(target: str, **arguments: Any) -> Any:
    return build_reward(PythonRewardConfig(name="python", target=target, arguments=arguments), None)


def test_a_class_in_the_working_directory_with_its_arguments(module: str) -> None:
    reward = made(f"{module}:Length", longest=2)
    assert reward.name == "length"
    scores = asyncio.run(checked_score(reward, question(), [completion("ab"), completion("abc")]))
    assert values(scores) == [1.0, 0.0]
    assert made(f"{module}:Length").longest == 4


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("no_such_module:Length", {}, r"reward\.target='no_such_module:Length' cannot be made \(ModuleNotFoundError"),
        ("broken_reward:Length", {}, r"ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
        ("MODULE:Lenght", {}, r"Lenght' cannot be made \(KeyError: 'Lenght'\); give it as module:Class"),
        ("MODULE:Length", {"shortest": 1}, r"TypeError: .*unexpected keyword argument 'shortest'.*reward\.arguments"),
        ("MODULE:Length", {"longest": 0}, r"ValueError: longest must be at least 1"),
        ("MODULE:NoReward", {}, r"NoReward' is no Reward: it needs name, score and close"),
    ],
)
def test_what_cannot_be_made_names_the_setting_and_the_reason(
    module: str, target: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        made(target.replace("MODULE", module), **arguments)


def test_a_sum_with_a_reward_of_ones_own(module: str) -> None:
    own = PythonRewardConfig(name="python", target=f"{module}:Length", arguments={"longest": 3})
    parts = {
        "short": WeightedPart(weight=0.5, reward=own),
        "format": WeightedPart(weight=2.0, reward=FormatConfig(name="format")),
    }
    reward = build_reward(WeightedConfig(name="weighted", parts=parts), None)
    texts = ["ab", "<think>a</think><answer>b</answer>", "abcd"]
    scores = asyncio.run(checked_score(reward, question(), [completion(text) for text in texts]))
    assert values(scores) == [0.5, 2.0, 0.0]  # 0.5 * 1 + 2 * 0;  0.5 * 0 + 2 * 1;  0
    assert dict(scores[0].parts) == {"short": 1.0, "format": 0.0}
