"""Data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.config.parts.base import Section, UnitShare


class ChainsDataConfig(Section):
    name: Literal["chains"]
    seed: NonNegativeInt
    operations: PositiveInt
    train: PositiveInt
    development: PositiveInt
    test: PositiveInt


class TimesTablesDataConfig(Section):
    """Products of two whole numbers: the range of each factor, and how many products are held out."""

    name: Literal["times_tables"]
    seed: NonNegativeInt
    first: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    second: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    development: PositiveInt
    test: PositiveInt


class FieldNames(Section):
    """Where a row has what: the names of its fields, or paths into them such as ``reward_model.ground_truth``.

    ``id`` null, or a row without one: the id of a question is a hash of its problem. ``answer_form``: the field is the
    answer (``plain``), or a longer text whose answer is in its last ``\\boxed{}`` (``boxed``) or stands after ``####``
    (``hashes``).
    """

    id: str | None
    problem: str
    answer: str
    answer_form: Literal["plain", "boxed", "hashes"]


class DecontaminationConfig(Section):
    """Which training questions are left out because a held-out question is the same.

    ``method``: ``exact`` (the same text but for case, spacing, punctuation and spellings of LaTeX), ``near`` (also
    questions of nearly the same words), or ``off``. Two questions are nearly the same when the one with fewer has at
    least ``shorter_share`` of its ``ngram``-grams in common with the other, the one with more ``longer_share`` of its
    own, and all numbers of one are among those of the other. The last three matter to ``near`` alone.
    """

    method: Literal["off", "exact", "near"]
    ngram: PositiveInt
    shorter_share: UnitShare
    longer_share: UnitShare


class JsonlDataConfig(Section):
    """A file of JSON lines, a JSON array, CSV or parquet.

    ``development`` and ``test``: a share of it that is held out, or a file of their own.
    """

    name: Literal["jsonl"]
    path: str
    fields: FieldNames
    development: UnitShare | str
    test: UnitShare | str
    decontamination: DecontaminationConfig


class HubDataConfig(Section):
    """A data set that the datasets library reads: a name on the hub, a local directory, or a local file.

    ``where`` keeps the rows whose fields have these values. ``problem_prefix`` and ``problem_suffix`` stand around
    every problem and are taken off. Up to ``unusable_share`` of a split's rows may have no problem or answer that can
    be used; they are left out. ``limit`` keeps so many of the training questions, chosen by ``limit_seed`` and their
    ids (a lower limit chooses among those of a higher one). ``development`` and ``test``: a share of ``split`` that is
    held out, another split, or a local file.
    """

    name: Literal["hub"]
    dataset: str
    subset: str | None
    revision: str | None
    split: str
    where: dict[str, str | int | float | bool]
    fields: FieldNames
    problem_prefix: str
    problem_suffix: str
    unusable_share: UnitShare
    limit: PositiveInt | None
    limit_seed: NonNegativeInt
    development: UnitShare | str
    test: UnitShare | str
    decontamination: DecontaminationConfig


#: Questions that the project makes: their splits are known without reading anything and share no question.
MadeDataConfig = ChainsDataConfig | TimesTablesDataConfig
DataConfig = Annotated[MadeDataConfig | JsonlDataConfig | HubDataConfig, Field(discriminator="name")]


class BenchmarkConfig(Section):
    """A test set beside the data's own: where it is, and how many samples of each question are averaged.

    ``dataset``, ``subset`` and ``revision`` as in `HubDataConfig`. Every row must have a question.
    """

    dataset: str
    subset: str | None
    revision: str | None
    split: str
    fields: FieldNames
    samples: PositiveInt
