"""The client against a real HTTP server that misbehaves: what is tried again, how long it waits, and what ends a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from igrpo.rewards.judge.backend import JudgeError, JudgeRefusedError, JudgeReply
from igrpo.rewards.judge.openai_client import OpenAIBackend
from igrpo.rewards.judge.parsing import SCHEMA
from tests.rewards.judge.making import settings
from tests.rewards.judge.server import Answer, JudgeServer, in_turn, score

MESSAGES = [{"role": "user", "content": "Grade."}]
GOOD = score(0.5)


class Asked:
    """Calls of one backend in one event loop, with the sleeps recorded and not slept."""

    def __init__(self, url: str, setting: str = "reward", **changes: Any) -> None:
        self.sleeps: list[float] = []
        self._config, self._setting = settings(url, **changes), setting

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def ask(self, times: int = 1) -> list[JudgeReply | Exception]:
        async def all_of_them() -> list[JudgeReply | Exception]:
            backend = OpenAIBackend(self._config, setting=self._setting, trust_env=False, sleep=self._sleep)
            results = list[JudgeReply | Exception]()
            for seed in range(times):
                try:
                    results.append(await backend.ask(MESSAGES, seed))
                except (JudgeError, JudgeRefusedError) as error:
                    results.append(error)
            await backend.aclose()
            await backend.aclose()
            return results

        return asyncio.run(all_of_them())


def test_a_request_has_the_configured_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGRPO_JUDGE_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with JudgeServer(in_turn(GOOD)) as server:
        (reply,) = Asked(server.url, extra_body={"top_k": 5}, max_tokens=7).ask()
    assert reply == JudgeReply('{"reason": "so", "score": 0.5}', 100, 10, 0)
    (body,) = server.requests
    schema = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}
    assert body == {
        "model": "m", "messages": MESSAGES, "seed": 0, "temperature": 0.0, "max_completion_tokens": 7, "top_k": 5,
        "response_format": schema,
    }  # fmt: skip
    assert server.keys == ["Bearer secret"]


def test_settings_that_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    with JudgeServer(in_turn(GOOD)) as server:
        Asked(server.url, temperature=None, structured="off", max_tokens_key="max_tokens").ask()
    assert set(server.requests[0]) == {"model", "messages", "seed", "max_tokens"}
    assert server.keys == ["Bearer none"], "a key that was not meant for this server is not given to it"


@pytest.mark.parametrize(
    "bad",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=408),
        Answer(status=429),
        Answer(body="{ broken"),
        Answer(body="<html>a proxy's page</html>"),
        Answer(body='{"choices": []}'),
        Answer(body='{"choices": [{"message": {"content": 5}}]}'),
        Answer(body="null"),
    ],
)  # fmt: skip
def test_temporary_errors_are_retried(bad: Answer) -> None:
    with JudgeServer(in_turn(bad, bad, GOOD)) as server:
        asked = Asked(server.url)
        (reply,) = asked.ask()
    assert isinstance(reply, JudgeReply)
    assert (reply.retries, len(server.requests)) == (2, 3)
    assert 0.5 <= asked.sleeps[0] <= 1.0
    assert 1.0 <= asked.sleeps[1] <= 2.0


def test_a_server_that_hangs_or_drips_meets_the_time_limit() -> None:
    with JudgeServer(in_turn(Answer(hang=True), Answer(drip=True), GOOD)) as server:
        (reply,) = Asked(server.url, timeout_s=0.4).ask()
        assert isinstance(reply, JudgeReply)
        assert reply.retries == 2
    with JudgeServer(in_turn(Answer(hang=True))) as server:
        (error,) = Asked(server.url, timeout_s=0.2, retries=1).ask()
    assert isinstance(error, JudgeError)
    assert f"reward.base_url={server.url}: the judge gave no answer in 2 tries" in str(error)
    assert "it took longer than reward.timeout_s=0.2" in str(error)


def test_a_judge_that_is_down_is_an_error_with_its_address() -> None:
    asked = Asked("http://127.0.0.1:9/v1", retries=3)
    (error,) = asked.ask()
    assert isinstance(error, JudgeError)
    assert "reward.base_url=http://127.0.0.1:9/v1: the judge gave no answer in 4 tries" in str(error)
    assert "there is no connection" in str(error)
    assert len(asked.sleeps) == 3


@pytest.mark.parametrize(("told", "slept"), [("7", 7.0), ("0", 0.0), ("2.5", 2.5), (formatdate(0), 0.0)])
def test_retry_after_is_heeded_to_the_second(told: str, slept: float) -> None:
    with JudgeServer(in_turn(Answer(status=429, headers={"Retry-After": told}), GOOD)) as server:
        asked = Asked(server.url)
        asked.ask()
    assert asked.sleeps == [slept]


@pytest.mark.parametrize("told", ["3600", formatdate(4e9)])
def test_a_longer_pause_than_allowed_ends_the_run(told: str) -> None:
    with JudgeServer(in_turn(Answer(status=429, headers={"Retry-After": told}))) as server:
        asked = Asked(server.url)
        (error,) = asked.ask()
    assert isinstance(error, JudgeError)
    assert f"asks to wait for {told} s, more than reward.max_wait_s=120" in str(error)
    assert asked.sleeps == []
    assert len(server.requests) == 1


def test_pauses_grow_up_to_a_bound() -> None:
    with JudgeServer(in_turn(Answer(status=503, headers={"Retry-After": "soon"}))) as server:  # nonsense: ignored
        asked = Asked(server.url, retries=8, max_wait_s=20.0)
        asked.ask()
    for pause, longest in zip(asked.sleeps, (1, 2, 4, 8, 16, 20, 20, 20), strict=True):
        assert longest / 2 <= pause <= longest


def test_errors_name_the_settings_of_a_judge_in_a_sum() -> None:
    setting = "reward.parts.judge.reward"
    (error,) = Asked("http://127.0.0.1:9/v1", setting=setting, retries=0).ask()
    assert str(error).startswith(f"{setting}.base_url=http://127.0.0.1:9/v1: ")
    assert f"{setting}.retries" in str(error)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the environment variable IGRPO_JUDGE_API_KEY (reward.api_key_env) must hold a key"),
        (403, "it answered 403"),
        (404, "reward.model=m: it answered 404"),
        (405, "it answered 405"),
    ],
)
def test_permanent_errors_are_not_retried(status: int, words: str) -> None:
    with JudgeServer(in_turn(Answer(status=status))) as server:
        (error,) = Asked(server.url).ask()
    assert isinstance(error, JudgeError)
    assert words in str(error)
    assert f"reward.base_url={server.url}" in str(error)
    assert len(server.requests) == 1


def test_a_refused_first_request_says_nothing_of_the_schema() -> None:
    with JudgeServer(lambda body, number: Answer(status=400) if body["seed"] == 0 else GOOD) as server:
        first, second = Asked(server.url).ask(times=2)
    assert isinstance(first, JudgeError)
    assert isinstance(second, JudgeReply)
    assert ["response_format" in body for body in server.requests] == [True, False, True]


def without_schema(body: dict[str, Any], number: int) -> Answer:
    return Answer(status=400) if "response_format" in body else GOOD


def test_a_server_without_json_schemas_is_asked_without_one() -> None:
    with JudgeServer(without_schema) as server:
        asked = Asked(server.url)
        replies = asked.ask(times=3)
    assert [isinstance(reply, JudgeReply) for reply in replies] == [True] * 3
    assert ["response_format" in body for body in server.requests] == [True, False, False, False]
    assert asked.sleeps == []
    with JudgeServer(without_schema) as server:
        (error,) = Asked(server.url, structured="json_schema").ask()
    assert isinstance(error, JudgeError)
    assert "reward.structured" in str(error)


@pytest.mark.parametrize("structured", ["off", "json_schema", "auto"])
def test_only_a_refused_first_request_ends_the_run(structured: str) -> None:
    def script(bad: int) -> Callable[[dict[str, Any], int], Answer]:
        return lambda body, number: Answer(status=400) if body["seed"] == bad else GOOD

    with JudgeServer(script(1)) as server:
        first, second, third = Asked(server.url, structured=structured).ask(times=3)
    constrained = [structured != "off"] * 3
    assert ["response_format" in body for body in server.requests] == constrained, "the schema is not to blame"
    assert isinstance(first, JudgeReply)
    assert isinstance(second, JudgeRefusedError)
    assert isinstance(third, JudgeReply)
    with JudgeServer(in_turn(Answer(status=400))) as server:
        (error,) = Asked(server.url, structured=structured).ask()
    assert isinstance(error, JudgeError)
    assert "told to answer 400), to the first request; see reward.structured" in str(error)
