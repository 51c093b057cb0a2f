"""Questions of a Hugging Face data set: a name on the hub, or a local directory or file in a supported format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igrpo.data.fields import Fields, field_value
from igrpo.data.records import Splits, choose, hold_out, read_questions, warn_of_overlap
from igrpo.settings.data import HubDataConfig
from igrpo.types import Question

#: Names in `datasets` of the formats of a single local file.
_FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class HubDataset:
    """Data set to load with `datasets`, and the conversion of its rows to questions. Its own code is never run.

    ``section`` is the section of the configuration that describes it, for messages (``data``). The other fields are
    those of `igrpo.settings.data.HubDataConfig`.
    """

    section: str
    name: str
    subset: str | None
    revision: str | None
    fields: Fields
    where: Mapping[str, str | int | float | bool]
    unusable_share: float

    def read(self, split: str) -> tuple[Question, ...]:
        """Read the questions of a split.

        Raises:
            ValueError: the data set, the split or a column is missing, there is no question, or too many rows cannot be
                used.
        """
        table = self._load(split)
        wanted = {self.fields.problem, self.fields.answer, *self.where}
        if self.fields.id is not None:
            wanted.add(self.fields.id)
        rows = self._kept(_rows(table, wanted, f"{self.name}[{split}]"))
        found = read_questions(rows, self.fields, section=self.section, unusable_share=self.unusable_share)
        if not found:
            of_these = " that has the values of where" if self.where else ""
            raise ValueError(f"{self.section}.dataset={self.name}: its split '{split}' has no question{of_these}")
        return found

    def _load(self, split: str) -> Any:
        import datasets

        path = Path(self.name).expanduser()
        try:
            if path.is_file():
                return datasets.load_dataset(_format(path), data_files={"rows": str(path)}, split="rows")
            place = str(path) if path.is_dir() else self.name
            return datasets.load_dataset(place, self.subset, split=split, revision=self.revision)
        except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
            section = self.section
            raise ValueError(
                f"{section}.dataset={self.name} ({section}.subset={self.subset}, split '{split}', "
                f"{section}.revision={self.revision}) cannot be loaded: {error}"
            ) from error

    def _kept(self, rows: Iterator[tuple[str, Mapping[str, object]]]) -> Iterator[tuple[str, Mapping[str, object]]]:
        setting = f"{self.section}.where"
        for place, row in rows:
            if all(field_value(row, path, setting, place) == value for path, value in self.where.items()):
                yield place, row


class HubSource:
    """Questions read through ``datasets.load_dataset``.

    Args:
        data: the settings of the data set; the schema documents each of them.

    Raises:
        ValueError: the data set, a split or a column is missing, too many rows cannot be used, or a share holds out no
            question; the message names the cause.
    """

    def __init__(self, data: HubDataConfig) -> None:
        fields = Fields(
            **data.fields.model_dump(), problem_prefix=data.problem_prefix, problem_suffix=data.problem_suffix
        )

        def dataset(name: str) -> HubDataset:
            return HubDataset(
                "data", name, data.subset, data.revision, fields, where=data.where, unusable_share=data.unusable_share
            )

        def held_out(setting: str, split: str) -> tuple[Question, ...]:
            if _is_local_file(split):
                return dataset(split).read(data.split)
            if _is_local_file(data.dataset):
                raise ValueError(
                    f"data.{setting}={split}: data.dataset={data.dataset} is a single file, which has no other split; "
                    "give a share of it to hold out, or another file"
                )
            return dataset(data.dataset).read(split)

        splits = hold_out(
            dataset(data.dataset).read(data.split),
            0.0 if isinstance(data.development, str) else data.development,
            0.0 if isinstance(data.test, str) else data.test,
        )
        splits = Splits(
            choose(splits.train, data.limit, data.limit_seed),
            held_out("development", data.development) if isinstance(data.development, str) else splits.development,
            held_out("test", data.test) if isinstance(data.test, str) else splits.test,
        )
        warn_of_overlap(splits)
        self.train: Sequence[Question] = splits.train
        self.development: Sequence[Question] = splits.development
        self.test: Sequence[Question] = splits.test


def _is_local_file(name: str) -> bool:
    return Path(name).expanduser().is_file()


def _format(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if not suffixes or suffixes[-1] not in _FORMATS:
        raise ValueError(f"a file must end in one of {', '.join(_FORMATS)}")
    return _FORMATS[suffixes[-1]]


def _rows(table: Any, paths: set[str], name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield (place, row) of a table, with only the wanted columns if all of them exist."""
    columns = {path if path in table.column_names else path.partition(".")[0] for path in paths}
    if columns <= set(table.column_names):  # else keep all, for the message that lists them
        table = table.select_columns(sorted(columns))
    number = 0
    for batch in table.iter(batch_size=_BATCH):
        for values in zip(*batch.values(), strict=True):
            yield f"{name} row {number}", dict(zip(batch, values, strict=True))
            number += 1
