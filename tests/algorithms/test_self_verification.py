"""Self-Verification: what is asked about which earlier answer, what it is rewarded for, and what the buffer remembers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from igrpo.algorithms.self_verification import AnswerBuffer, Pair, SelfVerification, verification_score
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Question, Rollout
from tests.algorithms import fakes
from tests.algorithms.fakes import QUESTION, ScriptedEngine, TextReward, context, grpo, self_verification
from tests.rollouts import shape, values

VERDICTS = {"Yes": True, "No": False}
RIGHT, WRONG = "r", "w"


def pair(name: str, correct: bool) -> Pair:
    return Pair(Question(name, f"problem {name}", "2"), (5, 6), RIGHT if correct else WRONG, correct)


def buffer(pairs: Sequence[Pair] = (), capacity: int = 20) -> AnswerBuffer:
    made = AnswerBuffer(capacity)
    made.update_state([pairs])
    return made


def run(
    algorithm: SelfVerification,
    engine: ScriptedEngine,
    pairs: Sequence[Pair] = (),
    *,
    total: int = 4,
    question: Question = QUESTION,
    step: int = 3,
) -> Rollout:
    """With these pairs in the buffer."""
    return fakes.run(algorithm, context(engine, total, state=buffer(pairs), step=step), question)


def asked(prompt: tuple[int, ...]) -> str:
    return "".join(map(chr, prompt[1:]))


def test_an_empty_buffer_leaves_grpo_on_the_answers() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    rollout = run(self_verification(3), engine, total=8)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 3)]
    assert shape(rollout) == [("answer", True, 3)]


def test_verifications_judge_an_earlier_pair_and_are_trained() -> None:
    said = iter([r"\boxed{Yes}", r"\boxed{No}", "Yes", r"so \boxed{ yes }"])
    engine = ScriptedEngine(lambda prompt, seed: next(said) if prompt[0] == -3 else "bad")
    rollout = run(self_verification(4), engine, [pair("old", correct=True)], total=8)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [
        ((1,), 4),
        ((-3, *map(ord, "problem old"), 0, ord("r")), 4),
    ]
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 8
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(0, 3, "q1", number, i) for i in range(4)) for number in (1, 2)
    ]
    assert shape(rollout) == [("answer", True, 4), ("verification", True, 4)]
    verifications = rollout.of("verification")
    for sample in verifications:
        assert sample.verified is not None
        assert (sample.verified.question_id, sample.verified.correct) == ("old", True)
    assert {sample.verified for sample in rollout.of("answer")} == {None}
    assert values(verifications) == [1.0, 0.0, 0.0, 1.0]
    outcomes = [None if sample.score is None else sample.score.outcome for sample in verifications]
    assert outcomes == ["right", "wrong", "unparsable", "right"]
    # two groups, each conditioned on what it was sampled from
    assert [group.samples for group in rollout.groups] == [rollout.of("answer"), verifications]
    assert [group.prompt for group in rollout.groups] == [None, None]


def test_its_answers_are_those_of_grpo() -> None:
    engines = [ScriptedEngine(lambda prompt, seed: "bad") for _ in range(2)]
    run(self_verification(4), engines[0])
    fakes.run(grpo(4), context(engines[1]))
    assert engines[0].calls == engines[1].calls


@pytest.mark.parametrize(
    ("text", "correct", "value", "outcome", "said"),
    [
        (r"\boxed{Yes}", True, 1.0, "right", "right"),
        (r"\boxed{no}", False, 1.0, "right", "wrong"),
        (r"\boxed{Yes}", False, 0.0, "wrong", "right"),
        (r"\boxed{No}, or rather \boxed{Yes}", True, 0.0, "unparsable", None),  # two boxes of one answer
        (r"first \boxed{No}. That forgets the carry: \boxed{Yes}", True, 1.0, "right", "right"),
        ("Yes", True, 0.0, "unparsable", None),
        (r"\boxed{Yes, it is}", True, 0.0, "unparsable", None),
        (r"\boxed{}", False, 0.0, "unparsable", None),
        (r"\boxed{Yes", True, 0.0, "unparsable", None),
        ("", False, 0.0, "unparsable", None),
    ],
)
def test_a_verdict_is_read_strictly(text: str, correct: bool, value: float, outcome: str, said: str | None) -> None:
    found = verification_score(text, correct, VERDICTS)
    assert (found.value, found.correct, found.outcome, found.answer) == (value, value == 1.0, outcome, said)


def chosen(algorithm: SelfVerification, pairs: Sequence[Pair], count: int, step: int = 3) -> list[str]:
    """What is asked beside each of so many questions."""
    engine = ScriptedEngine(lambda prompt, seed: "bad")
    for i in range(count):
        run(algorithm, engine, pairs, question=Question(f"q{i}", "", ""), step=step)
    return [asked(prompt) for prompt, _ in engine.calls if prompt[0] == -3]


def test_right_and_wrong_answers_are_verified_equally_often() -> None:
    rare = [pair("a", correct=True), *(pair(f"b{i}", correct=False) for i in range(19))]
    balanced = chosen(self_verification(2), rare, 400)
    assert abs(sum(text.endswith(RIGHT) for text in balanced) - 200) <= 50  # five standard deviations of 10
    plain = chosen(self_verification(2, balanced=False), rare, 400)
    assert sum(text.endswith(RIGHT) for text in plain) <= 42  # 20 expected, and five of 4.4
    assert len(set(balanced)) == 20
    only = chosen(self_verification(2), rare[1:], 40)
    assert all(text.endswith(WRONG) for text in only)


def test_what_is_asked_is_a_function_of_seed_step_and_question() -> None:
    pairs = [pair(str(i), correct=i % 2 == 0) for i in range(16)]
    algorithm = self_verification(2)
    assert chosen(algorithm, pairs, 20) == chosen(algorithm, pairs, 20)
    assert chosen(algorithm, pairs, 20) != chosen(algorithm, pairs, 20, step=4)


def test_the_buffer_holds_the_newest_judged_answers() -> None:
    algorithm = self_verification(2, buffer=5)
    state = algorithm.new_state()
    texts = iter(["good", "bad"] * 3)
    rollouts = [
        fakes.run(
            algorithm,
            context(ScriptedEngine(lambda prompt, seed: next(texts)), 4, state=state),
            Question(f"q{i}", "", ""),
        )
        for i in range(3)
    ]
    assert state.pairs == []  # while a step samples, nothing is added
    state.update_state([state.extract_state(rollout) for rollout in rollouts])
    kept = [(one.question.id, one.text, one.correct) for one in state.pairs]
    assert kept == [("q0", "bad", False), *((q, t, t == "good") for q in ("q1", "q2") for t in ("good", "bad"))]
    state.update_state([[pair("new", correct=True)]])
    assert [one.question.id for one in state.pairs] == ["q1", "q1", "q2", "q2", "new"]


def test_the_toss_repeats_for_the_run_step_and_question() -> None:
    """What an earlier version asked about is asked about again."""
    pairs = [pair("a", correct=True), pair("b", correct=False)]
    for step in range(12):
        rollout = run(self_verification(2), ScriptedEngine(lambda prompt, seed: "good"), pairs, step=step)
        wanted = random.Random(derive_seed("verified", 0, step, QUESTION.id)).random() < 0.5
        assert {sample.verified.correct for sample in rollout.of("verification") if sample.verified} == {wanted}


def test_an_answer_without_a_verdict_is_no_pair() -> None:
    class Mute(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            scores = await super().score(question, completions)
            return [None, *scores[1:]]

    engine, state = ScriptedEngine(lambda prompt, seed: "good"), AnswerBuffer(5)
    given = context(engine, 5, reward=Mute(frozenset({"good"})), state=state)
    assert len(state.extract_state(fakes.run(self_verification(3), given))) == 2


def test_its_state_is_plain_values_and_comes_back_the_same() -> None:
    pairs = [pair(str(i), correct=i % 3 == 0) for i in range(9)]
    state = json.loads(json.dumps(buffer(pairs).state_dict()))
    fresh = AnswerBuffer(9)
    fresh.load_state_dict(state)
    assert fresh.pairs == pairs
