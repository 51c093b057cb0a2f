"""Decontamination: what counts as the same question, what does not, and that the index misses no pair."""

import json
from collections.abc import Sequence
from random import Random

import pytest

from igrpo.data.decontamination import Decontaminated, Match, decontaminate
from igrpo.data.problem_text import problem_tokens, wording
from igrpo.settings.data import DecontaminationConfig
from igrpo.types import Question

EXACT = DecontaminationConfig(method="exact", ngram=3, shorter_share=0.7, longer_share=0.5)
NEAR = EXACT.model_copy(update={"method": "near"})


def questions(*problems: str, prefix: str = "q") -> list[Question]:
    return [Question(f"{prefix}{number}", problem, "0") for number, problem in enumerate(problems)]


def compare(train: str, held_out: str, config: DecontaminationConfig = NEAR) -> Match | None:
    """How the two problems match."""
    found = decontaminate(questions(train, prefix="t"), {"test": questions(held_out, prefix="h")}, config)
    matches = found.found["test"]
    assert [question.problem for question in found.kept] == ([] if matches else [train])
    return matches[0] if matches else None


def kind(train: str, held_out: str, config: DecontaminationConfig = NEAR) -> str | None:
    match = compare(train, held_out, config)
    return None if match is None else match.kind


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Find the slope of the line.", "  find the\n slope of  THE line "),
        ("What is $\\dfrac{3}{4}$ of $20$?", r"What is \(\frac{3}{4}\) of 20"),
        (r"Let $y=\frac12 x$.", r"Let $y = \frac{1}{2}x$."),
        (r"Solve \[ \left( x+1 \right)^{2} \geq 4. \]", "Solve $(x + 1)^2 \\ge 4$"),
        (r"A jar holds $1{,}500$ beads, $2,\!000$ coins", "A jar holds 1500 beads; 2000 coins."),
        (r"Triangle $A B C$ has $AB=5\text{ cm}$.", "Triangle $ABC$ has $AB = 5$ cm."),
        (r"\begin{align*} x &= 2 \\ y &= 3 \end{align*}", "$x=2$, $y=3$"),
        ("An angle of 40° and x² − 3 × y¹⁰", r"An angle of $40^{\circ}$ and $x^{2} - 3 \times y^{10}$"),
        ("The two-digit number Ana’s `abacus' shows", 'The two digit number Ana\'s "abacus" shows'),
        ("It costs \\$2.50, or 30\\% less.", "It costs 2.5 or 30% less"),
    ],
)
def test_spellings_of_one_text_are_exact_duplicates(first: str, second: str) -> None:
    expected = Match("t0", "h0", "exact", 1.0)
    assert compare(first, second, EXACT) == compare(second, first, EXACT) == compare(first, second) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Compute $7+12$", "Compute $7-12$"),
        ("Compute $(7+2)*3$", "Compute $7+2*3$"),
        ("Compute $2.5$ tenths", "Compute $25$ tenths"),
        ("Compute $1 / 23$", "Compute $12 / 3$"),
        ("Compute $5!$", "Compute $5$"),
        ("Find the root of $f'(x)$", "Find the root of $f(x)$"),
        ("Find $x$ if $x<4$", r"Find $x$ if $x \le 4$"),
        ("计算三角形的面积", "计算正方形的面积"),
        ("???", "!!!"),
    ],
)
def test_another_operator_number_or_letter_is_no_exact_duplicate(first: str, second: str) -> None:
    assert kind(first, second, EXACT) is None


TAPS = (
    "A garden tank is filled by a wide pipe in 6 hours and by a narrow pipe in 9 hours. Both pipes are opened at noon, "
    "and the wide one is closed after 2 hours. How many more hours does the narrow pipe need to fill the tank?"
)


@pytest.mark.parametrize(
    "paraphrase",
    [
        TAPS.replace("garden tank", "tank in a garden"),
        TAPS.replace("6 hours", "six hours").replace("2 hours", "two hours"),
        TAPS.replace("How many more hours does the narrow pipe need", "Find how many more hours the narrow pipe needs"),
        "Problem. " + TAPS + " Express your answer as a decimal.",
        TAPS.replace("6", "$6$").replace("9", "\\(9\\)").replace("wide", "broad"),
        TAPS + " (A) 3 (B) 4 (C) 5",
    ],
)
def test_small_edits_are_near_duplicates(paraphrase: str) -> None:
    for match in (compare(paraphrase, TAPS), compare(TAPS, paraphrase)):
        assert match is not None
        assert match.kind == "near"
        assert 0.7 <= match.similarity <= 1
    assert kind(paraphrase, TAPS, EXACT) is None


