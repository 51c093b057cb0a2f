"""Equality of two answers, for votes: that of the reward's verifier, in both directions."""

from __future__ import annotations

from typing import Self

import yaml

from igrpo.rewards.math.verifier import MathVerifier
from igrpo.settings.judge import GenerativeJudgeConfig
from igrpo.settings.reward import RewardConfig, reward_parts
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.shipped import shipped


class AnswerEquality:
    """Function that tells whether two normalised answers are equal. Thread-safe; the answers are untrusted.

    The verifier's worker processes do the comparisons that need algebra; they start when first needed. A comparison
    that is refused, times out or crashes means "not equal".
    """

    def __init__(self, settings: MathVerifyConfig) -> None:
        self._verifier = MathVerifier(**settings.model_dump(exclude={"name"}))

    def __call__(self, one: str, other: str) -> bool:
        """True if the verifier accepts either answer for the other, since it is not symmetric.

        Raises:
            VerifierStartError: the worker processes do not start.
        """
        return self._verifier.equal_sync(one, other) or self._verifier.equal_sync(other, one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the worker processes. Safe to call twice."""
        self._verifier.close()


def verifier_settings(reward: RewardConfig) -> MathVerifyConfig:
    """Return the settings of the reward's verifier; without one, those of conf/reward/math_verify.yaml."""
    for part in reward_parts(reward).values():
        if isinstance(part, MathVerifyConfig):
            return part
        if isinstance(part, GenerativeJudgeConfig):
            return part.verifier
    text = (shipped("conf") / "reward" / "math_verify.yaml").read_text(encoding="utf-8")
    return MathVerifyConfig.model_validate(yaml.safe_load(text))
