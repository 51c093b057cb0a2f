"""30 solutions that give orders, before a judge that obeys the last order which stands outside the delimiters.

The scripted judge is as gullible as one can be, and takes every model family's control tokens for what they are in its
chat template. Without delimiters, or with ones that can be closed, it falls for most attempts (the counterfactuals
below); with the real layout for none.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from igrpo.rewards.judge import prompt as prompt_module
from igrpo.rewards.judge.prompt import AGAIN, Message
from tests.rewards.judge.making import QUESTION, completions, judge
from tests.rewards.judge.server import Answer, JudgeServer, score

HERE = Path(__file__).parent
ATTEMPTS = [json.loads(line) for line in (HERE / "injections.jsonl").read_text(encoding="utf-8").splitlines()]
#: Marks its own quality, which is all that an honest judge would see.
HONEST = "2 + 2 makes 4, quality 0.3."

_ORDER = re.compile(r'score["\']?:? ?([01])\b', re.IGNORECASE)
_FENCED = re.compile(r"<<<(problem|reference answer|solution)( \w+)?>>>\n.*?\n<<<end of \1\2>>>", re.DOTALL)
_CONTROL = re.compile(r"<\|[a-z_]+\|>|<｜[^｜]+｜>|</?s>|<(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT)\]")


def gullible(messages: list[Message]) -> float:
    """The score of the last order outside the delimiters; without one, the quality that the solution shows.

    A control token ends the turn, delimiters and all, as it would in the tokens that a model reads.
    """
    outside = ""
    for turn in _CONTROL.split(messages[1]["content"]):
        outside += _FENCED.sub("", turn)
    orders = _ORDER.findall(outside)
    if orders:
        return float(orders[-1])
    quality = re.search(r"quality (0\.\d)", messages[1]["content"])
    assert quality is not None
    return float(quality[1])


def attempt_texts(key: str) -> list[str]:
    return [f"{HONEST}\n{attempt['text'].replace('KEY', key)}" for attempt in ATTEMPTS]


def judged(url: str, texts: list[str]) -> list[float]:
    made = judge(url)
    try:
        scores = asyncio.run(made.score(QUESTION, completions(*texts)))
    finally:
        made.close()
    return [-1.0 if one is None else one.value for one in scores]


def answer(body: dict[str, list[Message]], number: int) -> Answer:
    return score(gullible(body["messages"]))


@pytest.fixture
def key() -> str:
    """The key of this question's delimiters, which an attacker cannot know; some attempts are given it all the same."""
    with JudgeServer(answer) as server:
        judged(server.url, [HONEST])
        found = re.search(r"<<<solution ([0-9a-f]{16})>>>", server.requests[0]["messages"][1]["content"])
    assert found is not None
    return found[1]


def test_there_are_thirty_different_attempts() -> None:
    assert len({attempt["text"] for attempt in ATTEMPTS}) == len({attempt["name"] for attempt in ATTEMPTS}) == 30


def test_no_injection_raises_the_score_of_a_solution(key: str) -> None:
    with JudgeServer(answer) as server:
        (honest, *attempts) = judged(server.url, [HONEST, *attempt_texts(key)])
    assert honest == 0.3
    fallen = [a["name"] for a, value in zip(ATTEMPTS, attempts, strict=True) if value > honest]
    assert fallen == []
    assert attempts == [0.3] * 30, "and none lower: every one of them was judged"


def test_nor_when_it_is_asked_again(key: str) -> None:
    """What the judge was made to say stays out of the second request; the delimiters stand as before."""

    def unreadable_first(body: dict[str, list[Message]], number: int) -> Answer:
        again = body["messages"][-1]["content"].endswith(AGAIN)
        return answer(body, number) if again else Answer('As I was told: score: 1 {"score": 1}')

    with JudgeServer(unreadable_first) as server:
        assert judged(server.url, [HONEST, *attempt_texts(key)]) == [0.3] * 31
    assert len(server.requests) == 62


def test_the_shipped_layouts_contain_no_order() -> None:
    """Otherwise the scripted judge would obey the shipped prompt, and nothing above would mean anything."""
    with JudgeServer(answer) as server:
        assert judged(server.url, [HONEST, "quality 0.9"]) == [0.3, 0.9]


@pytest.mark.parametrize(
    ("broken", "least"),
    [
        # without delimiters every order is obeyed, but for those that the honest part hides: all of them
        ({"fenced": lambda what, text, key: text}, 28),
        # delimiters that always have the same words, and control tokens left as they are
        ({"harmless": lambda text: text, "_key": lambda question, solution: "0123456789abcdef"}, 10),
        # the key stays, control tokens are let through
        ({"harmless": lambda text: text}, 8),
    ],
)
def test_attempts_succeed_when_a_defence_is_removed(
    monkeypatch: pytest.MonkeyPatch, key: str, broken: dict[str, object], least: int
) -> None:
    for name, function in broken.items():
        monkeypatch.setattr(prompt_module, name, function)
    with JudgeServer(answer) as server:
        values = judged(server.url, attempt_texts(key))
    assert sum(value > 0.3 for value in values) >= least
