"""A benchmark is evaluated with its own sampling, length and reward, which are checked, fingerprinted and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from igrpo import assembly
from igrpo.config import ConfigError, RunConfig
from igrpo.config.checks import missing_files
from igrpo.config.data_checks import data_problems
from igrpo.config.facts import evaluated_tokens, most_evaluated_tokens
from igrpo.generation.base import SamplingParams
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.rewards.multiple_choice import MultipleChoiceReward
from igrpo.runs.fingerprinting import make_fingerprints
from igrpo.types import Completion, Question
from tests.assembly.parts import TINY_SHAPE, byte_policy, completion, tiny_policy
from tests.composed import config as composed
from tests.fake_engine import FakeEngine

PLACE = "evaluation.benchmarks"


@dataclass(kw_only=True)
class Letters(FakeEngine):
    """Answers B in words, always, and keeps the parameters that it was asked with."""

    asked: list[SamplingParams] = field(default_factory=list)

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        self.asked.append(params)
        return (completion("Answer: (B) 2"),) * len(seeds)


def config(*overrides: str, **changes: Any) -> RunConfig:
    added = [f"+benchmark@{PLACE}.{name}={name}" for name in ("aime24", "gpqa_diamond", "mmlu_pro")]
    keys = {f"{PLACE}.{name}.{key}": value for name, some in changes.items() for key, value in some.items()}
    return composed(keys, *TINY_SHAPE, *added, *overrides)


def rewards(settings: RunConfig) -> tuple[Any, dict[str, Any]]:
    reward = assembly.build_reward(settings.reward)
    return reward, dict(assembly.build_benchmark_rewards(settings, reward))


def test_equal_rewards_are_one_object() -> None:
    settings = config(f"+reward@{PLACE}.aime24.reward=math_verify", "reward.answer_format=[boxed]")
    reward, own = rewards(settings)
    assert own["aime24"] is reward
    assert own["gpqa_diamond"] is own["mmlu_pro"]
    assert isinstance(own["mmlu_pro"], MultipleChoiceReward)
    other = config(f"+reward@{PLACE}.aime24.reward=last_line")
    reward, own = rewards(other)
    assert own["aime24"] is not reward
    assert isinstance(own["aime24"], MathVerifier)


def test_a_benchmark_without_a_reward_has_that_of_the_run() -> None:
    assert set(rewards(config())[1]) == {"gpqa_diamond", "mmlu_pro"}


def parts(settings: RunConfig) -> tuple[assembly.Parts, Letters]:
    policy, engine = tiny_policy(), Letters()
    reward, own = rewards(settings)
    prompts = assembly.build_prompts(settings.prompt, policy.tokenizer)
    return assembly.Parts(policy, engine, reward, prompts, own), engine


def evaluated(settings: RunConfig, name: str) -> tuple[Any, SamplingParams]:
    made, engine = parts(settings)
    question = Question("q", "2", "B", ("1", "2"))
    result = asyncio.run(assembly.build_benchmark_evaluator(settings, name, [question], made).run())
    made.close()
    (params,) = engine.asked
    return result, params


def test_the_own_reward_gives_the_verdicts() -> None:
    result, _ = evaluated(config(), "gpqa_diamond")
    assert result.single_shot.value == 1.0
    assert len(result.per_question[0].single_shot) == 4
    assert result.majority_at_k == result.pass_at_k == 1.0
    assert result.draft_conditioned is None
    by_rule, _ = evaluated(config(gpqa_diamond={"reward": None}), "gpqa_diamond")  # which wants a box
    assert by_rule.single_shot.value == 0.0
    assert (result.outcomes["right"], by_rule.outcomes["unparsable"]) == (1.0, 1.0)


def test_own_sampling_replaces_that_of_evaluations() -> None:
    settings = config("evaluation.temperature=0.6", "evaluation.top_p=0.95", "evaluation.max_completion_tokens=30")
    _, params = evaluated(settings, "mmlu_pro")
    assert (params.temperature, params.top_p, params.top_k, params.max_new_tokens) == (0.6, 0.95, 0, 30)
    own = {"temperature": 0.2, "top_p": 0.5, "top_k": 7, "max_completion_tokens": 9}
    changed = config("evaluation.max_completion_tokens=30", mmlu_pro=own)
    _, params = evaluated(changed, "mmlu_pro")
    assert (params.temperature, params.top_p, params.top_k, params.max_new_tokens) == (0.2, 0.5, 7, 9)
    _, params = evaluated(changed, "gpqa_diamond")
    assert params.max_new_tokens == 30


def test_a_missing_reward_is_not_replaced_by_that_of_the_run() -> None:
    made, _ = parts(config())
    with pytest.raises(KeyError, match="gpqa_diamond"):
        assembly.build_benchmark_evaluator(config(), "gpqa_diamond", [], replace(made, benchmark_rewards={}))
    made.close()


def test_all_rewards_are_closed() -> None:
    made, _ = parts(config(f"+reward@{PLACE}.aime24.reward=last_line"))
    closed: list[str] = []
    for name, reward in {"run": made.reward, **made.benchmark_rewards}.items():
        reward.close = lambda name=name: closed.append(name)  # type: ignore[method-assign]
    made.close()
    assert set(closed) == {"run", "aime24", "mmlu_pro"}  # the latter is also that of gpqa_diamond


def test_the_longest_completion_of_a_benchmark_must_fit() -> None:
    settings = config(mmlu_pro={"max_completion_tokens": 5000})
    assert (evaluated_tokens(settings), most_evaluated_tokens(settings)) == (24, 5000)
    policy = byte_policy()
    prompts = assembly.build_prompts(settings.prompt, tiny_policy().tokenizer)
    assembly.check_lengths(settings, policy.model, prompts)
    too_long = config(mmlu_pro={"max_completion_tokens": 50_000})
    with pytest.raises(ValueError, match=r"evaluation\.benchmarks\.mmlu_pro\.max_completion_tokens=50000 make"):
        assembly.check_lengths(too_long, policy.model, prompts)


def test_paths_and_fingerprints_of_all_rewards() -> None:
    settings = config(f"+reward@{PLACE}.aime24.reward=math_verify_format")
    expected = ["reward", *(f"{PLACE}.aime24.reward.parts.{part}.reward" for part in ("accuracy", "format"))]
    expected += [f"{PLACE}.gpqa_diamond.reward", f"{PLACE}.mmlu_pro.reward"]
    assert list(settings.single_rewards) == expected
    prompts = assembly.build_prompts(settings.prompt, tiny_policy().tokenizer)
    prints = make_fingerprints(settings, prompts, {}, date(2026, 1, 1)).reward
    assert set(prints) == {*expected, f"{PLACE}.aime24.reward.parts"}
    assert set(prints[f"{PLACE}.mmlu_pro.reward"]) == {
        "settings", "igrpo/rewards/multiple_choice.py", "igrpo/rewards/multiple_choice_text.py"
    }  # fmt: skip


def test_a_reward_without_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{PLACE}\.aime24\.reward=format tells no right answer"):
        config(f"+reward@{PLACE}.aime24.reward=format")
    missing = config(f"+reward@{PLACE}.aime24.reward=python", f"{PLACE}.aime24.reward.target=nothing_here:f")
    assert any(text.startswith(f"{PLACE}.aime24.reward.target=nothing_here:f: ") for text in missing_files(missing))


@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ({"options": ["a"]}, "answer_form=plain does not go with"),
        ({"answer_form": "letter"}, "answer_form=letter needs the options of a row: give"),
    ],
)
def test_options_and_forms_of_answers_must_fit(fields: dict[str, Any], phrase: str) -> None:
    settings = config()
    aime24 = settings.evaluation.benchmarks["aime24"]
    wrong = aime24.model_copy(update={"fields": aime24.fields.model_copy(update=fields)})
    evaluation = settings.evaluation.model_copy(update={"benchmarks": {"own": wrong}})
    (problem,) = data_problems(settings.model_copy(update={"evaluation": evaluation}))
    assert problem.startswith(f"{PLACE}.own.fields.{phrase} {PLACE}.own.fields.options; ")
