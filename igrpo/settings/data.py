"""Settings of data sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.settings.base import Section, UnitShare


class ChainsDataConfig(Section):
    """Chains of additions, subtractions and multiplications modulo 10, generated."""

    name: Literal["chains"]
    """Kind of data set: generated chains of additions, subtractions and multiplications modulo 10."""

    seed: NonNegativeInt
    """Seed of the generated questions. It is independent of the run's seed, which only sets their order."""

    operations: PositiveInt
    """Number of operations per question; more make questions harder. The tiny model's warm start has the same number.
    """

    train: PositiveInt
    """Number of training questions."""

    development: PositiveInt
    """Number of questions of the development split."""

    test: PositiveInt
    """Number of questions of the test split."""


class TimesTablesDataConfig(Section):
    """Products of two whole numbers, generated."""

    name: Literal["times_tables"]
    """Kind of data set: generated products of two whole numbers."""

    seed: NonNegativeInt
    """Seed of the splits. It is independent of the run's seed, which only sets the order of the questions."""

    first: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    """Smallest and largest first factor."""

    second: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    """Smallest and largest second factor."""

    development: PositiveInt
    """Number of products of the development split. All products that are not held out are for training."""

    test: PositiveInt
    """Number of products of the test split."""


class FieldNames(Section):
    """Names of a row's fields, or paths into them such as ``reward_model.ground_truth``."""

    id: str | None = None
    """Field with the id of the question. Null, or if a row has none: a hash of the problem."""

    problem: str = "problem"
    """Field with the problem: a text, or a list of chat messages, of which the user's are used."""

    answer: str = "answer"
    """Field with the gold answer."""

    answer_form: Literal["plain", "boxed", "hashes", "letter", "index", "option"] = "plain"
    r"""Form of that field: the answer itself (`plain`), or a longer text with the answer in its last `\boxed{}`
    (`boxed`) or after `####` (`hashes`). With `options`: the letter (`letter`), number from 0 (`index`) or text
    (`option`) of the right one."""

    options: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1)
    """Multiple choice: the field with the list of options, or the fields with one option each. The problem is shown
    with lettered options, and its answer is the letter of the right one. Null: no options."""

    options_order: Literal["data", "shuffled"] = "data"
    """Order of the options: that of the data, or one shuffled by a seed that is derived from the question's id. The
    latter is for data whose first option is the right one."""


class DecontaminationConfig(Section):
    """Removal of training questions that duplicate a held-out question.

    Two questions are nearly the same if they share at least ``shorter_share`` of the ``ngram``-grams of the question
    with fewer and ``longer_share`` of those of the question with more, and if all numbers in one also occur in the
    other.
    """

    method: Literal["off", "exact", "near"]
    """Which training questions are removed: those with the same text as a held-out or benchmark question, up to case,
    spacing, punctuation and spellings of LaTeX (`exact`), also those with nearly the same words (`near`), or none
    (`off`)."""

    ngram: PositiveInt
    """Number of words per n-gram, for `near`."""

    shorter_share: UnitShare
    """Minimum share of common n-grams, in the question with fewer of them, for `near`."""

    longer_share: UnitShare
    """Minimum share of common n-grams, in the question with more of them, for `near`."""


class JsonlDataConfig(Section):
    """A file of JSON lines, a JSON array, CSV or parquet."""

    name: Literal["jsonl"]
    """Kind of data set: a local file of JSON lines, a JSON array, CSV or parquet, plain or gzipped."""

    path: str
    """The file, such as problems.jsonl.gz or problems.csv."""

    fields: FieldNames
    """Names of a row's fields."""

    development: UnitShare | str
    """Development split: the share of the file to hold out, or a separate file."""

    test: UnitShare | str
    """Test split: the share of the file to hold out, or a separate file."""

    decontamination: DecontaminationConfig
    """Removal of training questions that duplicate a held-out or benchmark question."""


class HubDataConfig(Section):
    """A data set read by the datasets library: a name on the hub, a local directory, or a local file."""

    name: Literal["hub"]
    """Kind of data set: one that the datasets library reads."""

    dataset: str
    """Name on the Hugging Face hub, a local directory, or a local file."""

    subset: str | None
    """Subset (configuration) of the data set. Null: its default."""

    revision: str | None
    """Commit, tag or branch on the hub. Null: the newest, which may change between runs."""

    split: str
    """Split with the training questions."""

    where: dict[str, str | int | float | bool]
    """Keep only rows whose fields have these values, such as `+data.where.source=olympiads`."""

    fields: FieldNames
    """Names of a row's fields."""

    problem_prefix: str
    """Text that starts every problem, and is removed from it."""

    problem_suffix: str
    """Text that ends every problem, and is removed from it."""

    unusable_share: UnitShare
    """Maximum share of a split's rows without a usable problem or answer. They are left out and counted; with more, the
    run does not start."""

    limit: PositiveInt | None
    """Maximum number of training questions; a lower limit keeps a subset of what a higher one keeps. Null: all."""

    limit_seed: NonNegativeInt
    """Seed of the choice of these questions, which also depends on their ids."""

    development: UnitShare | str
    """Development split: the share of `split` to hold out, the name of another split, or a local file."""

    test: UnitShare | str
    """Test split: the share of `split` to hold out, the name of another split, or a local file."""

    decontamination: DecontaminationConfig
    """Removal of training questions that duplicate a held-out or benchmark question."""


#: Generated data: the sizes of the splits are known without reading anything, and no two splits share a question.
GeneratedDataConfig = ChainsDataConfig | TimesTablesDataConfig
DataConfig = Annotated[GeneratedDataConfig | JsonlDataConfig | HubDataConfig, Field(discriminator="name")]
