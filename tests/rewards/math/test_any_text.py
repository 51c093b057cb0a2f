"""Whatever a model writes, nothing raises; whatever else fails costs one completion its verdict, and no more."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from igrpo.rewards.math import verifier as steps
from igrpo.rewards.math.extraction import ANSWER_FORMATS, extract_answer
from igrpo.rewards.math.guard import magnitude, refusal
from igrpo.rewards.math.last_step import answer_differs
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.verifier import MathVerifier
from tests.rewards.helpers import question, rows, unrolled

FRAGMENTS = (
    "**", "*", "^", "^{", "_", "_{", "!", "!!", ".", "..", "...", "-", "+", "/", "|", "=", "<", ">", "(", ")", "[", "]",
    "{", "}", "\\{", "\\}", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\\\", "\\", "%", "&", "#", "~", ",", ";", ":", "'",
    "0", "1", "7", "10", "99", ".5", "3.", "1,000", "1e5", "1e99999", "x", "y", "n", "i", "e", "\\pi", "\\infty",
    "\\frac", "\\frac{1}{2}", "\\frac12", "\\sqrt", "\\sqrt[3]", "\\sum_{k=1}^", "\\int_0^1", "\\prod", "\\lim", "\\log_",
    "\\boxed{", "\\boxed", "\\text{", "\\text{and}", "\\left(", "\\right)", "\\begin{pmatrix}", "\\end{pmatrix}", "\\ldots",
    "\\cup", "\\in", "\\leq", "\\pm", "\\cdot", "\\times", "^\\circ", "\\overline{", "\\mathbb{R}", "\\uparrow",
    " ", "\n", "\n\n", "\t", "the answer is ", "Answer: ", "**Answer:** ", "true", "# ", "- ", "`", "```", "| --- |",
    "<think>", "</think>", "<answer>", "</answer>", "#### ", "²", "₁", "½", "√", "≤", "−", "×", "·", "٣", "１", "答案", "🎉",
    "\u200b", "\u00a0", "\x00", "\ud800",
)  # fmt: skip
written = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
any_text = st.one_of(st.text(max_size=60), written, st.builds("{}{}{}".format, written, st.text(max_size=10), written))


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    made = MathVerifier(workers=2, cpu_limit_s=1.0, memory_limit_mb=2048)
    yield made
    made.close()


@given(any_text)
@settings(max_examples=500, deadline=None)
def test_no_step_before_the_workers_raises(text: str) -> None:
    answer_differs(text)
    answer = extract_answer(text, ANSWER_FORMATS)
    for found in (text, answer or ""):
        assert magnitude(normalise(found)) >= 0
        refusal(normalise(found), 4000)


@given(any_text)
@settings(max_examples=500, deadline=None)
def test_the_guard_takes_text_that_nobody_normalised(text: str) -> None:
    assert magnitude(text) >= 0
    refusal(text, 4000)


@given(any_text, any_text)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_gold_and_no_completion_crash(verifier: MathVerifier, gold: str, text: str) -> None:
    texts = [text, f"\\boxed{{{text}}}", f"<answer>{text}</answer>"]
    scores = verifier.score_sync(question(gold), texts)
    assert len(scores) == 3
    assert "crashed" not in {score.outcome for score in scores}


@pytest.mark.parametrize(
    "text",
    [
        "So the statement is **true**. This completes the proof",
        r"\boxed{x^{.}}",
        r"\boxed{2**.}",
        r"\boxed{(.)!}",
        r"\boxed{x^{²}}",
        r"\boxed{x^{..5.}}",
        r"\boxed{٣!}",
        r"\boxed{" + "}" * 300 + "^{" * 300,
        "^" * 3000,
        "!" * 3000,
    ],
)
def test_what_used_to_raise_or_might(verifier: MathVerifier, text: str) -> None:
    (score,) = verifier.score_sync(question("x^2"), [text])
    assert (score.value, score.outcome == "crashed") == (0.0, False)


TEMPLATES = (
    "{}", "**{}**", "The answer is **{}**.", "## Answer\n\n{}", "# Solution\nWe compute. \n\n**Final Answer:** {}\n",
    "```\n{}\n```", "```python\nprint({})\n```", "`{}`", "✅ The answer is {} 🎉", "\\boxed{{{}}}", "\\boxed{{{}",
    "So $\\boxed{{{}}}$ it is.", "\\boxed{{{}}} no, \\boxed{{8}}", "<think>perhaps {}", "<think>hm</think>\n{}",
    "<think>\\boxed{{{}}}", "<answer>{}</answer>", "<answer>{}", "1. first\n2. second\n3. {}", "- a\n- b\n- **{}**",
    "| x | y |\n|---|---|\n| 1 | {} |", "答案是 {}。", "よって、{} である。", "Ответ: {}", "$${}$$", "\\[{}\\]", "\\({}\\)",
    "x = {}", "Therefore, $x = {}$, as claimed. This completes the proof", "#### {}", "{}\n\nI hope it is correct.",
    "\\text{{{}}}", "{} is **true**. **Not** {}", "2**{}", "x^{{{}}}", "{}!", "({}", "{})", "\\frac{{{}}}{{2}}", "\\sqrt {}",
    "{} {}", "{}, {}", "({}, {})", "{}\\%", "\\${}", "-{}", "{}^2", "{}_2", "***{}***\n---\n", "> {}",
)  # fmt: skip
FILLERS = (
    "7", "x^{.}", ".", "..", "**", "true", "70,000", "1/2", "\\frac{1}{2}", "2**10", "2**.", "x**", "{}", "", " ", "\\",
    "\\frac", "^", "!", "x!", "½", "√2", "3²", "一百", "🙂", "(1,2]", "\\{1,2\\}", "x<3", "a:b", "4:30", "π", "1e400", "--1",
    "0.\\overline{3}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\text{no", "12 cm", "$5", "A", "٣",
)  # fmt: skip


def test_two_thousand_outputs_of_models_are_all_scored(verifier: MathVerifier) -> None:
    outputs = [template.replace("{{", "{").replace("}}", "}").replace("{}", filler)
               for template, filler in itertools.product(TEMPLATES, FILLERS)]  # fmt: skip
    assert len(outputs) == 2000
    outcomes: Counter[str] = Counter()
    for i, gold in enumerate(("7", "x^2", r"\text{true}", r"\frac{1}{2}", "(1,2]")):
        outcomes.update(score.outcome for score in verifier.score_sync(question(gold), outputs[i::5]))
    assert outcomes.total() == 2000
    assert outcomes["crashed"] == 0
    assert min(outcomes[kind] for kind in ("right", "wrong", "unparsable")) > 0  # they reach every step


def test_no_stress_input_crashes_or_fools_it(verifier: MathVerifier) -> None:
    for row in rows("stress.jsonl"):
        (score,) = verifier.score_sync(question(unrolled(row["gold"])), [unrolled(row["prediction"])])
        assert score.outcome != "crashed", row["id"]
        assert row["expected"] is not False or score.value == 0.0, row["id"]


@pytest.mark.parametrize("step", ["extract_answer", "normalise", "parse_number", "refusal"])
@pytest.mark.parametrize("error", [ValueError("could not convert"), RecursionError("too deep"), MemoryError()])
def test_a_step_that_raises_costs_one_completion_its_verdict(
    step: str, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    real = getattr(steps, step)

    def fails(text: str, *rest: Any) -> Any:
        if "zzz" in text:
            raise error
        return real(text, *rest)

    monkeypatch.setattr(steps, step, fails)
    verifier = MathVerifier(workers=1, incident_dir=tmp_path)
    texts = [r"\boxed{2x}", r"so \boxed{zzz+1}", r"\boxed{x+x}"]
    with caplog.at_level(logging.WARNING, logger="igrpo.rewards.math.verifier"):
        scores = verifier.score_sync(question("2x"), texts)
    verifier.close()
    assert [score.outcome for score in scores] == ["right", "crashed", "right"]
    assert (scores[1].value, scores[1].correct) == (0.0, None)
    assert verifier.counts["crashed"] == 1
    assert len(caplog.records) == 1
    (file,) = tmp_path.iterdir()
    (incident,) = map(json.loads, file.read_text().splitlines())
    assert incident["outcome"] == "crashed"
    assert f"{type(error).__name__}: {error}" in incident["error"]
    assert type(error).__name__ in caplog.text
    assert "zzz" in incident["answer"] + incident.get("completion_end", "")


def test_an_unreadable_gold_answer_crashes_its_question_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(answer: str) -> str:
        if answer == "poison":
            raise RecursionError("too deep")
        return answer

    monkeypatch.setattr(steps, "extract_gold", fails)
    verifier = MathVerifier()
    assert [score.outcome for score in verifier.score_sync(question("poison"), ["1", "2"])] == ["crashed", "crashed"]
    assert [score.outcome for score in verifier.score_sync(question("1"), ["1", "2"])] == ["right", "wrong"]
    assert verifier.counts["crashed"] == 2


def test_incidents_that_cannot_be_saved_stop_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "incidents").write_text("a file, where a folder is wanted")
    verifier = MathVerifier(incident_dir=tmp_path / "incidents")
    (score,) = verifier.score_sync(question("9"), [r"\boxed{9^{9^9}}"])
    assert score.outcome == "refused"
    assert "not saved" in caplog.text
