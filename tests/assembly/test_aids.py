"""What test-time modes share is built from the settings, judges included, and closed with the other parts."""

from __future__ import annotations

import asyncio

import pytest

from igrpo import assembly
from igrpo.config import ConfigError
from igrpo.rewards.format import FormatReward
from tests.assembly.parts import question, tiny_policy
from tests.composed import config as composed

MODE = "evaluation.test_time.mine"
JUDGED = (
    f"+test_time@{MODE}=refine",
    f"{MODE}.pick=judge",
    f"+reward@{MODE}.judge=python",
)
FORMAT = f"{MODE}.judge.target=igrpo.rewards.format:FormatReward"


def test_a_judge_is_built_for_its_mode() -> None:
    config = composed({"sampling.max_completion_tokens": 4, "evaluation.samples": 1}, *JUDGED, FORMAT)
    aids = assembly.build_aids(config)
    assert aids is not None
    assert isinstance(aids.judges["mine"], FormatReward)
    assert aids.equality("1/2", "0.5")
    assert not aids.equality("1/2", "0.25")
    policy = tiny_policy()
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    engine, reward = assembly.build_engine(config, policy, prompts), assembly.build_reward(config.reward, None)
    parts = assembly.Parts(policy, engine, reward, prompts, aids=aids)
    try:
        result = asyncio.run(assembly.build_evaluator(config, [question(name="a")], parts).run())
    finally:
        parts.close()
    assert result.test_time is not None
    assert [point.samples for point in result.test_time.curves[0].points] == [4, 8, 12]


def test_without_modes_nothing_is_built() -> None:
    assert assembly.build_aids(composed()) is None


def test_a_judge_that_cannot_be_built_is_named_by_its_setting() -> None:
    config = composed(None, *JUDGED, f"{MODE}.judge.target=igrpo.rewards.format:Nothing")
    with pytest.raises((ValueError, ConfigError), match=r"evaluation\.test_time\.mine\.judge\.target"):
        assembly.build_aids(config)
