"""Questions of a Hugging Face data set: a name on the hub, or a local directory or file in one of its formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from igrpo.data.records import Fields, Splits, hold_out, read_questions, warn_of_overlap
from igrpo.types import Question

#: How `datasets` calls the format of a single local file.
_FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


class HubSource:
    """Questions read through ``datasets.load_dataset``. A data set's own code is never run.

    Args:
        name: a data set on the hub, or a local directory or file (.jsonl, .json, .parquet, .csv; .gz allowed).
        subset: the configuration of the data set (``main``); None: its only or default one.
        split: the split to train on.
        fields: the names of its columns.
        revision: the commit, tag or branch on the hub; None: the newest, which others may change.
        development, test: what is held out: a share of ``split`` (chosen by a hash of the ids; 0: none), or the name of
            another split.

    Raises:
        ValueError: the data set, a split or a column is missing, or a row is no question; the message says which.
    """

    def __init__(
        self,
        name: str,
        *,
        subset: str | None,
        split: str,
        fields: Fields,
        revision: str | None,
        development: float | str,
        test: float | str,
    ) -> None:
        def questions(split_name: str) -> tuple[Question, ...]:
            rows = _rows(_load(name, subset, split_name, revision), f"{name}[{split_name}]")
            found = read_questions(rows, fields)
            if not found:
                raise ValueError(f"data.dataset={name}: its split '{split_name}' is empty")
            return found

        development_share = 0.0 if isinstance(development, str) else development
        test_share = 0.0 if isinstance(test, str) else test
        splits = hold_out(questions(split), development_share, test_share)
        splits = Splits(
            splits.train,
            questions(development) if isinstance(development, str) else splits.development,
            questions(test) if isinstance(test, str) else splits.test,
        )
        warn_of_overlap(splits)
        self.train: Sequence[Question] = splits.train
        self.development: Sequence[Question] = splits.development
        self.test: Sequence[Question] = splits.test


def _load(name: str, subset: str | None, split: str, revision: str | None) -> Any:
    import datasets

    path = Path(name).expanduser()
    try:
        if path.is_file():
            return datasets.load_dataset(_format(path), data_files={split: str(path)}, split=split)
        return datasets.load_dataset(str(path) if path.is_dir() else name, subset, split=split, revision=revision)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"data.dataset={name} (data.subset={subset}, split '{split}', data.revision={revision}) "
            f"cannot be loaded: {error}"
        ) from error


def _format(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if not suffixes or suffixes[-1] not in _FORMATS:
        raise ValueError(f"a file must end in one of {', '.join(_FORMATS)}")
    return _FORMATS[suffixes[-1]]


def _rows(dataset: Any, name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    return ((f"{name} row {number}", row) for number, row in enumerate(dataset))
