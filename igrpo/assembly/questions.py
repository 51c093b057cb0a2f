"""The questions of a run: read, decontaminated, and without those that do not fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from igrpo.config.parts.data import ChainsDataConfig, DataConfig, JsonlDataConfig
from igrpo.config.schema import RunConfig
from igrpo.data.benchmarks import read_benchmark
from igrpo.data.decontamination import Decontaminated, decontaminate
from igrpo.data.records import choose
from igrpo.data.sources import ChainSource, Fields, HubSource, JsonlSource, Source
from igrpo.prompts import PromptBuilder
from igrpo.types import Question

log = logging.getLogger(__name__)


def build_source(data: DataConfig) -> Source:
    """The questions and their splits."""
    if isinstance(data, ChainsDataConfig):
        return ChainSource(
            seed=data.seed, operations=data.operations, train=data.train, development=data.development, test=data.test
        )
    if isinstance(data, JsonlDataConfig):
        return JsonlSource(data.path, Fields(**data.fields.model_dump()), data.development, data.test)
    return HubSource(data)


@dataclass(frozen=True, slots=True)
class FittingSource:
    """What a run trains on and is evaluated on. ``decontamination`` is None where nothing was looked for."""

    train: Sequence[Question]
    development: Sequence[Question]
    test: Sequence[Question]
    benchmarks: Mapping[str, Sequence[Question]] = field(default_factory=dict)
    decontamination: Decontaminated | None = None


def fitting_source(config: RunConfig, prompts: PromptBuilder) -> FittingSource:
    """Read the data and the benchmarks, and leave out what must not be trained on or does not fit.

    Training questions that a held-out split or a benchmark has too go first, then the questions over their token
    budget, each with a word in the log; the held-out splits are cut to ``evaluation.questions``, benchmarks are not.

    Raises:
        ValueError: a data set cannot be read, or a split or a benchmark has no question left.
    """
    source = build_source(config.data)
    benchmarks = {name: read_benchmark(name, one) for name, one in config.evaluation.benchmarks.items()}
    decontamination = _decontaminated(config.data, source, benchmarks)

    def evaluated(questions: Sequence[Question], name: str) -> Sequence[Question]:
        fitting = _fitting(questions, prompts, name)
        if isinstance(config.data, ChainsDataConfig):
            return fitting[: config.evaluation.questions]
        return choose(tuple(fitting), config.evaluation.questions, seed=0)  # files may be sorted by subject

    return FittingSource(
        train=_fitting(source.train if decontamination is None else decontamination.kept, prompts, "train split"),
        development=evaluated(source.development, "development split"),
        test=evaluated(source.test, "test split"),
        benchmarks={name: _fitting(questions, prompts, f"benchmark {name}") for name, questions in benchmarks.items()},
        decontamination=decontamination,
    )


def _decontaminated(
    data: DataConfig, source: Source, benchmarks: Mapping[str, Sequence[Question]]
) -> Decontaminated | None:
    """The training questions that nothing held out has; None for chains, whose splits share none by their making."""
    if isinstance(data, ChainsDataConfig) or data.decontamination.method == "off":
        return None
    held_out = {"development": source.development, "test": source.test, **benchmarks}
    found = decontaminate(source.train, held_out, data.decontamination)
    log.log(logging.WARNING if len(found.kept) < len(source.train) else logging.INFO, "%s", found.summary())
    if not found.kept:
        raise ValueError(
            f"data.decontamination.method={data.decontamination.method} leaves none of {len(source.train)} training "
            "questions: all of them are held out, or in a benchmark, too; give other data"
        )
    return found


def _fitting(questions: Sequence[Question], prompts: PromptBuilder, name: str) -> Sequence[Question]:
    kept = [question for question in questions if prompts.fits(question)]
    if not kept:
        raise ValueError(
            f"the {name} has no question within prompt.max_question_tokens={prompts.max_question_tokens} "
            f"(of {len(questions)}); raise that limit, or give other questions"
        )
    if len(kept) < len(questions):
        log.warning(
            "%d of %d questions of the %s are longer than prompt.max_question_tokens=%d and are left out",
            len(questions) - len(kept), len(questions), name, prompts.max_question_tokens,
        )  # fmt: skip
    return kept
