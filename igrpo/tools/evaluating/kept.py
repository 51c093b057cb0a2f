"""The kept samples of a benchmark: a check that they are its own, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from igrpo.evaluation.sampler import sample_seed
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.store import SampleFile
from igrpo.types import Question


def open_samples(path: Path, questions: Sequence[Question], kinds: Mapping[str, int], seed: int) -> SampleFile:
    """Open the file of samples, and check that an evaluation with these questions has drawn all of them.

    Args:
        path: the file; it is made if it does not exist.
        questions: the evaluated questions.
        kinds: number of samples per question by kind; of kinds that are not in it, there may be any number.
        seed: the evaluation's seed.

    Raises:
        ValueError: a sample is none of this evaluation, or a line is none of a sample.
    """
    file = SampleFile(path)
    known = {question.id for question in questions}
    for sample in file.samples.values():
        if sample.question not in known:
            why = "the question is not evaluated"
        elif sample.index >= kinds.get(sample.kind, sample.index + 1):
            why = f"there are only {kinds[sample.kind]} samples of this kind"
        elif sample.seed != sample_seed(seed, sample.question, sample.kind, sample.index):
            why = f"it was drawn with another seed ({sample.seed})"
        else:
            continue
        raise ValueError(
            f"{path}: sample {sample.index} of kind {sample.kind!r} of question {sample.question!r} is not of this "
            f"evaluation: {why}. Remove its line, or start a new evaluation"
        )
    return file


def in_order(samples: Iterable[EvaluatedSample], questions: Sequence[Question]) -> list[EvaluatedSample]:
    """Return samples in the order of the questions, kinds and indices: that of the file is the one of their ends."""
    places = {question.id: place for place, question in enumerate(questions)}
    return sorted(samples, key=lambda sample: (places[sample.question], *sample.key))
