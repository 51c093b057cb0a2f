"""Two evaluations compared: numbers by hand, what is refused, what is shown, and hostile texts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.cli import eval as eval_verb
from igrpo.cli import eval_against
from igrpo.cli.main import main
from igrpo.config import ConfigError
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.tools.evaluating import against
from igrpo.tools.evaluating.against import compare_evaluations
from igrpo.tools.evaluating.against_page import cells
from igrpo.tools.evaluating.pairing import common_questions
from igrpo.types import Question
from tests.evaluation.rows import rows
from tests.evaluations import DIGEST, SAMPLING, make_evaluation

FIRST = [[True, True, True], [True, True, False], [False] * 3, [True, False, True], [True] * 3]
SECOND = [[True, True, True], [False, False, True], [True, True, False], [False] * 3, [True] * 3]
#: Those of `make_evaluation`, and one more.
OTHERS = [*(Question(f"q{i}", f"What is q{i}?", "0") for i in range(5)), Question("more", "What is more?", "0")]
HOSTILE = "\x1b]0;title\x07\x1b[31mred\u202e `````\n# heading ``` | <script>"


def two(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    first = make_evaluation(tmp_path / "first", {"math": rows(FIRST)})
    return first, make_evaluation(tmp_path / "second", {"math": rows(SECOND)}, **changes)


def test_differences_by_hand(tmp_path: Path) -> None:
    (one,) = compare_evaluations(*two(tmp_path)).benchmarks
    assert one.samples == (3, 3)
    assert one.accuracies == (pytest.approx(10 / 15), pytest.approx(9 / 15))
    # by question 0, 1/3, -2/3, 2/3, 0
    assert one.paired.difference == pytest.approx(1 / 15)
    # 8 sets of signs of 1, 2, 2 thirds: sums 1, 3 and 5; all are at least as far from 0 as 1
    assert one.paired.p == 1.0
    assert [flip.question for flip in one.gained] == ["q3", "q1"]
    assert [flip.question for flip in one.lost] == ["q2"]
    assert one.questions["q2"].problem == "What is q2?"
    assert cells(one)[:5] == (
        "math",
        "5",
        "66.7",
        "60.0",
        f"+6.7 [{100 * one.paired.low:+.1f}, {100 * one.paired.high:+.1f}]",
    )


def test_holm_is_over_the_benchmarks(tmp_path: Path) -> None:
    won, lost = rows([[True]] * 6), rows([[False]] * 6)
    first = make_evaluation(tmp_path / "first", {"a": won, "b": won, "c": won})
    second = make_evaluation(tmp_path / "second", {"a": lost, "b": won, "c": lost, "d": won})
    found = compare_evaluations(first, second)
    assert [one.paired.p for one in found.benchmarks] == pytest.approx([1 / 32, 1, 1 / 32])
    assert [one.p_holm for one in found.benchmarks] == pytest.approx([3 / 32, 1, 3 / 32])
    assert found.notes == ("only one of them has d",)


def test_files_and_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two(tmp_path)
    assert eval_against.compare(first, second, ()) == 0
    shown = capsys.readouterr().out
    assert "gained: q3 (67 % right, second 0 %)" in shown
    assert "/runs/second, step 20" in shown
    (as_json,) = first.glob("against-second-*.json")
    assert as_json.with_suffix(".md").exists()
    written = json.loads(as_json.read_text())["benchmarks"]["math"]
    assert written["difference"] == pytest.approx(1 / 15)
    assert [(flip["question"], flip["right"][0] > flip["right"][1]) for flip in written["flips"]] == [
        ("q2", False),
        ("q3", True),
        ("q1", True),
    ]
    assert written["flips"][0]["second"]["answer"] == "0"
    eval_against.compare(first, second, ())
    assert len(list(first.glob("against-*"))) == 2


def test_texts_of_a_model_act_on_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hostile(samples: list[EvaluatedSample]) -> list[EvaluatedSample]:
        return [replace(one, text=HOSTILE, score=replace(one.score, answer=f"`{HOSTILE}")) for one in samples]

    questions = [Question(f"q{i}", HOSTILE, HOSTILE) for i in range(5)]
    first = make_evaluation(tmp_path / "first", {"math": hostile(rows(FIRST))}, questions=questions)
    second = make_evaluation(tmp_path / "second", {"math": hostile(rows(SECOND))}, questions=questions)
    eval_against.compare(first, second, ())
    (as_page,) = first.glob("*.md")
    for text in (capsys.readouterr().out, as_page.read_text()):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    fence = None
    for line in as_page.read_text().splitlines():  # the heading is never outside of a block
        if fence is None and line.startswith("```"):
            fence = line.removesuffix("text")
        elif line == fence:
            fence = None
        assert fence is not None or not line.startswith("# heading")
    assert fence is None


@pytest.mark.parametrize(
    ("changes", "part", "message"),
    [
        ({"protocol": 99}, "protocol", "protocol 1 and 99"),
        (
            {"digest": DIGEST | {"problems": "other"}, "questions": OTHERS},
            "questions",
            r"math has other problems \(5 questions and 5 questions\)",
        ),
        ({"prompt": {"name": "boxed"}}, "prompts", "prompt settings differ: name tiny and boxed"),
        (
            {"reward": {"name": "judge", "workers": 2}},
            "reward",
            "the reward of math differs: name math_verify and judge",
        ),
    ],
)
def test_other_measurements_are_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], part: Any, message: str
) -> None:
    first, second = two(tmp_path, **changes)
    with pytest.raises(ConfigError, match=f"{message}.*--allow-different {part}$"):
        eval_against.compare(first, second, ())
    with pytest.raises(ConfigError, match=message):
        eval_against.compare(
            first, second, [other for other in ("protocol", "questions", "prompts", "reward") if other != part]
        )  # type: ignore[misc]
    found = compare_evaluations(first, second, [part])
    assert len(found.notes) == 1
    assert found.benchmarks[0].paired.difference == pytest.approx(1 / 15)


def test_a_lone_surrogate_is_written_and_notes_are_no_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text may have half a character, and a setting brackets."""
    first, second = two(tmp_path, date="[red]x[/red] [/]")
    lines = (first / "samples" / "math.jsonl").read_text().replace('"text": "text"', '"text": "\\ud800"')
    (first / "samples" / "math.jsonl").write_text(lines)
    assert eval_against.compare(first, second) == 0
    assert "date in the prompts: 2026-01-01 and [red]x[/red] [/]" in capsys.readouterr().out
    (path,) = first.glob("against-*.json")
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values["benchmarks"]["math"]["flips"][0]["first"]["text"] == "\ud800"


