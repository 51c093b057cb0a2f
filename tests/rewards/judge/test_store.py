"""The cache and the accounts: what they keep, for whom, and under several processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from igrpo.rewards.base import RewardPausedError, added, measured_values
from igrpo.rewards.judge.backend import JudgeReply
from igrpo.rewards.judge.store import Prices, ScoreCache, Spending, cache_key

MESSAGES = [{"role": "user", "content": "x"}]
PRICES = Prices(input=2.0, output=10.0, max_cost=0.01)


def test_a_key_depends_on_all_that_decides_a_score() -> None:
    keys = [
        cache_key("m", MESSAGES, 0),
        cache_key("m2", MESSAGES, 0),
        cache_key("m", [{"role": "user", "content": "y"}], 0),
        cache_key("m", MESSAGES, 1),
    ]
    assert len(set(keys)) == 4
    assert cache_key("m", [dict(reversed(MESSAGES[0].items()))], 0) == keys[0]


def test_scores_outlive_the_object_and_the_first_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cache.sqlite"
    cache = ScoreCache(path)
    assert cache.get("a") is None
    cache.put("a", 0.25)
    cache.put("a", 0.75)
    cache.close()
    cache.close()
    again = ScoreCache(path)
    assert (again.get("a"), again.get("b")) == (0.25, None)
    again.close()
    memory = ScoreCache(None)
    memory.put("a", 1.0)
    assert (memory.get("a"), ScoreCache(None).get("a")) == (1.0, None)


def test_a_broken_database_is_an_error_with_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_text("no database, but long enough to be one" * 30)
    with pytest.raises(ValueError, match=rf"^reward\.cache={path}: file is not a database; remove the file"):
        ScoreCache(path).get("a")


def _fill(folder: str, process: int) -> None:
    cache = ScoreCache(Path(folder) / "cache.sqlite")
    spending = Spending(Path(folder) / "ledger.sqlite", "m", PRICES, process=process, processes=2)
    for i in range(200):
        cache.put(f"{i % 150}", i / 1000)
        assert cache.get(f"{i % 150}") is not None
        spending.add(JudgeReply("", 3, 1))
    cache.close()
    spending.close()


def test_two_processes_write_at_once_without_loss(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(str(tmp_path), i)) for i in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM scores").fetchone() == (150,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    parts = [Spending(tmp_path / "ledger.sqlite", "m", PRICES, process=i, processes=2) for i in range(2)]
    # 400 replies of 3 * 2 + 1 * 10 = 16 millionths
    assert parts[0].cost == pytest.approx(400 * 16e-6)
    values = measured_values(added(part.measures() for part in parts))
    assert values == {
        "judge/input_tokens": 1200,
        "judge/output_tokens": 400,
        "judge/cost": pytest.approx(400 * 16e-6),
    }
    for part in parts:
        part.close()


def test_the_limit_includes_earlier_runs_and_other_processes(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    first = Spending(ledger, "m", PRICES, process=1, processes=2)
    first.add(JudgeReply(None, 1000, 700))  # 0.002 + 0.007
    assert not first.is_over
    first.close()
    second = Spending(ledger, "m", PRICES, process=0, processes=1)
    other = Spending(ledger, "another judge", PRICES, process=0, processes=1)
    assert second.cost == pytest.approx(0.009)
    second.add(JudgeReply("", 500, 0))
    assert second.is_over
    assert not other.is_over
    assert second.measures()["judge/input_tokens"].total == 1500, "the share of a process that is no more counts too"
    error = second.pause()
    assert isinstance(error, RewardPausedError)
    assert str(error) == "reward.max_cost=0.01 is spent: the judge has cost 0.01 so far"
    assert error.setting == "reward.max_cost"
    setting = "reward.parts.judge.reward"
    error = Spending(ledger, "m", PRICES, process=0, processes=1, setting=setting).pause()
    assert (str(error).partition("=")[0], error.setting) == (f"{setting}.max_cost",) * 2
    unlimited = Spending(ledger, "m", Prices(2.0, 10.0, None), process=0, processes=1)
    assert not unlimited.is_over
