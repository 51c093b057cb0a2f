"""Checks of an evaluation: what is sampled for them, what judges it, and that nothing is drawn twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from igrpo.assembly import Parts, Policy, build_prompts
from igrpo.config import ConfigError, RunConfig
from igrpo.evaluation.samples import SINGLE_SHOT, EvaluatedSample, SampleKey
from igrpo.generation.base import SamplingParams
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.tools.evaluating.checks import Evaluated, EvaluationChecks, expressible, rule_verifier
from igrpo.tools.evaluating.prompt_sets import prompt_sets
from igrpo.types import Completion, Question
from tests.composed import config
from tests.evaluation.fakes import EqualityReward
from tests.evaluation.validity.samples import sample
from tests.fake_engine import FakeEngine

TODAY = date(2026, 1, 2)
QUESTIONS = [
    Question(f"q{i}", f"What is the sum of {i} and one, if nothing else is to be added?", f"{i + 1}") for i in range(4)
]
SAMPLING = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=8, stop_token_ids=(2,))
TEXT = ("experiment=math_local", "algorithm=grpo", "data.path=none", "model=byte_level")
TOKENIZER = build_byte_level_tokenizer(chat_template=False)


@dataclass
class TagEngine(FakeEngine):
    """Answers 1 in a box, or in a tag if the prompt asks for one; goes on with a problem by its own words."""

    prompts: list[str] = field(default_factory=list)

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        prompt = TOKENIZER.decode(list(prompt_ids))
        self.prompts.append(prompt)
        text = "<answer>1</answer>" if "<answer>" in prompt else r"\boxed{1}"
        return tuple(Completion((5, 2), text, (-0.5, -0.5), None, None, "stop", 0) for _ in seeds)


@dataclass
class Kept:
    samples: dict[tuple[str, SampleKey], EvaluatedSample] = field(default_factory=dict)

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        return self.samples.get((question, key))

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        self.samples |= {(one.question, one.key): one for one in samples}


def _settings(**changes: Any) -> RunConfig:
    return config({f"evaluation.{key.replace('__', '.')}": value for key, value in changes.items()}, *TEXT)


def _checks(settings: RunConfig, engine: TagEngine, names: Sequence[str] = ("test",)) -> EvaluationChecks:
    policy = Policy(None, TOKENIZER, (2,))
    parts = Parts(policy, engine, EqualityReward(), build_prompts(settings.prompt, TOKENIZER, TODAY))
    prompts = prompt_sets(settings.evaluation.sensitivity.prompts, settings.prompt)
    return EvaluationChecks(settings, parts, prompts, TODAY, names)


def _evaluated(settings: RunConfig) -> Evaluated:
    return Evaluated(QUESTIONS, settings.reward, SAMPLING)


def _rows() -> list[EvaluatedSample]:
    """Two answers to each question in a box, as the evaluation judged them, and a sample of another kind."""
    answers = [
        sample(one.id, i, text=r"\boxed{1}", answer="1", correct=one.answer == "1") for one in QUESTIONS for i in (0, 1)
    ]
    return [*answers, sample("q0", 0, kind="draft_conditioned")]


def test_the_free_checks_need_no_samples() -> None:
    settings, engine = _settings(), TagEngine()
    checks = _checks(settings, engine)
    found = asyncio.run(checks.benchmark("test", _evaluated(settings), _rows(), Kept()))
    assert found.verdicts is not None
    assert (found.verdicts.main.questions, found.verdicts.main.samples, found.verdicts.main.value) == (4, 2, 0.25)
    assert found.calibration["agreement"].confidence == 1.0
    assert (found.sensitivity, checks.validity.contamination, engine.prompts) == ({}, None, [])
    assert checks.planned_samples("test", _evaluated(settings)) == 0
    assert checks.validity.not_compared == ()


def test_other_prompts_are_not_at_a_disadvantage_and_are_drawn_once() -> None:
    settings, engine, store = (
        _settings(sensitivity__prompts=["think_answer"], sensitivity__samples=2),
        TagEngine(),
        Kept(),
    )
    checks = _checks(settings, engine)
    found = asyncio.run(checks.benchmark("test", _evaluated(settings), _rows(), store))
    prompts = found.sensitivity["prompt"]
    # the verifier of the settings reads boxes only, and this prompt asks for tags
    assert {name: one.accuracy.value for name, one in prompts.variants.items()} == {
        "prompt=boxed": 0.25, "prompt=think_answer": 0.25,
    }  # fmt: skip
    assert len(engine.prompts) == 4
    assert all("<answer>" in prompt for prompt in engine.prompts)
    assert {one.kind for one in store.samples.values()} == {"sensitivity/prompt=think_answer"}
    assert checks.planned_samples("test", _evaluated(settings)) == len(store.samples) == 8

    again = asyncio.run(_checks(settings, engine).benchmark("test", _evaluated(settings), _rows(), store))
    assert again == found
    assert len(engine.prompts) == 4


def test_the_main_variant_has_as_many_samples_as_the_others() -> None:
    settings = _settings(sensitivity__prompts=["think_answer"], sensitivity__samples=1)
    found = asyncio.run(
        _checks(settings, TagEngine()).benchmark("test", _evaluated(settings), _rows(), Kept())
    ).sensitivity["prompt"]
    assert [one.accuracy.samples for one in found.variants.values()] == [1, 1]


def test_temperatures_other_than_the_own_one_are_sampled() -> None:
    settings, engine, store = _settings(sensitivity__temperatures=[0, 1.0, 0.5]), TagEngine(), Kept()
    checks = _checks(settings, engine)
    found = asyncio.run(checks.benchmark("test", _evaluated(settings), _rows(), store))
    assert list(found.sensitivity["temperature"].variants) == ["temperature=1", "temperature=0", "temperature=0.5"]
    # greedy once, and 4 samples at 0.5
    assert checks.planned_samples("test", _evaluated(settings)) == len(store.samples) == 4 * (1 + 4)


def test_a_setting_with_no_other_value_is_said() -> None:
    settings = _settings(sensitivity__prompts=["boxed"], sensitivity__temperatures=[1.0])
    checks = _checks(settings, TagEngine())
    asyncio.run(checks.benchmark("test", _evaluated(settings), _rows(), Kept()))
    prompts, temperatures = checks.validity.not_compared
    assert prompts.startswith("prompts were not compared: none of evaluation.sensitivity.prompts=[boxed] is other than")
    assert temperatures.startswith(
        "temperatures were not compared on test: evaluation.sensitivity.temperatures has only"
    )


def test_benchmarks_that_are_probed_complete_their_problems() -> None:
    settings, engine, store = _settings(contamination__older=["test"]), TagEngine(), Kept()
    checks = _checks(settings, engine)
    asyncio.run(checks.benchmark("test", _evaluated(settings), _rows(), store))
    found = checks.validity.contamination
    assert found is not None
    assert (found.older["test"].questions, found.older["test"].exact.value, found.difference) == (4, 0.0, None)
    assert sorted(engine.prompts)[0].endswith("What is the sum of 0 and one,")
    assert checks.planned_samples("test", _evaluated(settings)) == len(store.samples) == 4


def test_a_benchmark_to_probe_is_evaluated() -> None:
    with pytest.raises(ValueError, match="'test' is not evaluated here; evaluated: aime24"):
        _checks(_settings(contamination__older=["test"]), TagEngine(), names=["aime24"])


def test_the_samples_of_the_evaluation_are_its_single_shot_ones() -> None:
    assert {row.kind for row in _rows()} == {SINGLE_SHOT, "draft_conditioned"}


@pytest.mark.parametrize(
    ("reward", "by_rules"),
    [
        (("reward=math_verify",), True),
        (("reward=math_verify_format",), True),
        (("reward=judge", "reward.base_url=http://localhost:1/v1", "reward.model=m"), False),
    ],
)
def test_the_rule_verifier_is_found_where_it_alone_decides(reward: tuple[str, ...], by_rules: bool) -> None:
    assert (rule_verifier(config({}, *TEXT, *reward).reward) is not None) is by_rules


def test_all_sets_of_prompts_are_those_that_the_tokenizer_can_express() -> None:
    main = _settings().prompt
    every = prompt_sets("all", main)
    assert "boxed" not in every  # the main one
    assert "turns" in every
    found = expressible(every, TOKENIZER, TODAY)
    assert "turns" not in found  # it needs a chat template
    assert "think_answer" in found
    assert {one.max_question_tokens for one in found.values()} == {main.max_question_tokens}


def test_a_set_of_prompts_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'prompt=boxed'"):
        prompt_sets(["boxd"], _settings().prompt)
