"""Readers of rows: of local files, and of everything that the `datasets` library loads.

Local files are JSON lines, a JSON array, CSV or parquet, plain or gzipped. The format is detected from the first bytes
of a file, not from its name. Only CSV is recognized by its extension.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_DELIMITERS = (",", ";", "\t")
_BATCH = 1000
_CSV_ENDINGS = (".csv", ".tsv")
_FILE_ENDINGS = (".jsonl", ".json", ".parquet", ".gz", *_CSV_ENDINGS)

#: Place of a row, for messages, and its fields.
Row = tuple[str, Mapping[str, object]]


def is_file(name: str) -> bool:
    """True if the name is the path of a local file."""
    return Path(name).expanduser().is_file()


def looks_local(name: str) -> bool:
    """True if the name can only be that of a local file or directory: by its beginning, its ending or its depth.

    A data set on the hub is called NAME or OWNER/NAME; an address (``hf://...``) is left to the datasets library.
    """
    if "://" in name:
        return False
    return name.startswith((".", "/", "~")) or name.lower().endswith(_FILE_ENDINGS) or name.count("/") > 1


def read_file(path: Path, setting: str) -> Iterator[Row]:
    """Yield (place, row) for every row of a file, in order. Numbers keep their spelling as text, except in parquet.

    The place, for messages, is ``file:line`` in JSON lines and CSV, else ``file row N``, counted from 1. ``setting`` is
    the setting that names the file.

    Raises:
        ValueError: the file is missing or cannot be read (the message names the setting), or a row or the whole file
            is invalid (the message begins with the place).
    """
    if not path.exists():
        raise ValueError(f"{setting}={path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{setting}={path} is not a file: give one of JSON lines, a JSON array, CSV or parquet")
    try:
        with _unpacked(path) as file:
            if file.peek(len(_PARQUET))[: len(_PARQUET)] == _PARQUET:  # type: ignore[attr-defined]
                yield from _parquet_rows(file, path)
            elif Path(path.name.removesuffix(".gz")).suffix.lower() in _CSV_ENDINGS:
                yield from _csv_rows(file, path)
            else:
                yield from _json_rows(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{setting}={path} cannot be read: {error}") from error


def read_hub(
    name: str, subset: str | None, split: str, revision: str | None, *, fields: Set[str], section: str
) -> Iterator[Row]:
    """Yield (place, row) for every row of a data set on the hub, or in a local directory. Its own code is never run.

    Args:
        fields: names or paths of the fields that are needed; a row has all fields if one of these does not exist.
        section: section of the configuration that names the data set, for messages (``data``).

    Raises:
        ValueError: the data set or the split cannot be loaded.
    """
    import datasets

    path = Path(name).expanduser()
    place = str(path) if path.is_dir() else name
    try:
        table: Any = datasets.load_dataset(place, subset, split=split, revision=revision)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"{section}.dataset={name} ({section}.subset={subset}, split '{split}', {section}.revision={revision}) "
            f"cannot be loaded: {error}"
        ) from error
    columns = {path if path in table.column_names else path.partition(".")[0] for path in fields}
    if columns <= set(table.column_names):  # else keep all, for the message that lists them
        table = table.select_columns(sorted(columns))
    number = 0
    for batch in table.iter(batch_size=_BATCH):
        for values in zip(*batch.values(), strict=True):
            yield f"{name}[{split}] row {number}", dict(zip(batch, values, strict=True))
            number += 1


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        packed = file.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file


def _json_rows(file: IO[bytes], path: Path) -> Iterator[Row]:
    """Read one object per line, or one array. Only a line feed ends a line: a raw U+2028 is text in JSON."""
    begun = False
    for number, line in enumerate(file, 1):
        content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if not content.strip():
            continue
        place = f"{path}:{number}"
        if not begun and content.lstrip().startswith(b"["):
            yield from _array_rows(content + file.read(), path)
            return
        begun = True
        yield place, _object(_parse(content, place), place, "a line")


def _array_rows(content: bytes, path: Path) -> Iterator[Row]:
    for number, row in enumerate(_parse(content, str(path)), 1):
        place = f"{path} row {number}"
        yield place, _object(row, place, "an item of the array")


def _parse(content: bytes, place: str) -> Any:
    text = _text(content, place)
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        hint = "; one object per line, or one array of objects, is read" if text.strip() == "{" else ""
        raise ValueError(f"{place}: not valid JSON ({error}){hint}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not UTF-8 ({error.reason} at byte {error.start})") from error


def _object(row: object, place: str, what: str) -> Mapping[str, object]:
    if not isinstance(row, dict):
        # an error in a user's file, not a wrong type from the caller
        raise ValueError(  # noqa: TRY004
            f"{place}: {what} must be a JSON object with named fields, not {json.dumps(row)[:40]}"
        )
    return row


def _csv_rows(file: IO[bytes], path: Path) -> Iterator[Row]:
    """Read a CSV file with a header row. The separator is the most frequent candidate in the header."""
    csv.field_size_limit(sys.maxsize)
    text = _text(file.read().removeprefix(_BYTE_ORDER_MARK), str(path))
    header_line = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=header_line.count), strict=True)
    header: list[str] | None = None
    begins = 1
    try:
        for cells in reader:
            place, begins = f"{path}:{begins}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, place)
            elif len(cells) != len(header):
                raise ValueError(
                    f"{place}: {len(cells)} cells, and the header has {len(header)} ({', '.join(header)}): a text "
                    f"that contains the separator {reader.dialect.delimiter!r} must be in quotes"
                )
            else:
                yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}:{begins}: not valid CSV ({error})") from error


def _header(cells: list[str], place: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{place}: the header names {', '.join(map(repr, twice))} twice")
    return names


def _parquet_rows(file: IO[bytes], path: Path) -> Iterator[Row]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    number = 0
    try:
        for batch in pq.ParquetFile(io.BytesIO(file.read())).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row
    except pa.ArrowException as error:
        raise OSError(f"no valid parquet ({error})") from error
