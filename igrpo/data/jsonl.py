"""Questions from local files: JSON lines, a JSON array, CSV or parquet."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

from igrpo.data.fields import Fields
from igrpo.data.records import Splits, hold_out, read_questions, warn_of_overlap
from igrpo.data.records_file import read_records
from igrpo.types import Question


class JsonlSource:
    """Questions from a UTF-8 file of JSON lines, a JSON array, CSV or parquet (`igrpo.data.records_file`).

    Args:
        path: the file of training questions (and of held-out shares).
        fields: the names of the fields.
        development, test: held-out questions: a share of the questions in ``path`` (chosen by a hash of their ids;
            0: none), or another file.

    Raises:
        ValueError: a file is missing, empty or broken, or a share is invalid; the message names the setting, the file
            and the line.
    """

    def __init__(self, path: str | Path, fields: Fields, development: float | str | Path, test: float | str | Path):
        shares = {
            name: 0.0 if isinstance(held_out, str | Path) else held_out
            for name, held_out in (("development", development), ("test", test))
        }
        splits = hold_out(read_jsonl(Path(path), fields, "data.path"), **shares)
        splits = Splits(
            splits.train,
            _file_or(development, splits.development, fields, "data.development"),
            _file_or(test, splits.test, fields, "data.test"),
        )
        warn_of_overlap(splits)
        self.train: Sequence[Question] = splits.train
        self.development: Sequence[Question] = splits.development
        self.test: Sequence[Question] = splits.test


def _file_or(
    held_out: float | str | Path, share: tuple[Question, ...], fields: Fields, setting: str
) -> tuple[Question, ...]:
    return read_jsonl(Path(held_out), fields, setting) if isinstance(held_out, str | Path) else share


def read_jsonl(path: Path, fields: Fields, setting: str) -> tuple[Question, ...]:
    """Read all questions of one file, in order; blank lines are skipped.

    Args:
        path: the file.
        fields: the names of the fields.
        setting: the setting that named the file, for messages.

    Raises:
        ValueError: the file is missing, empty or broken (see :class:`JsonlSource`).
    """
    if not path.exists():
        raise ValueError(f"{setting}={path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{setting}={path} is not a file: give one of JSON lines, a JSON array, CSV or parquet")
    try:
        questions = read_questions(read_records(path), fields, section="data", unusable_share=0.0)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{setting}={path} cannot be read: {error}") from error
    if not questions:
        raise ValueError(f"{setting}={path} holds no question: the file is empty")
    return questions
