"""Tables of the paper as data: the files of conf/reproduce, one per table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from igrpo.config import ConfigError
from igrpo.config.composing.folders import read_yaml
from igrpo.messages import hint
from igrpo.tools.reproduce.names import SMALL_MODELS, folder, table_names

#: Sum of the columns that a table may show beside them.
AVERAGE = "Avg"

Kind = Literal["accuracy", "cost", "entropy"]

#: Steps to a value of paper_tables.json: a key, or the fields by which an entry of a list is found.
PrintedPath = tuple[str | dict[str, str], ...]

_T = TypeVar("_T", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Part):
    """Row of a table: a method, and the runs that it is measured on.

    Attributes:
        method: name of the row, as the paper has it.
        cell: values of the swept settings that its runs have; runs that differ only in their seed are one row.
        start: True for the model before training, as those runs start from it.
        first_seed: True if the start is the same for all seeds, so that one is measured.
        printed: where the printed numbers are (None: as the table says; empty: the paper prints none).
        note: what the reader has to know about the row.
    """

    method: str
    cell: dict[str, str]
    start: bool = False
    first_seed: bool = False
    printed: PrintedPath | None = None
    note: str = ""


class Grid(_Part):
    """Runs of one sweep, and the rows that they fill.

    Attributes:
        name: name of its folder (of a quick table: after the model's).
        model: choice of conf/model that ``model=NAME`` selects the grid by; empty in a quick table, whose grids are
            run on one of the small models.
        label: name of the model, as the paper has it.
        settings: settings of all its runs.
        sweep: swept settings with their values, without the seed.
        evaluation: settings of the evaluation after training, in addition to those of the table.
        rows: its rows.
    """

    name: str
    model: str = ""
    label: str = ""
    settings: tuple[str, ...] = ()
    sweep: dict[str, str]
    evaluation: tuple[str, ...] = ()
    rows: tuple[Row, ...]


class Scale(_Part):
    """Form of a table, either the paper's or the quick one.

    Attributes:
        seeds: values of the setting ``seed``.
        settings: settings of all runs.
        evaluation: settings of the evaluation after training (empty: the run's own test split).
        columns: column to what it shows: a benchmark, a cost, or a percentage of the training.
        average: True to add the mean of the columns.
        grids: the sweeps.
    """

    seeds: tuple[int, ...]
    settings: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    columns: dict[str, str]
    average: bool = False
    grids: tuple[Grid, ...]


class Footnote(_Part):
    """Remark on printed numbers.

    Attributes:
        text: the remark, or the beginning of one of the ``known_defects`` of paper_tables.json.
        rows: fields of the printed rows that it is about (model, method); empty: all of them.
    """

    text: str
    rows: dict[str, str] = {}


class Table(_Part):
    """Table or figure of the paper.

    Attributes:
        title: what it shows.
        kind: how its numbers are measured.
        printed: where its printed numbers are; ``{model}`` and ``{method}`` stand for those of a row.
        printed_columns: names of the printed columns, by their keys in paper_tables.json; ``value`` is a plain number.
        unit: unit of the numbers.
        full, quick: its two forms.
        no_quick: why there is no quick form.
        notes: what the reader has to know about the measured numbers.
        footnotes: remarks on the printed numbers.
    """

    title: str
    kind: Kind
    printed: PrintedPath
    printed_columns: dict[str, str]
    unit: str
    full: Scale
    quick: Scale | None = None
    no_quick: str = ""
    notes: tuple[str, ...] = ()
    footnotes: tuple[Footnote, ...] = ()


class SmallModel(_Part):
    """Model that quick tables run on: its label and settings."""

    label: str
    settings: tuple[str, ...]


class _SmallModels(_Part):
    models: dict[str, SmallModel]


def read_table(name: str) -> Table:
    """Read a table by its value of ``table=``.

    Raises:
        ConfigError: there is no such table, or its file is broken.
    """
    if name not in table_names():
        raise ConfigError([f"table={name}: no such table{hint(name, table_names())}"], "igrpo reproduce")
    path = next(path for path in (folder() / f"table{name}.yaml", folder() / f"{name}.yaml") if path.is_file())
    return _parsed(Table, path)


def small_models() -> dict[str, SmallModel]:
    """Return the small models of the quick tables by their names; the first one is the default."""
    return _parsed(_SmallModels, folder() / f"{SMALL_MODELS}.yaml").models


def scale_of(name: str, table: Table, *, quick: bool, model: str | None) -> Scale:
    """Return the form of a table with the grids of one model (None: all of them; of a quick table, the default).

    Raises:
        ConfigError: the table has no quick form, or no such model.
    """
    if not quick:
        known = list(dict.fromkeys(grid.model for grid in table.full.grids))
        _check_model(model, known)
        chosen = tuple(grid for grid in table.full.grids if model in {None, grid.model})
        return table.full.model_copy(update={"grids": chosen})
    if table.quick is None:
        raise ConfigError([f"table={name} quick=true: {table.no_quick}"], "igrpo reproduce")
    models = small_models()
    _check_model(model, list(models))
    chosen_model = model or next(iter(models))
    return table.quick.model_copy(
        update={"grids": tuple(_on(grid, chosen_model, models[chosen_model]) for grid in table.quick.grids)}
    )


def _on(grid: Grid, name: str, model: SmallModel) -> Grid:
    """Return a quick grid on a small model, whose settings come first."""
    return grid.model_copy(
        update={
            "name": f"{name}-{grid.name}",
            "model": name,
            "label": model.label,
            "settings": (*model.settings, *grid.settings),
        }
    )


def _check_model(model: str | None, known: Sequence[str]) -> None:
    if model is not None and model not in known:
        raise ConfigError([f"model={model}: this table has no such model{hint(model, known)}"], "igrpo reproduce")


def _parsed(kind: type[_T], path: Path) -> _T:
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigError([f"{path}: {error}"], "igrpo reproduce") from None
