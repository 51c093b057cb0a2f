"""Splits of a data set, and the choice of questions by a hash of their ids."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from igrpo.seeding import derive_seed
from igrpo.types import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Splits:
    """Questions to train on, to choose settings and checkpoints by (``development``), and to report (``test``)."""

    train: Sequence[Question]
    development: Sequence[Question]
    test: Sequence[Question]


def choose(questions: Sequence[Question], limit: int | None, seed: int) -> tuple[Question, ...]:
    """Choose at most ``limit`` questions (None: all) by a hash of the seed and their ids, and keep their order."""
    if limit is None or limit >= len(questions):
        return tuple(questions)
    ranked = sorted(questions, key=lambda question: derive_seed("chosen", seed, question.id))
    chosen = {question.id for question in ranked[:limit]}
    return tuple(question for question in questions if question.id in chosen)


def hold_out(questions: Iterable[Question], development: float, test: float) -> Splits:
    """Split questions by a hash of their ids, independent of the other questions and of the order.

    The test split does not depend on the share of the development split.

    Raises:
        ValueError: a share is outside [0, 1), no question is left to train on, or a share holds out no question.
    """
    for name, share in (("development", development), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"data.{name}={share}: a share of the questions must be at least 0 and below 1")
    parts: dict[str, list[Question]] = {"train": [], "development": [], "test": []}
    for question in questions:
        place = derive_seed("held out", question.id) / 2**63
        split = "test" if place < test else "development" if place < test + development else "train"
        parts[split].append(question)
    total = sum(map(len, parts.values()))
    if not parts["train"]:
        raise ValueError(
            f"data.development={development} and data.test={test} leave none of {total} questions to train on"
        )
    for name, share in (("development", development), ("test", test)):
        if share > 0 and not parts[name]:
            raise ValueError(f"data.{name}={share} of {total} questions holds out none: raise it, or set it to 0")
    return Splits(tuple(parts["train"]), tuple(parts["development"]), tuple(parts["test"]))


def warn_of_overlap(splits: Splits) -> None:
    """Warn if training problems are also in a held-out split, word for word, which makes its accuracy meaningless."""
    problems = {question.problem.strip() for question in splits.train}
    for name, held_out in (("development", splits.development), ("test", splits.test)):
        count = sum(question.problem.strip() in problems for question in held_out)
        if count:
            log.warning("%d of %d %s problems are also training problems, word for word", count, len(held_out), name)