def test_a_directory_of_someone_else_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(against, "write_json_atomic", refused)
    with pytest.raises(ConfigError, match=r"the comparison cannot be written into .*first: Permission denied"):
        eval_against.compare(*two(tmp_path))


def test_what_may_differ_is_said(tmp_path: Path) -> None:
    changes = {
        "sampling": SAMPLING | {"temperature": 1.0},
        "precision": "bf16-mixed",
        "engine": {"name": "vllm_server"},
    }
    first, second = two(tmp_path, **changes, reward={"name": "math_verify", "workers": 9})
    assert compare_evaluations(first, second).notes == (
        "math is sampled differently: temperature 0.6 and 1.0",
        "precision: 32-true and bf16-mixed",
        "engine: name local and vllm_server",
    )
    more = make_evaluation(tmp_path / "more", {"math": rows([row * 2 for row in FIRST])}, weights="first")
    found = compare_evaluations(first, more)
    assert found.notes == ("both have the same weights", "math is sampled differently: samples 3 and 6")
    assert found.benchmarks[0].samples == (3, 6)
    assert found.benchmarks[0].paired.difference == 0


def test_another_spelling_of_the_same_questions_is_no_difference(tmp_path: Path) -> None:
    """Ids that are hashes of the text differ with it: the questions are paired by their content."""
    asked = [Question(f"other{i}", f"What  is\n q{i}?", " 0") for i in range(5)]
    spelled = [replace(row, question=row.question.replace("q", "other")) for row in rows(SECOND)]
    first = make_evaluation(tmp_path / "first", {"math": rows(FIRST)})
    second = make_evaluation(
        tmp_path / "second", {"math": spelled}, questions=asked[::-1], digest={"ids": "j", "problems": "q"}
    )
    found = compare_evaluations(first, second)
    assert found.notes == (
        "math has the same questions, which are ordered or spelled differently (white space, case, LaTeX)",
    )
    (one,) = found.benchmarks
    assert (one.paired.questions, one.paired.difference) == (5, pytest.approx(1 / 15))
    assert [flip.question for flip in one.gained] == ["q3", "q1"]


def test_a_content_that_occurs_twice_is_paired_by_id() -> None:
    first = {name: Question(name, "Same?", "1") for name in ("a", "b")}
    second = {name: Question(name, " same? ", "1") for name in ("b", "c")}
    assert common_questions(first, second) == [("b", "b")]


def test_questions_that_both_have(tmp_path: Path) -> None:
    asked = [Question(f"q{i}", f"What is q{i}?", "0" if i else "another answer") for i in range(5)]
    first, second = two(tmp_path, digest={"ids": "j"}, questions=asked)
    (one,) = compare_evaluations(first, second, ["questions"]).benchmarks
    assert one.paired.questions == 4  # not q0: under its id the second has another answer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nothing", "is not the directory of an evaluation"),
        (lambda path: path / "first", "compared with itself"),
        (lambda path: make_evaluation(path / "x", {"other": rows(SECOND)}), "no benchmark in common: math and other"),
        (
            lambda path: make_evaluation(path / "x", {"math": rows(SECOND)}, finished=False),
            r"x has not finished math; to finish it: igrpo eval resume=",
        ),
    ],
)
def test_one_clear_error(tmp_path: Path, make: Any, message: str) -> None:
    first, _ = two(tmp_path)
    with pytest.raises(ConfigError, match=message):
        eval_against.compare(first, make(tmp_path), ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "b"], "give two evaluations, as in igrpo eval EVAL_DIR --against EVAL_DIR$"),
        (["a", "seed=1", "--against", "b", "--checkpoint", "best"], "not seed=1 --checkpoint"),
        (["a", "--allow-different", "reward"], "--allow-different is for --against"),
    ],
)
def test_arguments(arguments: list[str], message: str) -> None:
    asked = eval_verb.parser().read(arguments)
    assert asked is not None
    with pytest.raises(ConfigError, match=message):
        eval_verb.run(asked)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two(tmp_path, protocol=99)
    assert main(["eval", str(first), "--against", str(second)]) == 2
    assert capsys.readouterr().err.endswith("to compare them anyway: --allow-different protocol\n")
    assert main(["eval", str(first), "--against", str(second), "--allow-different", "protocol"]) == 0
    assert "protocol 1 and 99" in capsys.readouterr().out
