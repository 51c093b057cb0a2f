"""Settings of benchmarks: additional test sets with their identity, sampling and reward."""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section, TopP
from igrpo.settings.data import FieldNames
from igrpo.settings.reward import RewardConfig

#: Settings that replace those of the same name in `evaluation`, where they are not null.
_SAMPLING = ("temperature", "top_p", "top_k", "max_completion_tokens")


class BenchmarkConfig(Section):
    """An additional test set. `+evaluation.benchmarks.NAME.dataset=FILE` is enough for one of your own.

    Runs from before ``rows`` and what follows it existed have none of these settings.
    """

    dataset: str
    """Name on the Hugging Face hub, a local directory, or a local file."""

    subset: str | None = None
    """Subset (configuration) of the data set. Null: its default."""

    revision: str | None = None
    """Commit, tag or branch on the hub. Null: the newest, which may change between runs."""

    split: str = "train"
    """Split with the questions of the benchmark."""

    fields: FieldNames = Field(default_factory=FieldNames)
    """Names of a row's fields. Every row must have a question."""

    samples: PositiveInt = 8
    """Number of sampled answers per question, over which accuracy is averaged."""

    rows: PositiveInt | None = None
    """Expected number of questions; with another number the run does not start. Null: any number."""

    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Expected SHA-256 hash of all problems and answers, regardless of their order, white space and spellings of LaTeX;
    with another hash the run does not start. Null: any content."""

    temperature: PositiveFloat | None = None
    """Sampling temperature on this benchmark. Null: `evaluation.temperature`."""

    top_p: TopP | None = None
    """Sample from the smallest set of most likely tokens with this total probability. Null: `evaluation.top_p`."""

    top_k: NonNegativeInt | None = None
    """Sample from this number of most likely tokens; 0: from all. Null: `evaluation.top_k`."""

    max_completion_tokens: PositiveInt | None = None
    """Maximum length of a completion on this benchmark, in tokens. Null: that of `evaluation`."""

    reward: RewardConfig | None = None
    """Reward that decides what is right on this benchmark, added by `+reward@evaluation.benchmarks.NAME.reward=CHOICE`.
    Null: the reward of the run."""

    @property
    def sampling(self) -> dict[str, Any]:
        """Settings of `evaluation` that this benchmark replaces, by name."""
        return {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
