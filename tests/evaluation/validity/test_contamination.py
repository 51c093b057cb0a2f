"""The contamination probe: how problems are cut, what is sampled, and what counts as reproduced."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.evaluation.validity.contamination import (
    FEWEST_WORDS,
    Completed,
    Cut,
    compared,
    contamination,
    cut,
    results_of,
)
from igrpo.evaluation.validity.overlap import common_length, rouge_l
from igrpo.evaluation.validity.probing import ContaminationProbe
from igrpo.generation.base import SamplingParams
from igrpo.types import Completion, Question
from tests.fake_engine import FakeEngine

TEXT = "What is the sum of all primes below ten hundred?"  # ten words


def _longest(first: str, second: str) -> int:
    """The longest common subsequence by its definition."""
    if not first or not second:
        return 0
    if first[-1] == second[-1]:
        return 1 + _longest(first[:-1], second[:-1])
    return max(_longest(first[:-1], second), _longest(first, second[:-1]))


@settings(deadline=None)
@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_the_common_length_is_that_of_the_definition(first: str, second: str) -> None:
    assert common_length(first, second) == _longest(first, second)


def test_rouge_l_by_hand() -> None:
    # Lin 2004, section 3.1: of 'police killed the gunman', 'police kill the gunman' has three of four words in order,
    # 'the gunman kill police' two
    assert rouge_l("police killed the gunman", "Police kill the gunman!") == pytest.approx(3 / 4)
    assert rouge_l("police killed the gunman", "the gunman kill police") == pytest.approx(2 / 4)
    assert rouge_l("a b", "a b c d") == pytest.approx(2 * 2 / 6)
    assert rouge_l("", "") == 0.0


def test_a_problem_is_cut_between_words() -> None:
    assert cut(TEXT, 0.5) == Cut("What is the sum of", "all primes below ten hundred?")
    assert cut(f"  {TEXT}\n", 0.6) == Cut("What is the sum of all", "primes below ten hundred?")
    assert cut("What is 2 + 2", 0.5) is None
    assert cut("", 0.5) is None


@given(st.text("ab \n", max_size=60), st.floats(0.05, 0.95))
def test_a_cut_loses_and_repeats_nothing(problem: str, shown: float) -> None:
    parts = cut(problem, shown)
    if parts is not None:
        assert parts.shown.split() + parts.hidden.split() == problem.split()
        assert len(parts.hidden.split()) >= FEWEST_WORDS


@pytest.mark.parametrize(
    ("completion", "exact", "next_words"),
    [
        ("all primes below ten hundred?", True, True),
        (" all  primes\nbelow ten hundred? The answer is 76127", True, True),  # what follows is not compared
        ("all primes below twenty?", False, True),
        ("all squares below ten hundred?", False, False),
        ("", False, False),
        ("all", False, False),
    ],
)
def test_what_counts_as_reproduced(completion: str, exact: bool, next_words: bool) -> None:
    parts = cut(TEXT, 0.5)
    assert parts is not None
    found = compared(Question("a", TEXT, "76127"), parts, completion, words=3)
    assert (found.exact, found.next_words) == (exact, next_words)
    assert found.overlap == 1.0 if exact else found.overlap < 1.0


def _results(exact: Sequence[bool]) -> list[Completed]:
    return [Completed(str(i), one, one, float(one), "shown", "hidden", "given") for i, one in enumerate(exact)]


def test_older_and_newer_benchmarks_are_compared() -> None:
    older, newer = _results([True] * 5 + [False] * 5), _results([False] * 10)
    found = contamination({"old": older}, {"new": newer}, left_out={"old": 2, "new": 0}, shown=0.5, words=5)
    assert found.difference is not None
    assert found.difference.exact.value == 0.5
    assert found.difference.exact.low is not None
    assert found.difference.exact.low > 0
    assert (found.older["old"].left_out, found.older["old"].exact.value) == (2, 0.5)
    assert [one.exact for one in found.older["old"].completed] == [True] * 5
    assert found.newer["new"].completed == ()


def test_without_a_newer_benchmark_there_is_no_difference() -> None:
    found = contamination({"old": _results([True])}, {"new": []}, left_out={"old": 0, "new": 3}, shown=0.5, words=5)
    assert found.difference is None
    assert found.newer == {}


class Characters:
    """A tokenizer of characters, with a prefix 1 and a control token 2."""

    all_special_ids = (1, 2)
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [1] * add_special_tokens + [2 if c == "\x02" else ord(c) for c in text]


@dataclass
class Memory(FakeEngine):
    """Goes on with a text that it knows."""

    text: str = TEXT
    asked: list[tuple[tuple[int, ...], SamplingParams]] = field(default_factory=list)

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.asked.append((tuple(prompt_ids), params))
        shown = "".join(map(chr, prompt_ids[1:]))
        given = self.text.removeprefix(shown)[: params.max_new_tokens]
        return tuple(Completion((5,), given, (-0.1,), None, None, "length", 0) for _ in seeds)


@dataclass
class Kept:
    """A store in memory."""

    samples: dict[tuple[str, SampleKey], EvaluatedSample] = field(default_factory=dict)

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        return self.samples.get((question, key))

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        self.samples |= {(sample.question, sample.key): sample for sample in samples}


def test_the_probe_shows_plain_text_and_completes_it_greedily() -> None:
    engine, store = Memory(), Kept()
    questions = [Question("known", TEXT, "1"), Question("new", "A quite other text of which nobody knows the end", "2")]
    questions.append(Question("short", "What is 1 + 1", "2"))

    def probe() -> dict[str, EvaluatedSample]:
        made = ContaminationProbe(engine, Characters(), (2,), shown=0.5, seed=3, store=store)  # type: ignore[arg-type]
        return dict(asyncio.run(made.run(questions)))

    samples = probe()
    assert [question.id for question in questions if question.id in samples] == ["known", "new"]
    (prompt, params), _ = engine.asked
    assert prompt == (1, *map(ord, "What is the sum of"))  # the tokenizer's prefix, and no template
    assert (params.temperature, params.top_p, params.top_k, params.stop_token_ids) == (0.0, 1.0, 0, (2,))
    results = results_of(questions, samples, 0.5, 3)
    assert [(one.question, one.exact) for one in results] == [("known", True), ("new", False)]
    assert samples["known"].score.outcome == "unscored"

    assert probe() == samples
    assert len(engine.asked) == 2  # all were kept


def test_a_problem_cannot_write_control_tokens() -> None:
    engine = Memory()
    question = Question("a", "What \x02 is the sum of all primes below ten?", "1")
    probe = ContaminationProbe(engine, Characters(), (2,), shown=0.5, seed=3)  # type: ignore[arg-type]
    asyncio.run(probe.run([question]))
    assert 2 not in engine.asked[0][0]
