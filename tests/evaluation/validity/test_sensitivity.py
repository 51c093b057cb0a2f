"""Sensitivity: the choice of a baseline is not optimistic, and differences are paired."""

from __future__ import annotations

import asyncio
import random
from statistics import fmean

import pytest

from igrpo.evaluation.validity.sensitivity import sensitivity
from igrpo.evaluation.validity.variants import Variant, Variants, at_temperature
from igrpo.types import Prompt, Question
from tests.evaluation.fakes import QUESTIONS, SAMPLING, DigitEngine, EqualityReward, Prompts
from tests.evaluation.validity.samples import sample


def test_the_best_variant_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    names = [f"q{i}" for i in range(20)]
    good = {name: [True, False] for name in names}  # 0.5 on any half
    bad = {name: [False, False] for name in names}
    found = sensitivity({"prompt=a": bad, "prompt=b": good})
    assert found.baseline is not None
    assert (found.main, found.baseline.variant, found.baseline.other_choice) == ("prompt=a", "prompt=b", "prompt=b")
    assert found.baseline.questions == 10
    assert (found.baseline.accuracy.value, found.baseline.main.value, found.spread) == (0.5, 0.0, 0.5)
    assert found.baseline.difference.value == 0.5
    difference = found.variants["prompt=b"].difference
    assert difference is not None
    assert difference.value == 0.5
    assert found.variants["prompt=a"].difference is None


def test_the_best_of_equal_variants_is_not_better_than_they_are() -> None:
    """The largest of eight measured accuracies is too high; that of the baseline is not."""
    rng = random.Random(0)
    best, baseline = [], []
    for _ in range(60):
        verdicts = {f"v{v}": {f"q{i}": [rng.random() < 0.5] for i in range(40)} for v in range(8)}
        found = sensitivity(verdicts)
        assert found.baseline is not None
        best.append(max(one.accuracy.value for one in found.variants.values()))
        baseline.append(found.baseline.accuracy.value)
    assert fmean(best) > 0.58
    assert fmean(baseline) == pytest.approx(0.5, abs=0.04)  # the standard error is 0.014


def test_a_difference_of_two_variants_stays_in_its_range() -> None:
    # differences 1 and 0 of two questions: Student's bounds are 0.5 -/+ 12.7 * 0.5
    found = sensitivity({"a": {"q": [False], "r": [False]}, "b": {"q": [True], "r": [False]}}).variants["b"].difference
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, -1.0, 1.0)


def test_the_halves_do_not_depend_on_the_order_of_questions() -> None:
    rng = random.Random(1)
    names = [f"q{i}" for i in range(11)]
    verdicts = {v: {name: [rng.random() < 0.5 for _ in range(3)] for name in names} for v in "ab"}
    shuffled = {v: {name: one[name] for name in sorted(names, reverse=True)} for v, one in verdicts.items()}
    assert sensitivity(shuffled).baseline == sensitivity(verdicts).baseline


def test_differences_are_paired() -> None:
    """A variant that is better on every question by the same amount differs with certainty, however hard they are."""
    names = [f"q{i}" for i in range(8)]
    first = {name: [i % 2 == 0, False] for i, name in enumerate(names)}
    second = {name: [True, first[name][0]] for name in names}
    difference = sensitivity({"a": first, "b": second}).variants["b"].difference
    assert difference is not None
    assert (difference.value, difference.low) == (0.5, None)  # no spread: no error to be estimated


def test_one_question_cannot_be_halved() -> None:
    assert sensitivity({"a": {"q": [True]}, "b": {"q": [False]}}).baseline is None


def test_variants_need_the_same_questions() -> None:
    with pytest.raises(ValueError, match="same questions"):
        sensitivity({"a": {"q": [True]}, "b": {"r": [True]}})


class Marked(Prompts):
    """Prompts that end with a mark."""

    def question_prompt(self, question: Question) -> Prompt:
        return Prompt((*super().question_prompt(question).token_ids, 77))

    def fits(self, question: Question) -> bool:
        return True


def test_variants_are_sampled_with_their_own_prompts_parameters_and_seeds() -> None:
    engine = DigitEngine()
    variants = Variants(engine, EqualityReward(), seed=11, samples=3)
    greedy = Variant("temperature=0", Marked(), at_temperature(SAMPLING, 0.0))
    prompt = Variant("prompt=other", Marked(), SAMPLING)
    found = asyncio.run(variants.verdicts(greedy, QUESTIONS))
    assert {name: len(one) for name, one in found.items()} == {"a": 1, "b": 1}  # greedy: one sample
    assert found == {"a": [True], "b": [True]}  # the engine answers greedily with the digit of the question
    asyncio.run(variants.verdicts(prompt, QUESTIONS))
    assert {call.prompt for call in engine.calls} == {(3, 77), (4, 77)}
    assert [(call.params.temperature, call.params.top_p, len(call.seeds)) for call in engine.calls] == [
        (0.0, 1.0, 1), (0.0, 1.0, 1), (0.6, 0.95, 3), (0.6, 0.95, 3),
    ]  # fmt: skip
    assert len({seed for call in engine.calls for seed in call.seeds}) == 8


def test_existing_samples_are_judged_by_the_same_reward() -> None:
    variants = Variants(DigitEngine(), EqualityReward(), seed=11, samples=3)
    rows = {"a": [sample("a", 0, text="3"), sample("a", 1, text="4")], "b": [sample("b", 0, text="4")]}
    assert asyncio.run(variants.judged(QUESTIONS, rows)) == {"a": [True, False], "b": [True]}
