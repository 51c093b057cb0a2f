"""A small SQLite file that several processes of one machine write at the same time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

#: How long a statement waits for another process's.
_PATIENCE_S = 60.0


class Database:
    """Statements on one connection, each a transaction of its own; opened by the first. Thread-safe.

    Args:
        path: the file (None: in memory).
        schema: a ``CREATE TABLE IF NOT EXISTS``.
        setting: what names the file, for the error message.
    """

    def __init__(self, path: Path | None, schema: str, setting: str) -> None:
        self._path, self._schema, self._setting = path, schema, setting
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement.

        Raises:
            ValueError: the file cannot be opened, read or written, or is no database.
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
        """Safe to call twice."""
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
        # SQLite does not wait where two processes turn on the write-ahead log at the same time
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
