"""The metrics of critiques and verifications, by hand; and that they leave those of answers alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from igrpo.metrics.judgements import JUDGEMENT_DOCS
from igrpo.metrics.samples import METRIC_DOCS, step_metrics
from igrpo.runs.trace_lines import table_row, trace_line
from igrpo.types import Completion, Group, Prompt, Question, Score, Trace, Verified, lessons

BARE = Prompt((1, 2))


def completion(text: str, tokens: int, entropy: float = 1.0, *, truncated: bool = False) -> Completion:
    values = (entropy,) * tokens
    return Completion(tuple(range(tokens)), text, values, values, values, "length" if truncated else "stop", 0)


def score(correct: bool, answer: str | None = None) -> Score:
    return Score(float(correct), correct, "right" if correct else "wrong", answer)


def answers(*verdicts: bool, trained: bool = True) -> Group:
    made = tuple(completion(f"a{i}", 2) for i in range(len(verdicts)))
    return Group(1, BARE, made, tuple(map(score, verdicts)), trained=trained)


def verified(name: str, correct: bool, *scores: Score) -> Group:
    made = tuple(completion(f"v{i}", 4 + i, entropy=0.5, truncated=i == 1) for i in range(len(scores)))
    about = Verified("old", f"text of {name}", correct)
    return Group(3, Prompt((7,)), made, scores, trained=True, verified=about)


def question(name: str) -> Question:
    return Question(name, "?", "1")


UNREADABLE = Score(0.0, correct=False, outcome="unparsable")
VERIFICATIONS = [
    Trace(question("q1"), (answers(True, False), verified("x", True, score(True, "right"), score(False, "wrong")))),
    Trace(question("q2"), (answers(False, False), verified("y", False, score(True, "wrong"), UNREADABLE))),
    Trace(question("q3"), (answers(True, True), verified("z", False, score(False, "right"), score(True, "wrong")))),
    Trace(question("q4"), (answers(True, True),)),
]
VERIFY = {
    "verify/accuracy": 3 / 6,
    "verify/accuracy_given_right": 1 / 2,  # x
    "verify/accuracy_given_wrong": 2 / 4,  # y: right, unreadable; z: wrong, right
    "verify/said_right_share": 2 / 5,  # right, wrong, wrong, right, wrong
    "verify/unparsable_share": 1 / 6,
    "verify/right_share": 1 / 3,
    "verify/asked_share": 3 / 4,
    "verify/length_mean": (4 + 5) / 2,
    "verify/truncated_share": 1 / 2,
    "verify/entropy": 0.5,
    "verify/completions": 6.0,
}


def criticised(name: str, *refinements: bool, kept: int) -> Trace:
    first = answers(False, False, trained=False)
    groups = [first]
    for i, correct in enumerate(refinements):
        words, refined = completion("c", 3 + i, entropy=2.0), completion(f"r{i}", 5)
        groups.append(
            Group(3, Prompt((8,)), (), (), trained=False, shown=(i,), unscored=(words,), shown_from=len(groups))
        )
        groups.append(
            Group(2, Prompt((9, i)), (refined,), (score(correct),), trained=False, shown=(i,), shown_from=len(groups))
        )
    revised = [one for group in groups if group.stage == 2 for one in lessons(group, BARE)]
    return Trace(question(name), tuple(groups), ((*lessons(first, BARE), *revised[:kept]),))


CRITIQUES = [
    criticised("q1", True, False, kept=1),
    criticised("q2", False, False, kept=1),
    Trace(question("q3"), (answers(True, False),)),
    Trace(question("q4"), (answers(True, True),)),
]
CRITIQUE = {
    "critique/asked_share": 2 / 4,
    "critique/right_share": 1 / 4,
    "critique/kept_right_share": 1 / 2,
    "critique/length_mean": 3.5,
    "critique/truncated_share": 0.0,
    "critique/entropy": 2.0,
    "critique/completions": 4.0,
}


@pytest.mark.parametrize(("traces", "expected"), [(VERIFICATIONS, VERIFY), (CRITIQUES, CRITIQUE)])
def test_values(traces: list[Trace], expected: dict[str, float]) -> None:
    found = step_metrics(traces, variance_tolerance=1e-9)
    assert {name: value for name, value in found.items() if name in JUDGEMENT_DOCS} == pytest.approx(expected)


def test_every_one_is_documented() -> None:
    assert VERIFY.keys() | CRITIQUE.keys() == JUDGEMENT_DOCS.keys() <= METRIC_DOCS.keys()


def test_verifications_change_nothing_about_answers() -> None:
    with_them, without = (
        step_metrics(traces, variance_tolerance=1e-9)
        for traces in (VERIFICATIONS, [replace(trace, groups=trace.groups[:1]) for trace in VERIFICATIONS])
    )
    own = {name for name in with_them if not name.startswith(("verify/", "groups/"))}
    assert own == {name for name in without if not name.startswith("groups/")}
    assert {name: with_them[name] for name in own} == {name: without[name] for name in own}
    # cohorts of answers 10, 00, 11, 11, and of verdicts 10, 10, 01: trained groups, so they do count here
    assert with_them["groups/zero_variance_share"] == 3 / 7


def test_refinements_after_a_critique_are_compared_with_the_answers() -> None:
    found = step_metrics(CRITIQUES, variance_tolerance=1e-9)
    assert found["stage1/completions"] == 8
    assert found["stage2/completions"] == 4
    assert found["reward/outcome/unscored"] == 0  # a critique is no answer without a score
    assert found["transfer/lift"] == 1 / 4  # of four refinements of wrong answers one is right
    assert found["transfer/right_given_wrong"] == 1 / 4
    # unions: 0, 0, 1 and 0, 0, 0; answers: 1, 0 and 1, 1
    assert (found["groups/zero_variance_share"], found["groups/all_wrong_share"]) == (2 / 4, 1 / 4)


def test_a_line_of_the_rollout_log_and_a_row_of_the_table() -> None:
    line = trace_line(3, VERIFICATIONS[0])
    assert line["groups"][1]["verified"] == {"question_id": "old", "text": "text of x", "correct": True}
    assert line["groups"][0]["verified"] is None
    assert line["lessons"] == []
    assert table_row(VERIFICATIONS[0])["refinements"] == []  # a verification is none
    line = trace_line(3, CRITIQUES[0])
    assert [one["text"] for one in line["groups"][1]["unscored"]] == ["c"]
    (cohort,) = line["lessons"]
    assert [(one["text"], one["transferred"], one["prompt_tokens"]) for one in cohort] == [
        ("a0", False, 2),
        ("a1", False, 2),
        ("r0", True, 2),
    ]
    row = table_row(CRITIQUES[0])
    assert (row["drafts"], row["best_draft"], row["refinements"]) == (["a0", "a1"], "a1", ["r0", "r1"])
