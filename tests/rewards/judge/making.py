"""Judges as the shipped settings make them, with a few changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from igrpo.assembly.judge import build_judge
from igrpo.rewards.judge.judge import Judge
from igrpo.settings.judge import JudgeConfig
from igrpo.types import Question, Score
from tests.assembly.parts import completion
from tests.composed import config

QUESTION = Question("q1", "What is 2 + 2?", "4")


def settings(url: str = "http://127.0.0.1:1/v1", name: str = "judge", **changes: Any) -> JudgeConfig:
    """Of conf/reward/NAME.yaml, without a cache on disk."""
    found = config(None, f"reward={name}", f"reward.base_url={url}", "reward.model=m").reward
    assert isinstance(found, JudgeConfig)
    return JudgeConfig.model_validate(found.model_dump() | {"cache": None} | changes)


class Rule:
    """Right where the text ends in the question's answer; no verdict where it ends in a question mark."""

    name = "rule"

    async def score(self, question: Question, completions: Any) -> list[Score]:
        return [self._score(question, c.text) for c in completions]

    def close(self) -> None: ...

    @staticmethod
    def _score(question: Question, text: str) -> Score:
        if text.endswith("?"):
            return Score(0.0, None, "timed_out", "?")
        right = text.endswith(question.answer)
        return Score(float(right), right, "right" if right else "wrong", text[-1])


def judge(url: str, ledger: Path | None = None, name: str = "judge", **changes: Any) -> Judge:
    return build_judge(settings(url, name, **changes), Rule(), ledger)


def completions(*texts: str) -> list[Any]:
    return [completion(text) for text in texts]
