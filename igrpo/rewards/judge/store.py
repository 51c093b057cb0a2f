"""SQLite tables of a judge: scores, shared by all runs on a machine, and the costs of one run.

Several processes of one machine can write to a file at the same time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from igrpo.rewards.base import Measure, RewardPausedError
from igrpo.rewards.judge.backend import JudgeReply
from igrpo.rewards.judge.prompt import Message

#: Seconds that a statement waits for a lock held by another process.
_PATIENCE_S = 60.0
#: Incremented when the meaning of a reply changes.
_VERSION = 1
#: Relative rounding error of a sum of many small costs.
_ROUNDING = 1e-9


class _Table:
    """Table in a SQLite file, opened by the first statement. Each statement is its own transaction. Thread-safe.

    Args:
        path: the file (None: in memory, for the lifetime of the object).
        schema: a ``CREATE TABLE IF NOT EXISTS`` statement.
        setting: the setting that names the file, for error messages.
    """

    def __init__(self, path: Path | None, schema: str, setting: str) -> None:
        self._path, self._schema, self._setting = path, schema, setting
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows.

        Raises:
            ValueError: the file cannot be opened, read or written, or is not a database.
        """
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._open()
                with closing(self._connection.execute(statement, values)) as cursor:
                    return cursor.fetchall()
        except (sqlite3.Error, OSError) as error:
            raise ValueError(
                f"{self._setting}={self._path}: {error}; remove the file if it is broken, or name another"
            ) from error

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            connection = self._connect(":memory:")
            connection.execute(self._schema)
            return connection
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite does not wait if two processes turn on the write-ahead log at the same time
        with FileLock(f"{self._path}.lock", timeout=_PATIENCE_S):
            connection = self._connect(str(self._path))
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(self._schema)
            except BaseException:
                connection.close()
                raise
        return connection

    def _connect(self, name: str) -> sqlite3.Connection:
        return sqlite3.connect(name, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)


def cache_key(identity: str, messages: Sequence[Message], vote: int) -> str:
    """Hash everything that determines a score: model, sampling settings, messages and number of the vote."""
    described = json.dumps([_VERSION, identity, list(messages), vote], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


class ScoreCache:
    """Scores by ``cache_key``, so that no request is made and paid for twice; unreadable replies are not stored.

    Args:
        path: the file (None: in memory, for the lifetime of the object).
    """

    _SCHEMA = "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score REAL NOT NULL, time REAL NOT NULL)"

    def __init__(self, path: Path | None) -> None:
        self._table = _Table(path, self._SCHEMA, "reward.cache")

    def get(self, key: str) -> float | None:
        """Return the score, None if it is not stored."""
        rows = self._table.run("SELECT score FROM scores WHERE key = ?", (key,))
        return float(rows[0][0]) if rows else None

    def put(self, key: str, score: float) -> None:
        """Store a score unless one is stored for this key, so that a score never changes after it was read."""
        self._table.run("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", (key, score, time.time()))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._table.close()


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per million tokens, in any currency. ``max_cost`` uses the same currency (None: no limit)."""

    input: float
    output: float
    max_cost: float | None

    def of(self, reply: JudgeReply) -> float:
        """Return the cost of a reply."""
        return (reply.input_tokens * self.input + reply.output_tokens * self.output) / 1e6


class Spending:
    """Total tokens and cost of one judge, and the limit at which a run pauses.

    The totals are in a file in the run's directory. A resumed run therefore knows what it has spent, including on steps
    that were lost, and all of its processes on one machine share the limit.

    Args:
        ledger: the file (None: in memory).
        judge: name of the judge in the file.
        prices: prices and limit.
        process: number of this process, from 0.
        processes: number of processes.
        setting: dotted path of the judge's settings, for messages.
    """

    _SCHEMA = """CREATE TABLE IF NOT EXISTS spent (
        judge TEXT, process INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost REAL,
        PRIMARY KEY (judge, process))"""

    def __init__(
        self,
        ledger: Path | None,
        judge: str,
        prices: Prices,
        *,
        process: int,
        processes: int,
        setting: str = "reward",
    ) -> None:
        self._table = _Table(ledger, self._SCHEMA, "the run's record of what the judge cost")
        self._judge, self._prices = judge, prices
        self._process, self._processes, self._setting = process, processes, f"{setting}.max_cost"

    def add(self, reply: JudgeReply) -> None:
        """Add the tokens and cost of a reply."""
        self._table.run(
            """INSERT INTO spent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            input_tokens = input_tokens + excluded.input_tokens,
            output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost""",
            (self._judge, self._process, reply.input_tokens, reply.output_tokens, self._prices.of(reply)),
        )

    @property
    def cost(self) -> float:
        """Cost so far, over all processes."""
        (row,) = self._table.run("SELECT TOTAL(cost) FROM spent WHERE judge = ?", (self._judge,))
        return float(row[0])

    @property
    def is_over(self) -> bool:
        """True if the limit is reached."""
        limit = self._prices.max_cost
        return limit is not None and self.cost >= limit * (1 - _ROUNDING)

    def pause(self) -> RewardPausedError:
        """Return the error to raise when the limit is reached."""
        message = f"{self._setting}={self._prices.max_cost:g} is spent: the judge has cost {self.cost:.6g} so far"
        return RewardPausedError(message, self._setting)

    def measures(self) -> Mapping[str, Measure]:
        """Return this process's part of the totals so far.

        If the run had more processes before, their totals are divided among the present ones.
        """
        (row,) = self._table.run(
            """SELECT TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost) FROM spent
            WHERE judge = ? AND process % ? = ?""",
            (self._judge, self._processes, self._process),
        )
        names = ("judge/input_tokens", "judge/output_tokens", "judge/cost")
        return {name: Measure(float(value)) for name, value in zip(names, row, strict=True)}

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._table.close()
