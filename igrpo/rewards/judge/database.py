"""Small SQLite database that several processes of one machine can write at the same time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

#: Seconds that a statement waits for a lock held by another process.
_PATIENCE_S = 60.0


class Database:
    """SQLite connection, opened by the first statement. Each statement is its own transaction. Thread-safe.

    Args:
        path: the file (None: in memory).
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
        """Close the connection. Safe to call twice."""
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
