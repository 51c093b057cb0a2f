"""Checks that the reward accepts gold answers and that the prompt asks for the format that the reward expects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from igrpo import assembly
from igrpo.assembly import Policy
from igrpo.config.schema import RunConfig
from igrpo.generation.completions import CompletionMaker
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import RewardError, checked_score
from igrpo.rewards.format import FormatReward
from igrpo.settings.judge import GenerativeJudgeConfig, JudgeConfig
from igrpo.settings.reward import (
    FormatConfig,
    MultipleChoiceConfig,
    PythonRewardConfig,
    RewardConfig,
    WeightedConfig,
    reward_parts,
)
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.tools.doctor.static_checks import Check
from igrpo.types import Completion, Prompt, Question


def gold_check(config: RunConfig, questions: Sequence[Question]) -> Check:
    """Check that gold answers, in the expected format, get the full reward."""
    if isinstance(config.reward, PythonRewardConfig):
        return Check("reward", "not checked", "a reward of your own: what a right answer looks like is not known here")
    if any(isinstance(part, GenerativeJudgeConfig) for part in reward_parts(config.reward).values()):
        return Check("reward", "not checked", "a generative judge is not asked here: `igrpo rescore` compares it")
    best = (
        sum(part.weight for part in config.reward.parts.values()) if isinstance(config.reward, WeightedConfig) else 1.0
    )
    with closing(assembly.build_reward(config.reward, None)) as reward:

        async def score() -> list[Any]:
            return [
                (await checked_score(reward, question, [_completion(gold_text(config.reward, question.answer))]))[0]
                for question in questions
            ]

        try:
            scores = asyncio.run(score())
        except RewardError as error:
            return Check("reward", "failed", str(error))
    wrong = [
        f"{question.id} ({question.answer!r}: {score.outcome}, {score.value:g})"
        for question, score in zip(questions, scores, strict=True)
        if score.value != best or not score.correct
    ]
    if wrong:
        text = f"{len(wrong)} of the first {len(questions)} gold answers do not get {best:g}: {', '.join(wrong[:3])}"
        return Check("reward", "failed", text)
    return Check("reward", "ok", f"{best:g} for the gold answers of the first {len(questions)} questions")


def judge_checks(config: RunConfig) -> Iterator[Check]:
    """Report the number of requests to each judge and the settings that determine the cost; no judge is called."""
    for setting, part in reward_parts(config.reward).items():
        if isinstance(part, GenerativeJudgeConfig):
            yield Check("judge", "not checked", _demand(config, setting, part))


def _demand(config: RunConfig, setting: str, judge: GenerativeJudgeConfig) -> str:
    most = config.trainer.questions_per_step * config.plan.samples * judge.votes
    asked = f"a step asks it up to {most:,} times, and evaluations ask it, too"
    if not isinstance(judge, JudgeConfig):
        return asked
    has_key = "is set" if os.environ.get(judge.api_key_env) else "is not set: no key is sent"
    priced = judge.input_price or judge.output_price
    bill = "" if priced else f"; {setting}.input_price and output_price are 0: no cost is counted, nor limited"
    return f"{asked}, at {judge.base_url}; its key, ${judge.api_key_env}, {has_key}{bill}"


def without_judges(reward: RewardConfig) -> RewardConfig:
    """Replace each judge by its rule verifier, so that a check calls no judge and costs nothing."""
    if isinstance(reward, GenerativeJudgeConfig):
        return reward.verifier
    if not isinstance(reward, WeightedConfig):
        return reward
    parts = {
        name: part.model_copy(update={"reward": without_judges(part.reward)}) for name, part in reward.parts.items()
    }
    return reward.model_copy(update={"parts": parts})


def gold_text(reward: RewardConfig, answer: str) -> str:
    """Return a right completion in the format that the reward expects."""
    formats = _formats(reward)
    text = answer if formats[:1] == ["last_line"] else rf"\boxed{{{answer}}}"
    if "answer_tag" in formats or _wants_tags(reward):
        return f"<think>It follows.</think><answer>{text}</answer>"
    return text


def format_checks(config: RunConfig) -> Iterator[Check]:
    """Check that the prompt asks for the format that the reward expects.

    model=tiny is not checked, since it learned its format in its warm start.
    """
    if config.model.name == "tiny":
        return
    asked = config.prompt.asks
    if _wants_tags(config.reward) and "<answer>" not in asked:
        text = f"the reward wants <think> and <answer>, of which prompt={config.prompt.name} says nothing"
        yield Check("format", "failed", f"{text}: use prompt=think_answer, or reward=math_verify")
    if _formats(config.reward) == ["boxed"] and "boxed" not in asked:
        text = rf"the reward looks for \boxed{{}}, of which prompt={config.prompt.name} says nothing"
        yield Check("format", "failed", f"{text}: use prompt=boxed or prompt=think_answer")


def thinking_checks(config: RunConfig, policy: Policy, prompts: PromptBuilder) -> Iterator[Check]:
    """Report the thinking that the chat template opens, and check that the format reward can be earned after it.

    A text in the required format is encoded, decoded and scored like a completion.
    """
    question = Question("doctor", "1", "1")
    draft = Completion((), "", (), None, None, "stop", 0)
    asked = {"a question": prompts.question_prompt(question), "a draft": prompts.refinement_prompt(question, [draft])}
    earned = ""
    if _wants_tags(config.reward):
        for shown, prompt in asked.items():
            text = _written("It follows.</think><answer>1</answer>", prompt, policy)
            (score,) = asyncio.run(checked_score(FormatReward(), question, [_completion(text)]))
            if score is None or score.value != 1:
                why = f"the format reward cannot be earned: to the prompt that shows {shown}, which opens "
                why += f"{prompt.opened!r}, a model with this tokenizer can at best write {text!r}"
                yield Check("format", "failed", f"{why}; use reward=math_verify, or prompt.chat_template=off")
                return
        earned = ", and the format reward can be earned"
    opened = " and ".join(sorted({repr(prompt.opened) for prompt in asked.values() if prompt.opened}))
    if opened:
        yield Check("thinking", "ok", f"the prompt opens {opened}, with which the text of a completion begins{earned}")


def _written(thinking: str, prompt: Prompt, policy: Policy) -> str:
    """Return the text of a completion with the content ``thinking``, up to the first stop token.

    If the prompt does not open the thinking, the completion opens it.
    """
    text = thinking if prompt.opened else f"<think>{thinking}"
    ids: list[int] = policy.tokenizer.encode(text, add_special_tokens=False)
    end = next((i for i, token in enumerate(ids, start=1) if token in policy.stop_token_ids), len(ids))
    made = CompletionMaker(policy.tokenizer).make(
        tuple(ids[:end]), policy.stop_token_ids, (), sampling_entropies=None, policy_entropies=None, version=0
    )
    return prompt.opened + made.text


def _formats(reward: RewardConfig) -> list[str]:
    if isinstance(reward, WeightedConfig):
        return [name for part in reward.parts.values() for name in _formats(part.reward)]
    return list(reward.answer_format) if isinstance(reward, MathVerifyConfig | MultipleChoiceConfig) else []


def _wants_tags(reward: RewardConfig) -> bool:
    if isinstance(reward, WeightedConfig):
        return any(_wants_tags(part.reward) for part in reward.parts.values())
    return isinstance(reward, FormatConfig)


def _completion(text: str) -> Completion:
    return Completion((0,), text, (0.0,), None, None, "stop", 0)
