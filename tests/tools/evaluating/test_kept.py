"""Kept samples: those of another evaluation are refused, and the order in which they ended does not matter."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.evaluation.sampler import sample_seed
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.store import SampleFile
from igrpo.tools.evaluating.kept import in_order, open_samples
from igrpo.types import Question
from tests.evaluation.rows import row

SEED = 5
QUESTIONS = [Question("q1", "1", "1"), Question("q0", "0", "0")]


def drawn(question: str, index: int, kind: str = "single_shot") -> EvaluatedSample:
    made = row(question, index, right=True, kind=kind)
    return replace(made, seed=sample_seed(SEED, question, kind, index))


KINDS = ("greedy", "refine/round_1", "single_shot")
OWN = [drawn(name, 0, kind) for name in ("q1", "q0") for kind in KINDS]


def test_the_own_samples_are_read(tmp_path: Path) -> None:
    SampleFile(tmp_path / "x.jsonl").add(OWN)
    assert list(open_samples(tmp_path / "x.jsonl", QUESTIONS, {"single_shot": 1}, SEED).samples.values()) == OWN
    assert len(open_samples(tmp_path / "new.jsonl", QUESTIONS, {"single_shot": 1}, SEED)) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"question": "q9"}, "the question is not evaluated"),
        ({"index": 1}, "there are only 1 samples of this kind"),
        ({"seed": 1}, r"it was drawn with another seed \(1\)"),
    ],
)
def test_a_sample_of_another_evaluation_is_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = tmp_path / "x.jsonl"
    SampleFile(path).add([*OWN[:-1], replace(OWN[-1], **changes)])
    with pytest.raises(ValueError, match=rf"x\.jsonl: sample .* is not of this evaluation: {why}\. Remove its line"):
        open_samples(path, QUESTIONS, {"single_shot": 1, "greedy": 1}, SEED)


def test_the_order_is_that_of_the_questions() -> None:
    shuffled = random.Random(0).sample(OWN, len(OWN))
    assert in_order(shuffled, QUESTIONS) == OWN
