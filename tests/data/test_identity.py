"""A benchmark is recognized by its content, in any order and spelling, and a changed one is refused."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from igrpo.data.identity import content_digest
from igrpo.data.sources import read_benchmark
from igrpo.settings.benchmark import BenchmarkConfig
from igrpo.types import Question
from tests.data.making import names
from tests.data.messages import says

ROWS = [("What is $1+1$?", "2"), ("Find \\frac{1}{2} of 10.", "5"), ("An angle?", "73")]


def digest(*rows: tuple[str, str]) -> str:
    return content_digest([Question(f"{i}", problem, answer) for i, (problem, answer) in enumerate(rows)])


def test_the_digest_is_that_of_the_sorted_normalised_rows() -> None:
    """By hand: words in lower case without spaces, dollars and braces; a row is its problem and its answer, a line each."""
    rows = ["anangle\n73\n", "findfrac1 2of10\n5\n", "whatis1+1\n2\n"]
    assert digest(*ROWS) == hashlib.sha256("\n".join(rows).encode()).hexdigest()


def test_order_and_spelling_make_no_difference() -> None:
    shuffled = list(ROWS)
    random.Random(0).shuffle(shuffled)
    assert shuffled != ROWS
    assert digest(*shuffled) == digest(*ROWS)
    other = [("what  is\n1 + 1 ?", "2.0"), ("Find $\\dfrac12$ of 10", "$5$"), ("An angle?", "073^\\circ")]
    assert digest(*other) == digest(*ROWS)


@pytest.mark.parametrize(
    "changed",
    [
        [*ROWS, ROWS[0]],
        ROWS[:2],
        [("What is $1-1$?", "2"), *ROWS[1:]],
        [("What is $1+1$?", "3"), *ROWS[1:]],
        [("What is $1+1$?", "-2"), *ROWS[1:]],
        [("What is $1+1$?", "5"), ("Find \\frac{1}{2} of 10.", "2"), ROWS[2]],  # answers swapped
        [*ROWS[:2], ("An angle?", "730")],
        [*ROWS[:2], ("An angle?", "7.3")],
    ],
)
def test_content_makes_a_difference(changed: list[tuple[str, str]]) -> None:
    assert digest(*changed) != digest(*ROWS)


def test_fractions_and_signs_of_answers() -> None:
    assert digest(("p", r"\frac{1}{23}")) != digest(("p", r"\frac{12}{3}"))
    assert digest(("p", "[]")) != digest(("p", "{}"))
    assert digest(("p", "0")) != digest(("p", ""))


def benchmark(folder: Path, rows: int | None, expected: str | None) -> BenchmarkConfig:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps({"problem": problem, "answer": answer}) + "\n" for problem, answer in ROWS))
    return BenchmarkConfig(
        dataset=str(path),
        subset=None,
        revision=None,
        split="test",
        fields=names(),
        samples=1,
        rows=rows,
        digest=expected,
    )


@pytest.mark.parametrize(("rows", "known"), [(None, False), (3, False), (None, True), (3, True)])
def test_what_was_expected_is_read(rows: int | None, known: bool, tmp_path: Path) -> None:
    assert len(read_benchmark("own", benchmark(tmp_path, rows, digest(*ROWS) if known else None))) == 3


@pytest.mark.parametrize(("rows", "expected"), [(4, None), (3, "0" * 64), (4, "0" * 64), (None, "0" * 64)])
def test_a_changed_data_set_is_refused_with_what_was_found(
    rows: int | None, expected: str | None, tmp_path: Path
) -> None:
    one, section = benchmark(tmp_path, rows, expected), "evaluation.benchmarks.own"
    found = f"{section}.rows=3 {section}.digest={digest(*ROWS)}"
    given = {"rows": rows, "digest": expected}
    wanted = " and ".join(f"{section}.{name}={value}" for name, value in given.items() if value is not None)
    start = (
        f"{section}.dataset={one.dataset} is not the data set that was expected by {wanted}: it has 3 questions with"
    )
    with pytest.raises(ValueError, match=says(start, digest(*ROWS), found)):
        read_benchmark("own", one)
    accepted = one.model_copy(update={"rows": 3, "digest": digest(*ROWS)})  # as the message says
    assert len(read_benchmark("own", accepted)) == 3