def test_problems_that_differ_in_a_number_are_no_duplicates() -> None:
    assert kind(TAPS.replace("9", "8"), TAPS) is None
    assert kind(TAPS.replace("six", "7").replace("6", "seven"), TAPS) is None
    power = "What is the remainder when $7^{40}$ is divided by %d?"
    assert kind(power % 11, power % 13) is None
    assert kind("Find $f(5)$ if $f(x)=x^2+3x$ for all x.", "Find $f(2.5)$ if $f(x)=x^2+3x$ for all x.") is None


def test_swapped_numbers_or_another_word_count_as_near() -> None:
    swapped = TAPS.replace("6", "@").replace("9", "6").replace("@", "9")
    assert kind(swapped, TAPS) == "near"
    assert kind(TAPS.replace("need to fill", "need to empty"), TAPS) == "near"


def test_a_continued_held_out_question_is_near() -> None:
    held_out = "The real number $t$ satisfies $t + 1/t = 5$. Find $t^3 + 1/t^3$."
    suffix = " The answer may be written in the form p/q where p and q have no common factor; please give the sum p+q. "
    match = compare(held_out + 3 * suffix, held_out)
    assert match == Match("t0", "h0", "near", 1.0)
    assert kind("Some words before it. " + held_out + 3 * suffix, held_out) is None
    opening = "What is the value of $x$"
    assert kind(opening + " in the equation that Mr. Hill wrote on the board?", opening) is None


def drawing(*corners: int) -> str:
    return "[asy] " + " ".join(f"draw(({corner},0)--(0,{corner}));" for corner in corners) + " [/asy]"


def test_figures() -> None:
    ask = "What is the area of the shaded region? "
    told = "The square $ABCD$ has side 4 and its midpoints are joined. What is the area of the shaded region? "
    assert kind(ask + drawing(2, 3, 4), ask + drawing(2, 3, 4).replace(" ", "\n"), EXACT) == "exact"
    assert kind(ask + drawing(2, 3, 4), ask + drawing(7, 8, 9)) is None
    assert kind(told + drawing(2, 3, 4), told + drawing(2, 3, 5)) is None
    assert kind("Now: " + told + drawing(2, 3, 4), told + drawing(2, 3, 4)) == "near"
    assert kind(told, told + drawing(7, 8, 9)) == "near"
    assert kind(ask, ask + drawing(7, 8, 9)) is None
    assert kind(told + "![figure](a.png)", told + "![](b/c.png)") == "near"
    assert kind(ask + "![figure](a.png)", ask + "![](b/c.png)") is None
    assert kind("![figure](a.png)", "![](b/c.png)") is None


def test_report() -> None:
    train = questions("Name a prime.", TAPS, "Add 3 and 4.", TAPS + " Explain.", prefix="t")
    held_out = {
        "aime": questions("name a prime", "Unlike all others"),
        "amc": questions("Name a prime!", TAPS, prefix="a"),
        "own": [],
    }
    found = decontaminate(train, held_out, NEAR)
    assert found.kept == (train[2],)
    near = found.found["amc"][2]
    assert found.found == {
        "aime": (Match("t0", "q0", "exact", 1.0),),
        "amc": (Match("t0", "a0", "exact", 1.0), Match("t1", "a1", "exact", 1.0), Match("t3", "a1", "near", 1.0)),
        "own": (),
    }
    assert near.kind == "near"
    assert found.summary() == (
        "3 of 4 training questions are duplicates of held-out ones (method near) and are left out; "
        "aime (2 questions): 1 exact, 0 near; amc (2 questions): 2 exact, 1 near; none of own"
    )
    read = json.loads(json.dumps(found.as_dict()))
    assert (read["method"], read["checked"], read["left_out"]) == ("near", 4, 3)
    assert read["held_out"]["amc"]["matches"][2] == {
        "train": "t3", "held_out": "a1", "kind": "near", "similarity": 1.0,
    }  # fmt: skip
    assert {name: (part["questions"], part["exact"], part["near"]) for name, part in read["held_out"].items()} == {
        "aime": (2, 1, 0),
        "amc": (2, 2, 1),
        "own": (0, 0, 0),
    }


