"""Cache of judge scores, shared by all runs on a machine, so that no request is made and paid for twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from igrpo.rewards.judge.database import Database
from igrpo.rewards.judge.prompt import Message

#: Incremented when the meaning of a reply changes.
_VERSION = 1

_SCHEMA = "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score REAL NOT NULL, time REAL NOT NULL)"


def cache_key(identity: str, messages: Sequence[Message], vote: int) -> str:
    """Hash everything that determines a score: model, sampling settings, messages and number of the vote."""
    described = json.dumps([_VERSION, identity, list(messages), vote], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


class ScoreCache:
    """Scores by ``cache_key``; unreadable replies are not stored.

    Args:
        path: the file (None: in memory, for the lifetime of the object).
    """

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path, _SCHEMA, "reward.cache")

    def get(self, key: str) -> float | None:
        """Return the score, None if it is not stored."""
        rows = self._database.run("SELECT score FROM scores WHERE key = ?", (key,))
        return float(rows[0][0]) if rows else None

    def put(self, key: str, score: float) -> None:
        """Store a score unless one is stored for this key, so that a score never changes after it was read."""
        self._database.run("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", (key, score, time.time()))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()
