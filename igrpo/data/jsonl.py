"""Questions from local JSONL files, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn, cast

from igrpo.data.fields import Fields
from igrpo.data.records import Splits, hold_out, read_questions, warn_of_overlap
from igrpo.types import Question

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonlSource:
    """Questions of a JSONL file (``.gz``: gzipped), one JSON object a line, UTF-8.

    Args:
        path: the file of training questions (and of the shares that are held out of it).
        fields: the names of the fields.
        development, test: what is held out: a share of ``path``'s questions (chosen by a hash of their ids; 0: none),
            or a file of its own.

    Raises:
        ValueError: a file that is missing, empty or broken, or a share that cannot be; the message names the setting,
            the file and the line.
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
    """All questions of one file; blank lines are skipped, numbers keep their spelling.

    Args:
        path: the file.
        fields: the names of the fields.
        setting: the setting that named the file, for messages.

    Raises:
        ValueError: as :class:`JsonlSource`.
    """
    if not path.exists():
        raise ValueError(f"{setting}={path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{setting}={path} is not a file: give a JSONL file, plain or .gz")
    try:
        questions = read_questions(_records(path), fields, section="data", unusable_share=0.0)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{setting}={path} cannot be read: {error}") from error
    if not questions:
        raise ValueError(f"{setting}={path} holds no question: the file is empty")
    return questions


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """(``file:line``, object) of every line. Lines end at a line feed only: a raw U+2028 is text in JSON."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as opened:
        lines = cast("IO[bytes]", opened)  # binary, so that only line feeds split
        for number, line in enumerate(lines, 1):
            content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if content.strip():
                yield f"{path}:{number}", _parse(content, f"{path}:{number}")


def _parse(line: bytes, where: str) -> Mapping[str, object]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
    try:
        record = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(record, dict):
        # A user's error in a file, not a caller's wrong type.
        raise ValueError(  # noqa: TRY004
            f"{where}: a line must be a JSON object with named fields, not {text.strip()[:40]}"
        )
    return record


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