def test_off_compares_nothing_and_exact_only_finds_exact() -> None:
    train, held_out = questions(TAPS, TAPS + " Explain."), {"test": questions(TAPS)}
    off = decontaminate(train, held_out, EXACT.model_copy(update={"method": "off"}))
    assert off.kept == tuple(train)
    assert off.found == {"test": ()}
    assert off.summary() == "decontamination is off: 2 training questions were not compared with held-out ones"
    assert decontaminate(train, held_out, EXACT).kept == (train[1],)


def random_problems(rng: Random, count: int) -> list[str]:
    """Problems of few different words, so that many are alike; some with changed, left out or added words."""
    words = [*"abcdefghijk34+-", "two"]
    bases = [[rng.choice(words) for _ in range(rng.randint(0, 25))] for _ in range(count // 4)]
    problems = []
    for _ in range(count):
        problem = list(rng.choice(bases))
        for _ in range(rng.randint(0, 4)):
            place = rng.randint(0, len(problem))
            problem[place : place + rng.randint(0, 2)] = [rng.choice(words)] * rng.randint(0, 2)
        problems.append(" ".join(problem))
    return problems


def pairs_by_definition(
    train: Sequence[Question], held_out: Sequence[Question], config: DecontaminationConfig
) -> set[str]:
    """The training questions with a duplicate, every pair compared as the module's documentation says."""

    def sorted_numbers(tokens: tuple[str, ...]) -> list[str]:
        return sorted(token for token in tokens if token[0].isdigit())

    def within(few: list[str], many: list[str]) -> bool:
        return all(few.count(number) <= many.count(number) for number in few)

    def alike(first: Question, second: Question) -> bool:
        one, two = wording(problem_tokens(first.problem)), wording(problem_tokens(second.problem))
        if first.problem.replace(" ", "") == second.problem.replace(" ", ""):
            return True
        sets = [
            {tokens[i : i + config.ngram] for i in range(max(1, len(tokens) - config.ngram + 1))}
            for tokens in (one, two)
        ]
        small, large = sorted(map(len, sets))
        shared = len(sets[0] & sets[1])
        words = shared >= config.shorter_share * small and shared >= config.longer_share * large
        words = (words and bool(one and two)) or (len(two) >= 8 and one[: len(two)] == two)
        numbers = sorted_numbers(one), sorted_numbers(two)
        return words and (within(*numbers) or within(*reversed(numbers)))

    return {first.id for first in train if any(alike(first, second) for second in held_out)}


@pytest.mark.parametrize(("ngram", "shorter", "longer"), [(3, 0.7, 0.5), (2, 0.5, 0.5), (4, 0.3, 0.75), (1, 1.0, 0.25)])
def test_the_index_finds_what_comparing_every_pair_finds(ngram: int, shorter: float, longer: float) -> None:
    config = DecontaminationConfig(method="near", ngram=ngram, shorter_share=shorter, longer_share=longer)
    rng = Random(ngram)
    train = questions(*random_problems(rng, 120), prefix="t")
    held_out = questions(*rng.sample([q.problem for q in train], 10), *random_problems(rng, 60))
    found = decontaminate(train, {"test": held_out}, config)
    expected = pairs_by_definition(train, held_out, config)
    assert {match.train for match in found.found["test"]} == expected
    assert {"exact", "near"} == {match.kind for match in found.found["test"]}
    assert 0 < len(expected) < len(train)


def test_a_pair_that_shares_just_enough_words_is_found() -> None:
    half = DecontaminationConfig(method="near", ngram=1, shorter_share=0.5, longer_share=0.5)
    held_out = questions("add both rare terms", *["add both of them up now"] * 3)
    found = decontaminate(questions("add both odd sides", prefix="t"), {"test": held_out}, half)
    assert found.found["test"] == (Match("t0", "q0", "near", 0.5),)  # 2 of 4; of the others it has 2 of 6


def test_neither_order_nor_the_other_sets_matter() -> None:
    rng = Random(7)
    problems = random_problems(rng, 180)
    train, first, second = (questions(*problems[start::3], prefix="tab"[start]) for start in range(3))

    def left_out(found: Decontaminated, name: str) -> set[tuple[str, str, float]]:
        return {(match.train, match.kind, match.similarity) for match in found.found[name]}

    both = decontaminate(train, {"first": first, "second": second}, NEAR)
    turned = decontaminate(train[::-1], {"first": first[::-1]}, NEAR)
    assert left_out(both, "first") == left_out(turned, "first") != set()
    assert set(both.kept) <= set(turned.kept)
