"""The metrics of critiques and verifications, by hand; and that they leave those of answers alone."""

from __future__ import annotations

import pytest

from igrpo.metrics.samples import step_metrics
from igrpo.runs.rollout_lines import rollout_line, table_row
from igrpo.types import Completion, Prompt, Question, Rollout, Sample, Score, Verified
from tests.rollouts import group, rollout, samples

BARE = Prompt((1, 2))
UNREADABLE = Score(0.0, correct=False, outcome="unparsable")


def completion(text: str, tokens: int, entropy: float = 1.0, *, truncated: bool = False) -> Completion:
    values = (entropy,) * tokens
    return Completion(tuple(range(tokens)), text, values, values, values, "length" if truncated else "stop", 0)


def score(correct: bool, answer: str | None = None) -> Score:
    return Score(float(correct), correct, "right" if correct else "wrong", answer)


def answers(*verdicts: bool) -> tuple[Sample, ...]:
    made = [completion(f"a{i}", 2) for i in range(len(verdicts))]
    return samples("answer", made, [score(verdict) for verdict in verdicts], prompt=BARE)


def verified(name: str, correct: bool, *scores: Score) -> tuple[Sample, ...]:
    made = [completion(f"v{i}", 4 + i, entropy=0.5, truncated=i == 1) for i in range(len(scores))]
    about = Verified("old", f"text of {name}", correct)
    return samples("verification", made, scores, number=2, prompt=Prompt((7,)), verified=about)


def verifying(name: str, *rounds: tuple[Sample, ...]) -> Rollout:
    return rollout(*rounds, trained=rounds, question=Question(name, "?", "1"))


VERIFYING = [
    verifying("q1", answers(True, False), verified("x", True, score(True, "right"), score(False, "wrong"))),
    verifying("q2", answers(False, False), verified("y", False, score(True, "wrong"), UNREADABLE)),
    verifying("q3", answers(True, True), verified("z", False, score(False, "right"), score(True, "wrong"))),
    verifying("q4", answers(True, True)),
]
VERIFICATION = {
    "verification/accuracy": 3 / 6,
    "verification/accuracy_given_right": 1 / 2,  # x
    "verification/accuracy_given_wrong": 2 / 4,  # y: right, unreadable; z: wrong, right
    "verification/said_right_share": 2 / 5,  # right, wrong, wrong, right, wrong
    "verification/unparsable_share": 1 / 6,
    "verification/right_share": 1 / 3,
    "verification/asked_share": 3 / 4,
    "verification/reward_mean": 3 / 6,
    "verification/reward_std": 0.5**0.5,  # a right and a wrong verdict in each round
    "verification/reward_best": 1.0,
    "verification/length_mean": (4 + 5) / 2,
    "verification/length_max": 5.0,
    "verification/truncated_share": 1 / 2,
    "verification/entropy": 0.5,
    "verification/sampling_entropy": 0.5,
    "verification/completions": 6.0,
}


def criticised(name: str, *right: bool, kept: int) -> Rollout:
    first = answers(False, False)
    rounds, refined = [first], []
    for i, correct in enumerate(right):
        words = completion("c", 3 + i, entropy=2.0)
        critique = samples("critique", [words], [None], number=2 + 2 * i, prompt=Prompt((8,)), shows=[first[i]])
        shows = [first[i], *critique]
        made = [completion(f"r{i}", 5)]
        refinement = samples("refinement", made, [score(correct)], number=3 + 2 * i, prompt=Prompt((9, i)), shows=shows)
        rounds += [critique, refinement]
        refined += refinement
    return rollout(*rounds, groups=(group([*first, *refined[:kept]], BARE),), question=Question(name, "?", "1"))


CRITICISED = [
    criticised("q1", True, False, kept=1),
    criticised("q2", False, False, kept=1),
    verifying("q3", answers(True, False)),
    verifying("q4", answers(True, True)),
]
CRITIQUE = {
    "critique/asked_share": 2 / 4,
    "critique/right_share": 1 / 4,
    "critique/kept_right_share": 1 / 2,
    "critique/length_mean": 3.5,
    "critique/length_max": 4.0,
    "critique/truncated_share": 0.0,
    "critique/entropy": 2.0,
    "critique/sampling_entropy": 2.0,
    "critique/completions": 4.0,
}


@pytest.mark.parametrize(("rollouts", "expected"), [(VERIFYING, VERIFICATION), (CRITICISED, CRITIQUE)])
def test_values(rollouts: list[Rollout], expected: dict[str, float]) -> None:
    found = step_metrics(rollouts, variance_tolerance=1e-9)
    section = next(iter(expected)).split("/")[0]
    assert {name: value for name, value in found.items() if name.startswith(f"{section}/")} == pytest.approx(expected)


def test_verifications_change_nothing_about_answers() -> None:
    with_them, without = (
        step_metrics(rollouts, variance_tolerance=1e-9)
        for rollouts in (VERIFYING, [verifying(one.question.id, one.of("answer")) for one in VERIFYING])
    )
    shared = ("groups/", "train/", "budget/")
    own = {name for name in with_them if not name.startswith(("verification/", *shared))}
    assert own == {name for name in without if not name.startswith(shared)}
    assert {name: with_them[name] for name in own} == {name: without[name] for name in own}
    # groups of answers 10, 00, 11, 11, and of verdicts 10, 10, 01: they are trained, so they do count here
    assert with_them["groups/zero_variance_share"] == 3 / 7


def test_refinements_after_critiques_are_compared_with_answers() -> None:
    found = step_metrics(CRITICISED, variance_tolerance=1e-9)
    assert found["answer/completions"] == 8
    assert found["refinement/completions"] == 4
    assert found["reward/outcome/unscored"] == 0  # a critique is no answer without a score
    assert found["transfer/lift"] == 1 / 4  # of four refinements of wrong answers one is right
    assert found["transfer/right_given_wrong"] == 1 / 4
    assert found["answer/reward_shown"] == 0
    # unions: 0, 0, 1 and 0, 0, 0; answers: 1, 0 and 1, 1
    assert (found["groups/zero_variance_share"], found["groups/all_wrong_share"]) == (2 / 4, 1 / 4)


def test_a_line_of_the_rollout_log_and_a_row_of_the_table() -> None:
    line = rollout_line(3, VERIFYING[0])
    about = [sample["verified"] for sample in line["samples"]]
    assert about == [None, None, *[{"question_id": "old", "text": "text of x", "correct": True}] * 2]
    assert [one["prompt_tokens"] for one in line["groups"]] == [None, None]
    assert table_row(VERIFYING[0])["refinements"] == []  # a verification is none
    line = rollout_line(3, CRITICISED[0])
    assert [(one["role"], one["text"], one["score"] is None) for one in line["samples"][2:4]] == [
        ("critique", "c", True),
        ("refinement", "r0", False),
    ]
    assert line["samples"][3]["context"] == [[1, 0], [2, 0]]
    assert line["groups"] == [{"samples": [[1, 0], [1, 1], [3, 0]], "prompt_tokens": 2}]
    row = table_row(CRITICISED[0])
    assert (row["drafts"], row["best_draft"], row["refinements"]) == (["a0", "a1"], "a1", ["r0", "r1"])
