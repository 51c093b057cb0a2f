"""The reward itself: votes, unreadable replies, the rule beside it, the cache, the limits, and who may call it."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.assembly import build_reward
from igrpo.rewards.base import Measured, Reward, RewardPausedError, checked_score, measured_values
from igrpo.rewards.judge.backend import JudgeError
from igrpo.rewards.judge.counts import METRIC_DOCS
from igrpo.rewards.judge.judge import Judge
from igrpo.rewards.weighted import WeightedSum
from igrpo.types import Completion, Question, Score
from tests.algorithms import fakes
from tests.composed import config
from tests.fake_engine import FakeEngine
from tests.rewards.judge.making import QUESTION, Rule, completions, judge
from tests.rewards.judge.server import Answer, JudgeServer, in_turn, score

UNREADABLE = Answer("I would say 0.9")


def run(made: Judge, *texts: str, question: Question = QUESTION) -> list[Score | None]:
    assert isinstance(made, Reward)
    assert isinstance(made, Measured)
    return list(asyncio.run(checked_score(made, question, completions(*texts))))


def values(scores: Sequence[Score | None]) -> list[float | None]:
    return [None if one is None else one.value for one in scores]


def solution(body: dict[str, Any]) -> str:
    text: str = body["messages"][1]["content"].partition("<<<solution")[2].split("\n")[1]
    return text


def by_text(body: dict[str, Any], number: int) -> Answer:
    """The number that the solution ends with, as hundredths; ``bad`` is answered with no score."""
    word = solution(body).split()[-1]
    return UNREADABLE if word == "bad" else score(int(word) / 100)


def test_scores_verdicts_and_metrics() -> None:
    with JudgeServer(by_text) as server:
        made = judge(server.url, input_price=1.0, output_price=10.0)
        scores = run(made, "so 50", "so 49", "so 50", "so 4", "so bad")
        measured = measured_values(made.step_measures())
        again = measured_values(made.step_measures())
        made.close()
        made.close()
    right, wrong = {"correct": True, "outcome": "right"}, {"correct": False, "outcome": "wrong"}
    assert scores == [
        Score(0.5, answer="0", parts={"judge": 0.5, "rule": 0.0}, **right),
        Score(0.49, answer="9", parts={"judge": 0.49, "rule": 0.0}, **wrong),
        Score(0.5, answer="0", parts={"judge": 0.5, "rule": 0.0}, **right),
        Score(0.04, answer="4", parts={"judge": 0.04, "rule": 1.0}, **wrong),
        None,
    ]  # fmt: skip
    assert measured == {
        "judge/requests": 5,  # four different texts, one of them twice
        "judge/retries": 0,
        "judge/unparsable": 2,
        "judge/refused": 0,
        "judge/cut": 0,
        "judge/unscored": 1,
        "judge/cached_share": 0.0,
        "judge/agreement": 0.25,  # of four: wrong by both at 49; the rule is against 50, 50 and for 4
        "judge/input_tokens": 500,
        "judge/output_tokens": 50,
        "judge/cost": pytest.approx((500 * 1 + 50 * 10) / 1e6),
    }
    assert set(measured) == set(METRIC_DOCS)
    assert all("; " in text for text in METRIC_DOCS.values())
    assert again["judge/requests"] == 0
    assert again["judge/input_tokens"] == 500
    assert "judge/agreement" not in again, "a share of nothing is no share"


def test_an_unreadable_reply_is_requested_once_more(tmp_path: Path) -> None:
    """The judge is greedy: it says the same to the same words, whatever the seed."""

    def script(body: dict[str, Any], number: int) -> Answer:
        again = body["messages"][-1]["content"].endswith("and no code fence.")
        return score(0.7) if again else Answer("I would say 0.9, as THE SOLUTION wants")

    file = str(tmp_path / "cache.sqlite")
    with JudgeServer(script) as server:
        made = judge(server.url, cache=file)
        assert values(run(made, "x")) == [0.7]
        measured = measured_values(made.step_measures())
        made.close()
        # kept as the vote's, which is asked for in the first words
        made = judge(server.url, cache=file)
        assert values(run(made, "x")) == [0.7]
        made.close()
    assert (measured["judge/unparsable"], measured["judge/unscored"], measured["judge/requests"]) == (1, 0, 2)
    first, second = server.requests
    assert first["seed"] != second["seed"]
    system, user = first["messages"]
    assert second["messages"] == [
        system,
        user | {"content": user["content"] + "\n\nA reply to this request could not be read. Reply with the JSON object "
                "alone, and keep it short: no word before it, none after it, and no code fence."},
    ]  # fmt: skip


@pytest.mark.parametrize("reply", [UNREADABLE, Answer(None), Answer(""), Answer('{"score": 7}')])
def test_two_unreadable_replies_are_no_score(reply: Answer) -> None:
    with JudgeServer(in_turn(reply)) as server:
        made = judge(server.url)
        assert run(made, "x") == [None]
        made.close()
    assert len(server.requests) == 2


@dataclass(kw_only=True)
class WrittenEngine(FakeEngine):
    """Samples ``texts``, in this order."""

    texts: tuple[str, ...]

    async def sample(self, prompt_ids: Sequence[int], params: Any, seeds: Sequence[int]) -> tuple[Completion, ...]:
        return tuple(completions(*self.texts))


def test_an_unscored_completion_leaves_its_group() -> None:
    with JudgeServer(by_text) as server:
        made = judge(server.url)
        engine = WrittenEngine(texts=("so 20", "so bad", "so 60"))
        rollout = fakes.run(fakes.grpo(3), fakes.context(engine, 3, reward=made), QUESTION)
        made.close()
    (group,) = rollout.groups
    assert [sample.score.value for sample in group.samples if sample.score] == [0.2, 0.6]
    assert [sample.completion.text for sample in rollout.samples if sample.score is None] == ["so bad"]


def test_the_value_is_the_mean_of_the_votes_that_could_be_read() -> None:
    answers = {0: score(0.2), 1: score(0.9), 2: UNREADABLE}
    seeds: list[int] = []

    def script(body: dict[str, Any], number: int) -> Answer:
        if body["seed"] not in seeds:
            seeds.append(body["seed"])
        return answers[min(seeds.index(body["seed"]), 2)]

    with JudgeServer(script) as server:
        made = judge(server.url, votes=3, temperature=0.8)
        (only,) = run(made, "x")
        made.close()
    assert only is not None
    assert only.value == pytest.approx((0.2 + 0.9) / 2)
    assert len(server.requests) == 4, "three votes, one of them asked twice"


def test_cached_votes_are_not_requested_again(tmp_path: Path) -> None:
    file = str(tmp_path / "cache.sqlite")
    with JudgeServer(by_text) as server:
        for expected in (4, 2):  # 'so bad' is asked twice each time
            before = len(server.requests)
            made = judge(server.url, cache=file)
            assert values(run(made, "so 10", "so 20", "so bad")) == [0.1, 0.2, None]
            measured = measured_values(made.step_measures())
            made.close()
            assert len(server.requests) - before == expected
        assert measured["judge/cached_share"] == pytest.approx(2 / 3)
        for change in ({"model": "other"}, {"temperature": 0.5}, {"max_tokens": 9}, {"use_reference": False}):
            before = len(server.requests)
            made = judge(server.url, cache=file, **change)
            run(made, "so 10")
            made.close()
            assert len(server.requests) == before + 1, change


def test_the_gate_gives_partial_credit_to_wrong_answers() -> None:
    with JudgeServer(by_text) as server:
        made = judge(server.url, name="judge_gated")
        scores = run(made, "so 14", "so 80", "so 80 ?".replace(" ?", "") + "0 100", "so bad")
        measured = measured_values(made.step_measures())
        made.close()
    assert values(scores) == [1.0, 0.4, 0.5, None]
    assert [s and s.correct for s in scores] == [True, False, False, None]
    assert [dict(s.parts) for s in scores if s] == [
        {"rule": 1.0},
        {"rule": 0.0, "judge": 0.8},
        {"rule": 0.0, "judge": 1.0},
    ]
    assert len(server.requests) == 4
    assert measured["judge/agreement"] == 0.0


def test_the_gate_follows_the_judge_without_a_rule_verdict() -> None:
    with JudgeServer(in_turn(score(0.6))) as server:
        made = judge(server.url, name="judge_gated")
        (unsure,) = run(made, "is it 4?")
        (unknown,) = run(made, "x", question=Question("q", "Prove it.", ""))
        made.close()
    for one in (unsure, unknown):
        assert one is not None
        assert (one.value, one.correct, dict(one.parts)) == (0.3, True, {"judge": 0.6})


def test_the_rule_may_decide_what_is_right() -> None:
    with JudgeServer(by_text) as server:
        made = judge(server.url, verdict="rule")
        scores = run(made, "so 4", "so 90")
        made.close()
    assert [(s.value, s.correct) for s in scores if s] == [(0.04, True), (0.9, False)]


def test_a_weighted_sum_without_a_judges_score_has_none() -> None:
    with JudgeServer(by_text) as server:
        made = WeightedSum([("rule", Rule(), 0.25), ("judge", judge(server.url), 0.5)])
        scores = asyncio.run(checked_score(made, QUESTION, completions("so 4", "so bad", "so 60")))
        measured = measured_values(made.step_measures())
        made.close()
    assert values(scores) == [pytest.approx(0.25 + 0.5 * 0.04), None, pytest.approx(0.3)]
    assert set(measured) == set(METRIC_DOCS)
    assert measured["judge/unscored"] == 1
    assert WeightedSum([("rule", Rule(), 1.0)]).step_measures() == {}


def test_concurrency_is_limited_over_several_event_loops() -> None:
    with JudgeServer(by_text) as server:
        made = judge(server.url, concurrency=3)
        found: list[list[float | None]] = []

        def ask(start: int) -> None:
            found.append(values(run(made, *(f"so {start + i}" for i in range(10)))))

        threads = [threading.Thread(target=ask, args=(10 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made.close()
    assert sorted(v for part in found for v in part if v is not None) == [i / 100 for i in range(40)]
    assert server.most_at_once == 3


def test_a_judge_that_fails_for_good_ends_the_scoring(caplog: pytest.LogCaptureFixture) -> None:
    made = judge("http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(
        JudgeError, match=r"reward\.base_url=http://127\.0\.0\.1:9/v1: the judge gave no answer in 1 tries"
    ):
        run(made, "a", "b", "c")
    made.close()


def test_a_cancelled_caller_cancels_its_requests() -> None:
    with JudgeServer(in_turn(Answer(hang=True))) as server:
        made = judge(server.url)

        async def leave() -> None:
            task = asyncio.create_task(made.score(QUESTION, completions("a", "b")))
            while server.at_once < 2:  # noqa: ASYNC110 (the server counts in another thread)
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(leave())
        server.script = in_turn(score(0.5))
        assert values(run(made, "c")) == [0.5], "and the judge goes on for others"
        made.close()


def test_the_cost_limit_keeps_replies_in_flight(tmp_path: Path) -> None:
    limits = {"input_price": 1000.0, "max_cost": 0.35, "concurrency": 2}  # 0.1 a reply: reached after the fourth
    files = {"cache": str(tmp_path / "cache.sqlite"), "ledger": tmp_path / "ledger.sqlite"}
    texts = [f"so {i}" for i in range(10)]
    with JudgeServer(by_text) as server:
        made = judge(server.url, **files, **limits)
        with pytest.raises(
            RewardPausedError, match=r"^reward\.max_cost=0\.35 is spent: the judge has cost 0\.\d+ so far$"
        ):
            run(made, *texts)
        asked = len(server.requests)
        cost = measured_values(made.step_measures())["judge/cost"]
        with pytest.raises(RewardPausedError):
            run(made, "so 77")
        made.close()
        assert asked in (4, 5), "two at a time: one may have been under way when the other came to the limit"
        assert cost == pytest.approx(0.1 * asked)
        assert len(server.requests) == asked

        more = judge(server.url, **files, **limits | {"max_cost": 100.0})
        assert values(run(more, *texts)) == [i / 100 for i in range(10)]
        assert measured_values(more.step_measures())["judge/cost"] == pytest.approx(1.0)
        more.close()
    assert len(server.requests) == 10, "nothing was paid for twice"


def test_a_judge_in_a_sum_names_its_own_limit() -> None:
    part = "reward.parts.judge.reward"
    with JudgeServer(by_text) as server:
        given = {"base_url": server.url, "model": "m", "cache": "null", "input_price": "1000", "max_cost": "0.1"}
        found = config(None, "reward=judge_and_rule", *(f"{part}.{key}={value}" for key, value in given.items())).reward
        made = build_reward(found, None)
        asyncio.run(made.score(QUESTION, completions("so 1")))  # 0.1 a reply
        with pytest.raises(RewardPausedError, match=rf"^{part}\.max_cost=0\.1 is spent: ") as raised:
            asyncio.run(made.score(QUESTION, completions("so 2")))
        made.close()
    assert raised.value.setting == f"{part}.max_cost"


def test_simultaneous_equal_requests_are_sent_once() -> None:
    """Groups of different steps of a question may hold the same text; `igrpo rescore` scores them side by side."""

    async def together(made: Judge) -> list[list[Score | None]]:
        leaver = asyncio.create_task(made.score(QUESTION, completions("so 7")))
        while not server.requests:  # noqa: ASYNC110 (the server counts in another thread)
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(made.score(QUESTION, completions("so 7", "so 8"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        leaver.cancel()  # whoever asks may leave: the next one asks
        return await asyncio.gather(*others)

    def script(body: dict[str, Any], number: int) -> Answer:
        return Answer(hang=True) if number == 0 else replace(by_text(body, number), delay=0.1)

    with JudgeServer(script) as server:
        made = judge(server.url)
        scores = asyncio.run(together(made))
        measured = measured_values(made.step_measures())
        made.close()
    assert [values(one) for one in scores] == [[0.07, 0.08]] * 3
    assert sorted(solution(body) for body in server.requests) == ["so 7", "so 7", "so 8"], "the first of them was left"
    assert measured["judge/cached_share"] == pytest.approx(4 / 7)
    assert (measured["judge/requests"], measured["judge/input_tokens"]) == (2, 200)


def test_a_slow_reply_that_was_under_way_is_counted_and_kept(tmp_path: Path) -> None:
    file = str(tmp_path / "cache.sqlite")

    def script(body: dict[str, Any], number: int) -> Answer:
        answer = by_text(body, number)
        return replace(answer, delay=0.7) if number == 1 else answer

    with JudgeServer(script) as server:
        made = judge(server.url, cache=file, input_price=1000.0, max_cost=0.1, concurrency=2)
        with pytest.raises(RewardPausedError):  # the first reply spends it, while the second is still being written
            run(made, "so 1", "so 2", "so 3")
        assert measured_values(made.step_measures())["judge/cost"] == pytest.approx(0.2)
        made.close()
        assert len(server.requests) == 2
        free = judge(server.url, cache=file)
        asked = [solution(body) for body in server.requests]  # whichever two came first
        assert values(run(free, *asked)) == [int(text[-1]) / 100 for text in asked]
        free.close()
        assert len(server.requests) == 2


def test_questions_that_pause_together_log_no_lost_errors(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def step(made: Judge) -> None:
        async with asyncio.TaskGroup() as group:
            for i in range(8):
                group.create_task(made.score(QUESTION, completions(f"so {i}", f"so {i + 20}")))

    with JudgeServer(by_text) as server:
        made = judge(server.url, input_price=1000.0, max_cost=0.4, concurrency=2)
        with pytest.raises(ExceptionGroup) as raised:
            asyncio.run(step(made))
        made.close()
    gc.collect()
    assert all(isinstance(error, RewardPausedError) for error in raised.value.exceptions)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_limit_holds_at_votes_that_the_cache_answers(tmp_path: Path) -> None:
    """A paused run that is resumed scores its lost step again for nothing, and pauses at the first new solution."""
    files = {"cache": str(tmp_path / "cache.sqlite"), "ledger": tmp_path / "ledger.sqlite"}
    with JudgeServer(by_text) as server:
        made = judge(server.url, **files, input_price=1000.0, max_cost=0.1)
        assert values(run(made, "so 5")) == [0.05]
        assert values(run(made, "so 5")) == [0.05]
        with pytest.raises(RewardPausedError):
            run(made, "so 6")
        made.close()


def test_a_reply_without_usage_counts_no_tokens() -> None:
    with JudgeServer(in_turn(Answer(json.dumps({"score": 1}), usage=None))) as server:
        made = judge(server.url)
        assert values(run(made, "x")) == [1.0]
        assert measured_values(made.step_measures())["judge/input_tokens"] == 0
        made.close()
