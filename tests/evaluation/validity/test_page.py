"""The page, the entry and the lines of the checks: they say what the checks found, and untrusted text stays text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.console import lines
from igrpo.evaluation.validity.contamination import Completed, Contamination, contamination, cut, fewest_words
from igrpo.evaluation.validity.page import baseline, conclusion, page
from igrpo.evaluation.validity.result import Checks, Validity, free_checks
from igrpo.evaluation.validity.sensitivity import Sensitivity, sensitivity
from igrpo.types import Question
from tests.evaluation.validity.samples import sample
from tests.evaluation.validity.test_verdicts import SETTINGS

QUESTION, EASY = Question("q", "What?", "0.5"), Question("r", "And?", "3")


def rows(text: str = r"\boxed{1/2}") -> list[EvaluatedSample]:
    """Two questions of two samples: three right, one of them written otherwise, and one wrong."""
    return [
        sample("q", 0, text=text, answer="1/2", correct=True, logprob=-0.1),
        sample("q", 1, text=r"\boxed{7}", answer="7", correct=False, logprob=-0.9),
        sample("r", 0, text=r"\boxed{3}", answer="3", correct=True, logprob=-0.2),
        sample("r", 1, text=r"\boxed{3}", answer="3", correct=True, logprob=-0.2),
    ]


def checked_rows(given: list[EvaluatedSample]) -> Checks:
    return free_checks([QUESTION, EASY], given, SETTINGS)


def checked(text: str = r"\boxed{1/2}") -> Checks:
    return free_checks([QUESTION, EASY], rows(text), SETTINGS)


def varied() -> Sensitivity:
    names = [f"q{i}" for i in range(6)]
    return sensitivity({"prompt=a": {name: [False] for name in names}, "prompt=b": {name: [True] for name in names}})


def probed(older: int, newer: int) -> Contamination:
    """Of ten problems each, this many are reproduced."""
    sides = [
        [Completed(f"q{i}", i < n, i < n, 0.5, "shown", "hidden words", "given") for i in range(10)]
        for n in (older, newer)
    ]
    left_out = {"old": 3, "new": 0}
    return contamination({"old": sides[0]}, {"new": sides[1]}, left_out=left_out, shown=0.5, words=8)


def test_the_free_checks_are_those_of_the_samples() -> None:
    found = checked()
    assert found.verdicts is not None
    assert (found.verdicts.strict.accuracy.value, found.verdicts.main.value) == (0.5, 0.75)
    # agreement: 1/2, 1/2, 1, 1 with the verdicts 1, 0, 1, 1: no error in either bin
    assert found.calibration["agreement"].ece.value == 0.0
    assert set(found.calibration) == {"agreement", "token_probability"}


def test_samples_without_an_answer_are_counted() -> None:
    silent = [sample("q", i, text="It is 0.5") for i in range(2)]
    found = Validity({"test": free_checks([QUESTION], silent, SETTINGS)})
    assert lines(found)[0] == (
        "verdict: 0.0 % right, 0.0 % by a stricter and 100.0 % by a laxer one; 100.0 % of the samples without an answer"
    )
    assert "answer: none was found" in page(found)


def test_samples_without_an_answer_have_their_row() -> None:
    silent = [sample("q", 0, text="?"), *rows()[1:]]
    assert "| 0.000 to 0.000, no answer | 0.000 | 0.0 % | 1 |" in page(Validity({"test": checked_rows(silent)}))
    assert "no answer |" not in page(Validity({"test": checked()}))


def test_without_the_rule_verifier_there_are_no_other_verdicts() -> None:
    found = free_checks([QUESTION, EASY], rows(), None)
    assert found.verdicts is None
    assert "Another reward than the rule verifier" in page(Validity({"test": found}))
    assert not any(line.startswith("verdict") for line in lines(Validity({"test": found})))


def test_the_entry_is_plain_json() -> None:
    validity = Validity({"test": replace(checked(), sensitivity={"prompt": varied()})}, probed(5, 0))
    entry = json.loads(json.dumps(validity.entry(), allow_nan=False))
    assert entry["benchmarks"]["test"]["verdicts"]["strict"]["reasons"] == {"written_otherwise": 0.25}
    assert entry["benchmarks"]["test"]["sensitivity"]["prompt"]["baseline"]["variant"] == "prompt=b"
    assert entry["contamination"]["older"]["old"]["exact"]["value"] == 0.5


def test_the_page_has_every_check() -> None:
    text = page(Validity({"test": replace(checked(), sensitivity={"prompt": varied()})}, probed(5, 0)))
    assert "| stricter | 50.0 % [" in text
    assert (
        "25.0 % (1 of 4 samples) | 1 sample: the answer equals the gold answer, but is written in another way" in text
    )
    assert "gold answer: 0.5\nanswer: 1/2\nend: \\boxed{1/2}" in text
    assert "### Calibration: agreement" in text
    assert "### Calibration: token probability" in text
    assert "Best on half of the questions: `prompt=b`; on the other 3 it has 100.0 %" in text
    assert "old: 3 problems of too few words left out." in text
    assert "| old | older | 10 | 50.0 % [" in text


def test_what_a_model_wrote_cannot_end_its_block() -> None:
    text = page(Validity({"test": checked("```\n# Heading\n````\n\x1b[2J<script> \\boxed{1/2}")}))
    assert "`````text" in text
    assert "\x1b" not in text


def test_there_are_three_lines_at_most_of_the_worst_benchmark() -> None:
    good = free_checks([EASY], rows()[2:], SETTINGS)
    several = Validity(
        {"easy": good, "hard": replace(checked(), sensitivity={"prompt": varied(), "temperature": varied()})},
        probed(5, 0),
    )
    found = lines(several)
    assert len(found) == 3
    assert found[0] == (
        "verdict: 75.0 % right, 50.0 % by a stricter and 75.0 % by a laxer one (hard, where they differ most)"
    )
    assert found[2] == (
        "prompts differ by 100.0 points of accuracy, chance included (hard), best on half of the questions: prompt=b; "
        "temperatures differ by 100.0 points of accuracy, chance included (hard), best on half of the questions: "
        "prompt=b; problems completed word for word, at most per benchmark: 50.0 % of older and 0.0 % of newer"
    )
    assert len(lines(Validity({"hard": checked()}))) == 2


@pytest.mark.parametrize(
    ("older", "newer", "says"), [(9, 0, "a sign that the model has seen it"), (1, 0, "No sign"), (0, 9, "No sign")]
)
def test_the_conclusion_is_that_of_the_interval(older: int, newer: int, says: str) -> None:
    assert says in conclusion(probed(older, newer))


def test_nothing_is_concluded_from_one_side() -> None:
    one = replace(probed(5, 0), newer={}, difference=None)
    assert "nothing can be said" in conclusion(one)


def test_problems_of_a_word_cannot_be_probed() -> None:
    none = contamination({"old": []}, {}, left_out={"old": 5}, shown=0.5, words=8)
    # half of 8 words are the 4 hidden ones that a problem needs, and of 7 only 3
    says = (
        "o problem of old has the 8 words that the probe for contamination needs at evaluation.contamination.shown=0.5"
    )
    assert f"## Contamination\n\nN{says}.\n" in page(Validity({}, none))
    assert lines(Validity({}, none)) == [f"n{says}"]
    assert none.too_short == ("old",)
    assert probed(1, 1).too_short == ()


def test_a_setting_without_another_value_is_said() -> None:
    found = Validity({}, not_compared=("prompts were not compared: why",))
    assert lines(found) == ["prompts were not compared: why"]
    assert "## Sensitivity\n\nPrompts were not compared: why.\n" in page(found)


@pytest.mark.parametrize("shown", [0.01, 0.2, 0.5, 0.77, 0.95])
def test_the_number_of_words_that_is_enough_is_the_smallest(shown: float) -> None:
    words = fewest_words(shown)
    assert cut(" ".join("w" * words), shown) is not None
    assert all(cut(" ".join("w" * fewer), shown) is None for fewer in range(words))
    assert all(cut(" ".join("w" * more), shown) is not None for more in range(words, words + 50))


def test_the_baseline_says_if_the_choice_is_uncertain() -> None:
    found = varied()
    assert found.baseline is not None
    uncertain = replace(found, baseline=replace(found.baseline, other_choice="prompt=c"))
    assert "(on the other half it would be `prompt=c`)" in baseline(uncertain)
    assert "on the other half" not in baseline(found).replace("on the other 3", "")
