"""Where the answer stands in a completion."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.data.boxed import last_boxed
from igrpo.rewards.math.extraction import ANSWER_FORMATS, AnswerFormat, extract_answer, extract_gold
from igrpo.rewards.math.markdown import RULES, MarkdownRule, plain
from igrpo.rewards.math.thinking import LAYOUTS, Layout, without_thinking
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.rewards.math.wording import ANCHORS, DOUBTS, Wording
from tests.rewards.helpers import question, rows

#: What answers and the words around them are made of.
PIECES = (
    r"\boxed{", "}", "{", "$", "$$", r"\(", r"\]", r"\frac{1}{2}", r"\text{ cm}", "<answer>", "</answer>", "<think>", "</think>",
    "**", "*", "_", "`", "```\n", "####", "- ", "|", "\n", "\n\n", " ", ".", "!", "?", ",", ":", "=", "^", "(", "]", "-", "5", "1,000",
    ".25", "4:30", "½", "２", "π", "🎉", "。", "答案是", "x", "A", " is ", " and ", " or ", "The answer is ", "Wait", "if ", "apples ",
    "Answer: ", "so ", "not ", "\x00", "\ud800", "\U000f0000", "<<", "~~", "\\", "<|im_end|>",
)  # fmt: skip


def answer(text: str) -> str | None:
    return extract_answer(text, ANSWER_FORMATS)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed {42}", "42"),
        (r"\fbox{42}", "42"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{x = \boxed{5}}", r"x = \boxed{5}"),
        (r"\boxed5", "5"),
        (r"\boxed 1,234.", "1,234"),
        (r"\boxed x", "x"),
        (r"\\boxed{5}", "5"),
        ("\boxed{5}", "5"),  # a backspace: the text went through a string that was not raw
        (r"boxed{5}", "5"),
        (r"\boxed{4} and then, after a long check of every single step, \boxed{3}", "3"),
        (r"first \boxed{1}. Then \boxed{2}", "2"),
        (r"\boxed{7} no, \boxed{8}", "8"),
        (r"\boxed{7}. Wait, I made a mistake: \boxed{8}", "8"),
        (r"\boxed{7}, sorry, \boxed{8}", "8"),
        (r"\boxed{7}. That forgets the carry: \boxed{8}", "8"),
        (r"\boxed{7}, or rather \boxed{8}", "7, 8"),
        (r"\boxed{3} + 4 = \boxed{7}", "7"),
        ("\\boxed{3}\n\nThe perimeter is \\boxed{12}", "12"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1} or \boxed{2}", "1, 2"),
        (r"\boxed{1} | \boxed{2}", "1, 2"),
        (r"\boxed{1}/\boxed{2}", "1, 2"),
        (r"\boxed{1} is one option. \boxed{2} is the other.", "1, 2"),
        (r"\boxed{1} papers and \boxed{2} bins", "1, 2"),
        ("(a) \\boxed{1}\n\n(b) \\boxed{2}", "1, 2"),
        (r"\boxed{1}, \boxed{2}, \boxed{3}", "1, 2, 3"),
        (r"$x=\boxed{2}$ and $y_1 = \boxed{3}$", "2, 3"),
        (r"$\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}$", "(2, 2), (6, 2)"),
        (r"\boxed{1}\boxed{2}", "1, 2"),
        (r"\boxed{7}, \boxed{7}", "7"),
        (r"answer within \boxed{}. So \boxed{5} (in \boxed{...}, as asked)", "5"),
        (r"put it in \boxed{your answer here}", None),
        (r"\boxed{1", None),
        (r"\boxed{1} but \boxed{2", "1"),
        ("no box", None),
        (r"\boxedx{1}", None),
    ],
)
def test_boxes(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


@pytest.mark.parametrize("row", rows("outputs.jsonl"), ids=lambda row: f"{row['style']}: {row['text'][-30:]!r}")
def test_model_outputs(row: dict[str, str | None]) -> None:
    assert answer(str(row["text"])) == row["answer"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The roots are 1, 2, and 3.", "1, 2, and 3"),
        ("The point is (1, 2).", "(1, 2)"),
        ("The domain is (0, 1].", "(0, 1]"),
        ("So the distance is 2√3.", "2√3"),
        ("The train leaves at 4:30 p.m.", "4:30 p.m."),
        ("The ratio is 3:4.", "3:4"),
        ("The probability is .25", ".25"),
        ("The minimum is -4.", "-4"),
        ("The minimum is − 4.", "- 4"),
        ("The profit - 4", "4"),
        ("|x| = 3", "|x| = 3"),
        ("Thus 12 + 3 = 15 and 15 * 2 = 30.", "30"),
        ("Therefore, there are 6 ways to choose 2 of 4.", r"6 \text{ ways}"),
        ("10:30 AM", "10:30 AM"),
        ("it increases by 100%.", "100%"),
        ("My reply is 28 percent", r"28\%"),
        ("x equals 5", "x = 5"),
        ("Hence $x = 5$ and $y = 3$.", "x = 5 and y = 3"),
        ("The solution is x ∈ [2,5).", "x ∈ [2,5)"),
        ("The area is 16π ≈ 50.27.", "16π ≈ 50.27"),
        ("The solution set is {1, 2, 3}.", "{1, 2, 3}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("Thus\n\\[\nx = \\frac{3}{4}.\n\\]", r"x = \frac{3}{4}"),
        ("Answer $$ \n 9 \n $$", "9"),
        (r"Answer $ \frac{1}{2} \$ = \frac{10}{9} $", r"\frac{10}{9}"),
        ("The population is 1,000,000 people.", r"1,000,000 \text{ people}"),
        ("The total is 1 000 000.", "1 000 000"),
        ("She paid $5 and got $7 back, so the toy cost $1,234.50.", "$1,234.50"),
        ("The speed is 60 km/h.", r"60 \text{ km/h}"),
        ("We need 12 cm^2 of paper", r"12 \text{ cm}^2"),
        ("so the number is 10 which is 1,000.99m²", "1,000.99m²"),
        ("It takes 3 hours and 20 minutes.", "3 hours and 20 minutes"),
        ("The answer is 3 hours and 20 minutes.", "3 hours and 20 minutes"),
        ("She gets $k or $7.", "$k or $7"),
        ("There is no solution.", "no solution"),
        ("The day is Tuesday.", "Tuesday"),
        ("The date is January 1, 2000.", "January 1, 2000"),
        ("3 + 4 = 7\n7", "7"),
        ("Answer: m+n = 256+37 = 293", "293"),
        ("0 = 1 = 2 = 3", "0 = 1 = 2 = 3"),
        ("Answer: I think it is C", "C"),
        ("C) 12", "(C) 12"),
        ("Option C", "C"),
        ("B is the correct answer.", "B"),
        ("Answer: A and C", "A and C"),
        ("The answer is a circle.", "circle"),
        ('{"answer": 42}', "42"),
        ("The answer is 73!", "73"),
        ("5!", "5!"),
        ("5", "5"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        ("<think>\\boxed{1}</think> nothing.", "nothing."),
    ],
)
def test_the_whole_value_at_the_end_is_taken(text: str, expected: str) -> None:
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{7}. Final answer: 8", "8"),
        (r"\boxed{7} <answer>8</answer>", "8"),
        (r"<answer>7</answer>, in a box: \boxed{8}", "8"),
        ("<answer>7</answer>\n#### 8", "8"),
        ("Answer: 7\nAnswer: 8", "8"),
        (r"Answer: 7, that is \boxed{8}", "8"),
        (r"<answer>1</answer> Actually <answer>2</answer>", "2"),
        ("<answer>1</answer> <answer>2</answer>", "1, 2"),
        (r"<answer>so \boxed{5}</answer>", "5"),
        ("<ANSWER> The answer is **5**. </ANSWER>", "5"),
        (r"\boxed{\text{The answer is } 5}", "5"),
        # no other statement of the answer
        (r"\boxed{7}. I hope this answer is helpful!", "7"),
        (r"\boxed{7}. The answer is correct because 3 + 4 = 7.", "7"),
        (r"\boxed{7}. The result of step 2 is 3.", "7"),
        (r"\boxed{16\pi}\approx 50.3", r"16\pi"),
        (r"\boxed{3 \text{ (answer: } 4)}", r"3 \text{ (answer: } 4)"),
        ("Final Answer: 7\n\n" + "This was a pleasure to work out. " * 30, "7"),
        ("The answer to the first part is 7. " + "Next comes the second part, about which we think. " * 30, None),
    ],
)
def test_the_last_statement_of_an_answer_wins(text: str, expected: str | None) -> None:
    assert answer(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The answer is either 3 or maybe 4",
        "It is 3, or maybe 4.",
        "The answer is 3. Or 4.",
        "The answer is 3 kilos or 4 pounds",
        "Suppose the answer is 5. Then we get a contradiction, which ends the proof",
        "The answer is not 5.",
        "Answer: 7\nBut wait, that is wrong, let me",
        "All real numbers except 0.",
        "1+__import__('os').system('ls')",
        "speed*5",
        "x is at least 5",
        "There is a solution if n = 5",
        "There are 3 pears and I do not know more.",
        "What is the sum of 3 and 4?",
        "So we still have to compute 12 × 4 + 3",
        r"So it is $12 \times 4",
        r"Therefore the answer is \boxed{12",
        "AZYUK2A and more words of that kind, none of which says anything at all",
        "Put your final answer within \\boxed{}, and think first of all about the steps",
        "   \n ",
        "",
    ],
)
def test_no_answer_is_read_where_none_is_stated(text: str) -> None:
    assert answer(text) is None


@pytest.mark.parametrize("one", ANCHORS, ids=lambda one: one.name)
def test_words_before_an_answer(one: Wording) -> None:
    assert answer(one.example) == "5"


@pytest.mark.parametrize("one", DOUBTS, ids=lambda one: one.name)
def test_a_doubtful_sentence_gives_no_answer(one: Wording) -> None:
    assert answer(one.example) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_markdown_rules(rule: MarkdownRule) -> None:
    before, after = rule.example
    assert rule.rewrite(before) == after
    assert rule.rewrite(after) == after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Answer:** **$x^2$**", "Answer: $x^2$"),
        ("**Answer:**4", "Answer:4"),
        ("2**10 and x ** 2", "2**10 and x ** 2"),
        ("**2**10**", "2**10"),
        ("2*3*4 = *24*", "2*3*4 = 24"),
        ("$x_1$ and _x_ and __y__", "$x_1$ and x and y"),
        ("~~7~~ 8", " 8"),
        (r"1~~\text{or}~~2", r"1~~\text{or}~~2"),
        ("#### 5", "#### 5"),
        ("### 5", "5"),
        ("- 73", "73"),
        ("x =\n- 73", "x =\n- 73"),
        ("```\n73\n```", "73"),
        ("```latex\n\\boxed{7}\n```", "\\boxed{7}"),
        ("```python\nprint(7)", ""),
        ("答案：３\u200b", "答案:3"),
    ],
)
def test_markdown(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_of_thinking(layout: Layout) -> None:
    assert without_thinking(layout.example) == "7"
    cut = layout.example[: layout.example.index("8") + 1]
    assert without_thinking(cut) == ""
    assert without_thinking(cut, unfinished=True).endswith("8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\\boxed{1}</think>\\boxed{2}", "2"),
        ("I see.</think>\\boxed{2}", "2"),
        ("</think></think>\\boxed{2}", "2"),
        ("<think>\\boxed{1}", None),
        ("<think>\\boxed{1}</think><think>\\boxed{2}", None),
        ("\\boxed{1}<think>or is it \\boxed{2}", "1"),
        ("\\boxed{1}<|im_end|>\n<|im_start|>assistant\n\\boxed{2}", "1"),
    ],
)
def test_thinking_is_not_read(text: str, expected: str | None) -> None:
    assert answer(text) == expected


def test_unfinished_thinking_can_be_read() -> None:
    assert extract_answer("<think>\\boxed{1}", ANSWER_FORMATS, unfinished_thinking=True) == "1"


@pytest.mark.parametrize(
    ("text", "formats", "expected"),
    [
        ("<answer>5</answer>", ("boxed",), None),
        (r"\boxed{5}", ("answer_tag",), None),
        (r"\boxed{5}. Final answer: 6", ("boxed",), "5"),
        (r"\boxed{5} <answer>6</answer>", ("boxed", "answer_tag"), "6"),
        (r"\boxed{5} <answer>6</answer>", ("answer_tag", "boxed"), "6"),
        (r"<answer>6</answer> \boxed{5}", ("answer_tag", "boxed"), "5"),
        (r"So \boxed{5}", ("last_line",), r"\boxed{5}"),
        ("<answer>5</answer>", ("last_line",), "5"),
    ],
)
def test_only_the_formats_asked_for_count(text: str, formats: tuple[AnswerFormat, ...], expected: str | None) -> None:
    assert extract_answer(text, formats) == expected


def test_a_unit_behind_the_box_belongs_to_it() -> None:
    assert answer(r"\boxed{5}\text{ cm}^3") == r"5 \text{ cm}^3"
    assert answer(r"$\boxed{5}$ square meters.") == r"5 \text{ square meters}"
    assert answer(r"$\boxed{5}\text{ m/s}$") == r"5 \text{ m/s}"
    assert answer(r"\boxed{28}\%") == r"28\%"
    assert answer(r"\boxed{5} in total") == answer(r"\boxed{5}\text{ or more}") == "5"


def test_golds_may_be_whole_solutions() -> None:
    assert extract_gold(r"Since $2+2=4$, we have $\boxed{4}$.") == "4"
    assert extract_gold(r" \frac{1}{2} ") == r"\frac{1}{2}"


def test_thousands_are_judged_by_all_their_digits() -> None:
    verifier = MathVerifier(workers=1)
    for text in (
        "The profit is $70,000.",
        "70,000",
        "#### 70,000",
        "So she has 70 000 dollars.",
        "**Answer:** `70,000`",
    ):
        right, wrong = (verifier.score_sync(question(gold), [text])[0].outcome for gold in ("70000", "0"))
        assert (right, wrong) == ("right", "wrong"), text
    verifier.close()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join))
def test_any_text_has_an_answer_or_none(text: str) -> None:
    for formats in (ANSWER_FORMATS, *((name,) for name in ANSWER_FORMATS)):
        found = extract_answer(text, formats)
        assert found is None or found == found.strip() != ""


@pytest.mark.parametrize("around", [("", ""), ("Answer: ", " 5."), (r"\boxed{3} ", "\nThe answer is 5")])
@pytest.mark.parametrize(
    "unit", [*PIECES, r"\boxed{1} ", "5 apples and ", "answer (", "A, ", "5 cm/", "a b c. ", "<<5>>", r"\text{a} "]
)
def test_endless_texts_cost_little(unit: str, around: tuple[str, str]) -> None:
    text = around[0] + unit * (200_000 // len(unit)) + around[1]
    started = time.process_time()
    answer(text)
    assert time.process_time() - started < 2
