"""A reward of the user's own, from the working directory: the good case and every wrong one."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from igrpo.assembly import build_reward
from igrpo.rewards.base import RewardError, checked_score
from igrpo.rewards.function import FunctionReward
from igrpo.settings.reward import FormatConfig, PythonRewardConfig, WeightedConfig, WeightedPart
from tests.assembly.parts import completion, question, values

GOOD = """
import numpy as np
import torch
from igrpo.types import Score

class Length:
    def __init__(self, longest: int = 4) -> None:
        if longest < 1:
            raise ValueError("longest must be at least 1")
        self.name, self.longest = "length", longest

    async def score(self, question, completions):
        return [Score(float(len(c.text) <= self.longest), None, "right") for c in completions]

    def close(self) -> None: ...

class Plain(Length):
    def score(self, question, completions):
        return [Score(float(len(c.text)), None, "right") for c in completions]

class NoReward:
    pass

def lengths(question, completions):
    return [len(c.text) for c in completions]

async def gold(question, completions, scale=1.0):
    return np.array([scale * (question.answer in c.text) for c in completions], dtype=np.float32)

def tensor(question, completions):
    return torch.tensor([1.0 if c.text == question.answer else 0.0 for c in completions])

def bools(question, completions):
    return [c.text == question.answer for c in completions]

def mixed(question, completions):
    return [None, Score(0.25, None, "wrong"), np.float64(0.75)]

def huge(question, completions):
    return [1e308] * len(completions)

def too_few(question, completions):
    return [1.0]

def words(question, completions):
    return ["good"] * len(completions)

def raising(question, completions):
    raise ZeroDivisionError("by zero")

def returns_nothing(question, completions): ...

def other_signature(prompts, completions, answer): ...
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


def made(target: str, correct_above: float = 0.5, **arguments: Any) -> Any:
    settings = PythonRewardConfig(name="python", target=target, arguments=arguments, correct_above=correct_above)
    return build_reward(settings, None)


def scored(reward: Any, *texts: str) -> Any:
    return asyncio.run(checked_score(reward, question(), [completion(text) for text in texts]))


def test_a_class_in_the_working_directory_with_its_arguments(module: str) -> None:
    reward = made(f"{module}:Length", longest=2)
    assert reward.name == "length"
    scores = asyncio.run(checked_score(reward, question(), [completion("ab"), completion("abc")]))
    assert values(scores) == [1.0, 0.0]
    assert made(f"{module}:Length").longest == 4


def test_a_method_that_is_no_coroutine(module: str) -> None:
    assert values(scored(made(f"{module}:Plain"), "a", "abc")) == [1.0, 3.0]


@pytest.mark.parametrize("function", ["gold", "tensor", "bools"])
def test_a_function_returns_one_number_per_completion(module: str, function: str) -> None:
    reward = made(f"{module}:{function}")
    assert reward.name == function
    right, wrong = scored(reward, "2", "3")
    assert (right.value, right.correct, right.outcome) == (1.0, True, "right")
    assert (wrong.value, wrong.correct, wrong.outcome) == (0.0, False, "wrong")
    reward.close()


def test_a_functions_arguments_and_the_threshold_of_right(module: str) -> None:
    assert values(scored(made(f"{module}:gold", scale=3.0), "2", "3")) == [3.0, 0.0]
    verdicts = [score.correct for score in scored(made(f"{module}:lengths", 2.0), "a", "ab", "abc")]
    assert verdicts == [False, False, True]


def test_a_function_may_return_scores_and_nothing(module: str) -> None:
    none, own, number = scored(made(f"{module}:mixed"), "a", "b", "c")
    assert (none, own.value, own.correct) == (None, 0.25, None)
    assert (number.value, number.correct) == (0.75, True)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("huge", "returned the value 1e+308 for completion 0"),
        ("too_few", "returned 1 scores for 2 completions"),
        ("words", "returned 'good' for completion 0"),
        ("raising", "raised ZeroDivisionError: by zero"),
        ("returns_nothing", "returned None, not a list of scores, for 2"),
    ],
)
def test_a_function_that_fails_is_named_with_the_question(module: str, function: str, says: str) -> None:
    with pytest.raises(RewardError, match=f"reward '{function}' on question 'q'") as raised:
        scored(made(f"{module}:{function}"), "a", "b")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("texts", "warned"),
    [
        (["abc", "abcd"], "from 3 to 4, all count as right"),
        (["", ""], ""),  # nothing but 0: all wrong
        (["", "a", "abc"], ""),
    ],
)
def test_a_threshold_that_tells_nothing_apart_is_reported(
    module: str, texts: list[str], warned: str, caplog: pytest.LogCaptureFixture
) -> None:
    reward = made(f"{module}:lengths")
    for _ in range(100):
        scored(reward, *texts)
    warnings = [record.getMessage() for record in caplog.records if "reward.correct_above" in record.getMessage()]
    assert len(warnings) == bool(warned)
    assert warned in "".join(warnings)


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("no_such_module:Length", {}, r"reward\.target='no_such_module:Length' cannot be made \(ModuleNotFoundError"),
        ("broken_reward:Length", {}, r"ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
        ("MODULE:Lenght", {}, r"Lenght' cannot be made \(KeyError: 'Lenght'\); give it as module:Class"),
        ("MODULE:Length", {"shortest": 1}, r"TypeError: .*unexpected keyword argument 'shortest'.*reward\.arguments"),
        ("MODULE:Length", {"longest": 0}, r"ValueError: longest must be at least 1"),
        ("MODULE:lengths", {"scale": 1}, r"TypeError: got an unexpected keyword argument 'scale'"),
        ("MODULE:other_signature", {}, r"a function takes \(question, completions\)"),
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


def test_a_reward_of_nan_is_refused_without_talk_of_thresholds(caplog: pytest.LogCaptureFixture) -> None:
    reward = FunctionReward(lambda question, completions: [math.nan], name="nan", correct_above=0.5)
    for _ in range(64):
        with pytest.raises(RewardError, match="not a finite number"):
            asyncio.run(checked_score(reward, question("1"), [completion("x")]))
    assert "correct_above" not in caplog.text
