"""The questions, without those that do not fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from igrpo.config import schema
from igrpo.data.sources import ChainSource, Fields, HubSource, JsonlSource, Source
from igrpo.prompts import PromptBuilder
from igrpo.types import Question

log = logging.getLogger(__name__)


def build_source(data: schema.DataConfig) -> Source:
    """The questions and their splits."""
    if isinstance(data, schema.ChainsDataConfig):
        return ChainSource(
            seed=data.seed, operations=data.operations, train=data.train, development=data.development, test=data.test
        )
    fields = Fields(**data.fields.model_dump())
    if isinstance(data, schema.JsonlDataConfig):
        return JsonlSource(data.path, fields, data.development, data.test)
    return HubSource(
        data.dataset,
        subset=data.subset,
        split=data.split,
        fields=fields,
        revision=data.revision,
        development=data.development,
        test=data.test,
    )


@dataclass(frozen=True, slots=True)
class FittingSource:
    """A source without the questions that are over their token budget."""

    train: Sequence[Question]
    development: Sequence[Question]
    test: Sequence[Question]


def fitting_source(source: Source, prompts: PromptBuilder, evaluated: int) -> FittingSource:
    """Leave out questions over their token budget, with a word in the log, and cut the held-out splits.

    Args:
        evaluated: the most questions that an evaluation asks.

    Raises:
        ValueError: a split has no question left.
    """
    return FittingSource(
        train=_fitting(source.train, prompts, "train"),
        development=_fitting(source.development, prompts, "development")[:evaluated],
        test=_fitting(source.test, prompts, "test")[:evaluated],
    )


def _fitting(questions: Sequence[Question], prompts: PromptBuilder, split: str) -> Sequence[Question]:
    kept = [question for question in questions if prompts.fits(question)]
    if not kept:
        raise ValueError(
            f"the {split} split has no question within prompt.max_question_tokens={prompts.max_question_tokens} "
            f"(of {len(questions)}); raise that limit, or data.{split}"
        )
    if len(kept) < len(questions):
        log.warning(
            "%d of %d %s questions are longer than prompt.max_question_tokens=%d and are left out",
            len(questions) - len(kept), len(questions), split, prompts.max_question_tokens,
        )  # fmt: skip
    return kept
