"""Self-Verification: what is asked about which earlier answer, what it is rewarded for, and what the buffer remembers."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext, StatefulAlgorithm
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.self_verification import Pair, SelfVerification, verification_score
from igrpo.seeding import derive_seed, sample_seed
from igrpo.types import Question, Trace
from tests.algorithms.fakes import PARAMS, PlainPrompts, ScriptedEngine, TextReward

QUESTION = Question("q1", "1 + 1", "2")
VERDICTS = {"Yes": True, "No": False}
RIGHT, WRONG = "r", "w"


def pair(name: str, correct: bool) -> Pair:
    return Pair(Question(name, f"problem {name}", "2"), (5, 6), RIGHT if correct else WRONG, correct)


def run(algorithm: SelfVerification, engine: ScriptedEngine, *, question: Question = QUESTION, step: int = 3) -> Trace:
    prompts: Any = PlainPrompts()
    return asyncio.run(
        algorithm(question, RolloutContext(engine, TextReward(frozenset({"good"})), prompts, PARAMS, 0, step))
    )


def asked(prompt: tuple[int, ...]) -> str:
    return "".join(map(chr, prompt[1:]))


def test_an_empty_buffer_leaves_grpo_on_the_answers() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "good")
    trace = run(SelfVerification(3, 5, buffer=8, balanced=True), engine)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [((1,), 3)]
    assert [(group.stage, group.trained) for group in trace.groups] == [(1, True)]
    assert trace.sampled == 3


def test_the_other_half_judges_one_earlier_pair_and_both_halves_are_trained_given_their_own_prompts() -> None:
    said = iter([r"\boxed{Yes}", r"\boxed{No}", "Yes", r"so \boxed{ yes }"])
    engine = ScriptedEngine(lambda prompt, seed: next(said) if prompt[0] == -3 else "bad")
    algorithm = SelfVerification(4, 4, buffer=8, balanced=True, pairs=[pair("old", correct=True)])
    trace = run(algorithm, engine)
    assert [(prompt, len(seeds)) for prompt, seeds in engine.calls] == [
        ((1,), 4),
        ((-3, *map(ord, "problem old"), 0, ord("r")), 4),
    ]
    assert len({seed for _, seeds in engine.calls for seed in seeds}) == 8
    assert [seeds for _, seeds in engine.calls] == [
        tuple(sample_seed(0, 3, "q1", turn, i) for i in range(4)) for turn in (1, 2)
    ]
    answers, verifications = trace.groups
    assert (answers.stage, answers.trained, answers.verified) == (1, True, None)
    assert (verifications.stage, verifications.trained) == (3, True)
    assert verifications.verified is not None
    assert (verifications.verified.question_id, verifications.verified.correct) == ("old", True)
    assert verifications.rewards_G == [1.0, 0.0, 0.0, 1.0]
    assert [score.outcome for score in verifications.scores] == ["right", "wrong", "unparsable", "right"]
    # two cohorts, each conditioned on what it was sampled from
    assert [{one.prompt for one in cohort} for cohort in trace.cohorts] == [{answers.prompt}, {verifications.prompt}]
    assert not any(one.transferred for cohort in trace.cohorts for one in cohort)


def test_its_answers_are_those_of_grpo() -> None:
    engines = [ScriptedEngine(lambda prompt, seed: "bad") for _ in range(2)]
    run(SelfVerification(4, 4, buffer=8, balanced=True), engines[0])
    prompts: Any = PlainPrompts()
    context = RolloutContext(engines[1], TextReward(frozenset()), prompts, PARAMS, 0, 3)
    asyncio.run(GRPO(4)(QUESTION, context))
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


def chosen(algorithm: SelfVerification, count: int, step: int = 3) -> list[str]:
    """What is asked beside each of ``count`` questions."""
    engine = ScriptedEngine(lambda prompt, seed: "bad")
    for i in range(count):
        run(algorithm, engine, question=Question(f"q{i}", "", ""), step=step)
    return [asked(prompt) for prompt, _ in engine.calls if prompt[0] == -3]


def test_right_and_wrong_answers_are_verified_as_often_however_rare_one_of_them_is() -> None:
    rare = [pair("a", correct=True), *(pair(f"b{i}", correct=False) for i in range(19))]
    balanced = chosen(SelfVerification(2, 2, buffer=20, balanced=True, pairs=rare), 400)
    assert abs(sum(text.endswith(RIGHT) for text in balanced) - 200) <= 50  # five standard deviations of 10
    plain = chosen(SelfVerification(2, 2, buffer=20, balanced=False, pairs=rare), 400)
    assert sum(text.endswith(RIGHT) for text in plain) <= 42  # 20 expected, and five of 4.4
    assert len(set(balanced)) == 20
    only = chosen(SelfVerification(2, 2, buffer=20, balanced=True, pairs=rare[1:]), 40)
    assert all(text.endswith(WRONG) for text in only)


def test_what_is_asked_is_a_function_of_seed_step_and_question() -> None:
    pairs = [pair(str(i), correct=i % 2 == 0) for i in range(16)]
    algorithm = SelfVerification(2, 2, buffer=16, balanced=True, pairs=pairs)
    assert chosen(algorithm, 20) == chosen(algorithm, 20)
    assert chosen(algorithm, 20) != chosen(algorithm, 20, step=4)


def test_the_buffer_holds_the_newest_answers_with_a_verdict_and_changes_between_steps_only() -> None:
    algorithm = SelfVerification(2, 2, buffer=5, balanced=True)
    assert isinstance(algorithm, StatefulAlgorithm)
    texts = iter(["good", "bad"] * 3)
    traces = [
        run(algorithm, ScriptedEngine(lambda prompt, seed: next(texts)), question=Question(f"q{i}", "", ""))
        for i in range(3)
    ]
    assert algorithm.pairs == []  # while a step samples, nothing is added
    algorithm.update_state([algorithm.extract_state(trace) for trace in traces])
    kept = [(one.question.id, one.text, one.correct) for one in algorithm.pairs]
    assert kept == [("q0", "bad", False), *((q, t, t == "good") for q in ("q1", "q2") for t in ("good", "bad"))]
    algorithm.update_state([[pair("new", correct=True)]])
    assert [one.question.id for one in algorithm.pairs] == ["q1", "q1", "q2", "q2", "new"]


def test_the_toss_repeats_for_the_run_step_and_question() -> None:
    """What an earlier version asked about is asked about again."""
    algorithm = SelfVerification(
        2, 2, buffer=2, balanced=True, pairs=[pair("a", correct=True), pair("b", correct=False)]
    )
    for step in range(12):
        trace = run(algorithm, ScriptedEngine(lambda prompt, seed: "good"), step=step)
        wanted = random.Random(derive_seed("verified", 0, step, QUESTION.id)).random() < 0.5
        assert trace.groups[1].verified is not None
        assert trace.groups[1].verified.correct is wanted


def test_an_answer_without_a_verdict_is_no_pair() -> None:
    class Mute(TextReward):
        async def score(self, question: Question, completions: Any) -> Any:
            scores = await super().score(question, completions)
            return [None, *scores[1:]]

    prompts: Any = PlainPrompts()
    context = RolloutContext(
        ScriptedEngine(lambda prompt, seed: "good"), Mute(frozenset({"good"})), prompts, PARAMS, 0, 1
    )
    algorithm = SelfVerification(3, 2, buffer=5, balanced=True)
    assert len(algorithm.extract_state(asyncio.run(algorithm(QUESTION, context)))) == 2


def test_its_state_is_plain_values_and_comes_back_the_same() -> None:
    pairs = [pair(str(i), correct=i % 3 == 0) for i in range(9)]
    algorithm = SelfVerification(2, 2, buffer=9, balanced=True, pairs=list(pairs))
    state = json.loads(json.dumps(algorithm.state_dict()))
    fresh = SelfVerification(2, 2, buffer=9, balanced=True)
    fresh.load_state_dict(state)
    assert fresh.pairs == pairs
    assert chosen(fresh, 12) == chosen(algorithm, 12)
