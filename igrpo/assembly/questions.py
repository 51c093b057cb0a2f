"""Reading, decontamination and length filtering of a run's questions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from igrpo.assembly.cautions import options_unread
from igrpo.config.schema import RunConfig
from igrpo.data.decontamination import Decontaminated, decontaminate
from igrpo.data.sources import read_benchmark, read_source
from igrpo.data.splits import Splits, choose
from igrpo.prompts.builder import PromptBuilder
from igrpo.settings.data import DataConfig, GeneratedDataConfig
from igrpo.types import Question

log = logging.getLogger(__name__)

#: Prefix of a benchmark's name among the names of splits.
_BENCHMARK = "benchmark "


@dataclass(frozen=True, slots=True)
class FittingSource(Splits):
    """Questions that a run trains on and is evaluated on. ``decontamination`` is None if it did not take place."""

    benchmarks: Mapping[str, Sequence[Question]] = field(default_factory=dict)
    decontamination: Decontaminated | None = None


def read_splits(config: RunConfig) -> dict[str, Sequence[Question]]:
    """Read all questions of the data's splits (``train``, ``development``, ``test``) and of the benchmarks, unfiltered.

    Raises:
        ValueError: a data set cannot be read.
    """
    source = read_source(config.data)
    splits = {"train": tuple(source.train), "development": source.development, "test": source.test}
    benchmarks = {name: read_benchmark(name, one) for name, one in config.evaluation.benchmarks.items()}
    return splits | {f"{_BENCHMARK}{name}": questions for name, questions in benchmarks.items()}


def fitting_source(
    config: RunConfig, prompts: PromptBuilder, splits: Mapping[str, Sequence[Question]] | None = None
) -> FittingSource:
    """Remove contaminated training questions, and questions that are too long, from the data and the benchmarks.

    First, training questions that are also in a held-out split or a benchmark are removed, then questions over the
    token budget. Both are logged. Held-out splits are cut to ``evaluation.questions``, benchmarks are not.

    Args:
        splits: result of `read_splits`; None: it is called here.

    Raises:
        ValueError: a data set cannot be read, or a split or a benchmark has no question left.
    """
    for sentence in options_unread(config):
        log.warning("%s", sentence)
    splits = read_splits(config) if splits is None else splits
    benchmarks = {name: splits[f"{_BENCHMARK}{name}"] for name in config.evaluation.benchmarks}
    decontamination = _decontaminated(config.data, splits, benchmarks)

    return FittingSource(
        train=fitting_questions(
            splits["train"] if decontamination is None else decontamination.kept, prompts, "train split"
        ),
        development=evaluated_questions(config, prompts, splits["development"], "development split"),
        test=evaluated_questions(config, prompts, splits["test"], "test split"),
        benchmarks={
            name: fitting_questions(questions, prompts, f"benchmark {name}") for name, questions in benchmarks.items()
        },
        decontamination=decontamination,
    )


def evaluated_questions(
    config: RunConfig, prompts: PromptBuilder, questions: Sequence[Question], name: str
) -> Sequence[Question]:
    """Return the questions of a held-out split to evaluate: those that fit, at most ``evaluation.questions``.

    Raises:
        ValueError: no question fits; the message names the split as ``name``.
    """
    fitting = fitting_questions(questions, prompts, name)
    if isinstance(config.data, GeneratedDataConfig):
        return fitting[: config.evaluation.questions]
    return choose(tuple(fitting), config.evaluation.questions, seed=0)  # files may be sorted by subject


def _decontaminated(
    data: DataConfig, splits: Mapping[str, Sequence[Question]], benchmarks: Mapping[str, Sequence[Question]]
) -> Decontaminated | None:
    """Remove held-out questions from the training questions; None if it is off, or for generated data."""
    if isinstance(data, GeneratedDataConfig) or data.decontamination.method == "off":
        return None
    train = splits["train"]
    held_out = {"development": splits["development"], "test": splits["test"], **benchmarks}
    found = decontaminate(train, held_out, data.decontamination)
    log.log(logging.WARNING if len(found.kept) < len(train) else logging.INFO, "%s", found.summary())
    if not found.kept:
        raise ValueError(
            f"data.decontamination.method={data.decontamination.method} leaves none of {len(train)} training "
            "questions: all of them are held out, or in a benchmark, too; give other data"
        )
    return found


def fitting_questions(questions: Sequence[Question], prompts: PromptBuilder, name: str) -> Sequence[Question]:
    """Return the questions within the token budget, and warn about the others.

    Raises:
        ValueError: none is within it; the message names the questions as ``name``.
    """
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
