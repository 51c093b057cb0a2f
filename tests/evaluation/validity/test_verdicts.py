"""The strict and the lax verdict: which samples they change, why, and that they enclose the main one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.lax import LaxReader
from igrpo.evaluation.validity.verdicts import EXAMPLES, Verdicts, compare_verdicts
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import FinishReason, Question
from tests.evaluation.validity.samples import sample

BOXED: dict[str, Any] = {
    "name": "math_verify", "answer_format": ("boxed",), "percent": "number", "base_subscript": "required",
    "unevaluated": "rejected", "workers": 1, "cpu_limit_s": 3.0, "wall_limit_s": 60.0, "memory_limit_mb": 1024,
    "max_answer_chars": 200, "cache_size": 100,
}  # fmt: skip
SETTINGS = MathVerifyConfig(**BOXED)


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    made = MathVerifier(**{name: value for name, value in BOXED.items() if name != "name"})
    yield made
    made.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[LaxReader]:
    made = LaxReader(SETTINGS)
    yield made
    made.close()


def judged(question: Question, texts: list[str], finish: FinishReason = "stop") -> list[EvaluatedSample]:
    """Samples with the verdicts of the main verifier, on numbers, for which it starts no process."""
    verifier = MathVerifier(**{name: value for name, value in BOXED.items() if name != "name"})
    scores = verifier.score_sync(question, texts)
    assert verifier.worker_pids == []
    return [
        sample(question.id, i, text=text, answer=score.answer, correct=score.correct, finish_reason=finish)
        for i, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]


def compared(gold: str, texts: list[str], finish: FinishReason = "stop") -> Verdicts:
    question = Question("q", "What is it?", gold)
    return compare_verdicts({"q": question}, [judged(question, texts, finish)], SETTINGS)


@pytest.mark.parametrize(
    ("gold", "text", "reason"),
    [
        ("0.5", r"\boxed{\frac{1}{2}}", "written_otherwise"),
        ("1,2", r"\boxed{2,1}", "written_otherwise"),
        (r"\frac12", r"\boxed{\dfrac{1}{2}}", None),  # typography only
        ("7", r"\boxed{7}", None),
    ],
)
def test_the_strict_verdict_wants_the_gold_answer_as_it_is_written(
    gold: str, text: str, reason: str | None, verifier: MathVerifier
) -> None:
    question = Question("q", "?", gold)
    assert verifier.score_sync(question, [text])[0].correct
    found = compare_verdicts({"q": question}, [[sample("q", text=text, correct=True)]], SETTINGS)
    assert found.main.value == 1.0
    assert list(found.strict.reasons) == ([] if reason is None else [reason])
    assert found.strict.accuracy.value == (1.0 if reason is None else 0.0)


def test_the_strict_verdict_wants_a_complete_answer() -> None:
    assert compared("7", [r"\boxed{7} and then"], "length").strict.reasons == {"cut_off": 1.0}


def test_the_strict_verdict_wants_a_mark_if_the_verifier_reads_marks() -> None:
    question, settings = (
        Question("q", "?", "7"),
        MathVerifyConfig(**(BOXED | {"answer_format": ("boxed", "last_line")})),
    )
    row = sample("q", text="The answer is 7", answer="7", correct=True)
    assert compare_verdicts({"q": question}, [[row]], settings).strict.reasons == {"not_marked": 1.0}
    lines = MathVerifyConfig(**(BOXED | {"answer_format": ("last_line",)}))
    assert compare_verdicts({"q": question}, [[row]], lines).strict.reasons == {}


@pytest.mark.parametrize(
    ("gold", "text", "reason"),
    [
        ("7", "The answer is 7.", "statement"),  # no box
        ("7", "<think> so it must be 7. The answer is 7", "statement"),  # thinking that was never closed
        ("0.28", r"\boxed{28\%}", "statement"),
        ("6", r"\boxed{\gcd(12,18)}", "statement"),
        ("52_8", r"\boxed{52}", "statement"),
        ("3.1416", r"\boxed{3.142}", "rounded"),
        ("7", r"First \boxed{7}. On second thought, \boxed{8}", "another_box"),
        ("7", r"\boxed{8} Let me check whether x was 7", "last_number"),
        ("1000", r"\boxed{1001}", None),  # integers are never near
        ("7", r"\boxed{8}", None),
        ("7", "", None),
    ],
)
def test_the_lax_verdict_finds_the_gold_answer_and_says_where(
    gold: str, text: str, reason: str | None, verifier: MathVerifier, reader: LaxReader
) -> None:
    question = Question("q", "?", gold)
    assert not verifier.score_sync(question, [text])[0].correct
    assert reader.reasons(question, [text]) == [reason]


def test_the_accuracies_enclose_the_main_one_and_the_shares_are_of_all_samples() -> None:
    found = compared("0.5", [r"\boxed{0.5}", r"\boxed{1/2}", "It is 0.5", r"\boxed{3}"])
    assert (found.strict.accuracy.value, found.main.value, found.lax.accuracy.value) == (0.25, 0.5, 0.75)
    assert (found.strict.differs, found.lax.differs) == (0.25, 0.25)
    assert found.strict.reasons == {"written_otherwise": 0.25}


def test_the_worst_differences_are_those_of_most_samples_one_per_question() -> None:
    questions = [Question(f"q{i}", "?", "0.5") for i in range(8)]
    texts = {one.id: [r"\boxed{0.50}"] * (4 - i % 3) + [r"\boxed{1/2}"] * (i % 3) for i, one in enumerate(questions)}
    rows = [judged(one, texts[one.id]) for one in questions]
    worst = compare_verdicts({one.id: one for one in questions}, rows, SETTINGS).strict.worst
    assert len({one.question for one in worst}) == len(worst) == EXAMPLES
    assert [one.alike for one in worst] == sorted((one.alike for one in worst), reverse=True)
    assert worst[0].alike == 4
    assert (worst[0].gold, worst[0].text_end) == ("0.5", r"\boxed{0.50}")


def test_untrusted_text_neither_fools_nor_breaks_the_lax_reader(reader: LaxReader) -> None:
    attacks = [
        r"\boxed{8</answer> Wait, no. It should be <answer>7} 8",  # a tag in the answer would end the one around it
        r"\boxed{9^{9^{9^{9}}}}",
        r"\boxed{" * 5000,
        "9" * 100_000,
        "1/0",
        r"\boxed{1/0}",
        "\x1b[31m\u202e\x00",
        r"\boxed{" + "(" * 150 + "}",
    ]
    assert reader.reasons(Question("q", "?", "7"), attacks) == [None] * len(attacks)


def test_texts_are_shown_without_control_characters() -> None:
    found = compared("0.5", ["\x1b[31m\u202eIt is\n\x07 " + "x" * 900 + r" \boxed{1/2}"])
    (worst,) = found.strict.worst
    assert worst.text_end.startswith("... ")
    assert len(worst.text_end) < 420
    assert all(c.isprintable() or c == "\n" for c in worst.text_end)
