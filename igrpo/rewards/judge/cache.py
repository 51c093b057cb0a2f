"""Scores that the judge has given already, for all runs of a machine: nothing is asked, or paid for, twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from igrpo.rewards.judge.database import Database
from igrpo.rewards.judge.prompt import Message

#: Counts up when what a reply means changes.
_VERSION = 1

_SCHEMA = "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score REAL NOT NULL, time REAL NOT NULL)"


def cache_key(identity: str, messages: Sequence[Message], vote: int) -> str:
    """Of all that decides a score: the model and its sampling, every word it reads, and which vote it is."""
    described = json.dumps([_VERSION, identity, list(messages), vote], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


class ScoreCache:
    """Scores by ``cache_key``. Only what could be read is kept. ``path`` None: for as long as the object lives."""

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path, _SCHEMA, "reward.cache")

    def get(self, key: str) -> float | None:
        """The score, None where there is none yet."""
        rows = self._database.run("SELECT score FROM scores WHERE key = ?", (key,))
        return float(rows[0][0]) if rows else None

    def put(self, key: str, score: float) -> None:
        """Keep a score; the first one stays, so that whoever read it before reads it again."""
        self._database.run("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", (key, score, time.time()))

    def close(self) -> None:
        """Safe to call twice."""
        self._database.close()
