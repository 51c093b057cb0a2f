"""Settings of data sets and benchmarks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.settings.base import Section, UnitShare


class ChainsDataConfig(Section):
    name: Literal["chains"]
    seed: NonNegativeInt
    operations: PositiveInt
    train: PositiveInt
    development: PositiveInt
    test: PositiveInt


class TimesTablesDataConfig(Section):
    """Products of two whole numbers: the range of each factor, and the number of products held out."""

    name: Literal["times_tables"]
    seed: NonNegativeInt
    first: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    second: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    development: PositiveInt
    test: PositiveInt


class FieldNames(Section):
    """Names of a row's fields, or paths into them such as ``reward_model.ground_truth``.

    If ``id`` is null or a row has none, the id of the question is a hash of its problem. ``answer_form``: the field is
    the answer (``plain``), or a longer text with the answer in its last ``\\boxed{}`` (``boxed``) or after ``####``
    (``hashes``).
    """

    id: str | None
    problem: str
    answer: str
    answer_form: Literal["plain", "boxed", "hashes"]


class DecontaminationConfig(Section):
    """Removal of training questions that duplicate a held-out question.

    ``method``: ``exact`` (the same text up to case, spacing, punctuation and spellings of LaTeX), ``near`` (also
    questions with nearly the same words), or ``off``. Two questions are nearly the same if they share at least
    ``shorter_share`` of the ``ngram``-grams of the question with fewer and ``longer_share`` of those of the question
    with more, and if all numbers in one also occur in the other. ``ngram``, ``shorter_share`` and ``longer_share`` are
    used by ``near`` only.
    """

    method: Literal["off", "exact", "near"]
    ngram: PositiveInt
    shorter_share: UnitShare
    longer_share: UnitShare


class JsonlDataConfig(Section):
    """A file of JSON lines, a JSON array, CSV or parquet.

    ``development`` and ``test``: the share of the file to hold out, or a separate file.
    """

    name: Literal["jsonl"]
    path: str
    fields: FieldNames
    development: UnitShare | str
    test: UnitShare | str
    decontamination: DecontaminationConfig


class HubDataConfig(Section):
    """A data set read by the datasets library: a name on the hub, a local directory, or a local file.

    ``where`` keeps the rows whose fields have these values. ``problem_prefix`` and ``problem_suffix`` surround every
    problem and are removed. Up to ``unusable_share`` of a split's rows may have no usable problem or answer; these rows
    are left out. ``limit`` is the number of training questions to keep, chosen by ``limit_seed`` and their ids (a lower
    limit keeps a subset of what a higher one keeps). ``development`` and ``test``: the share of ``split`` to hold out,
    another split, or a local file.
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


#: Generated data: the sizes of the splits are known without reading anything, and no two splits share a question.
GeneratedDataConfig = ChainsDataConfig | TimesTablesDataConfig
DataConfig = Annotated[GeneratedDataConfig | JsonlDataConfig | HubDataConfig, Field(discriminator="name")]


class BenchmarkConfig(Section):
    """An additional test set, and the number of samples per question to average over.

    ``dataset``, ``subset`` and ``revision`` are as in `HubDataConfig`. Every row must have a question.
    """

    dataset: str
    subset: str | None
    revision: str | None
    split: str
    fields: FieldNames
    samples: PositiveInt
