"""Measurement of whether a draft helps, for the model, layout and reward of a run.

It uses the first questions of the run's first evaluation, with the same evaluator and seeds, so that both agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch

from igrpo import assembly
from igrpo.assembly import Policy
from igrpo.config.schema import RunConfig
from igrpo.evaluation.draft_worth import draft_worth, no_worth_warning
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.result import QuestionResult
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import RewardError
from igrpo.tools.doctor.reward_checks import without_judges
from igrpo.tools.doctor.static_checks import DRAFT_WORTH, Check
from igrpo.types import Question

#: Maximum number of questions, samples per question, and questions per batch (enough to fill the engine).
_QUESTIONS, _SAMPLES, _TOGETHER = 64, 4, 4


def worth_check(
    config: RunConfig, policy: Policy, prompts: PromptBuilder, development: Sequence[Question], seconds: float
) -> Check:
    """Answer questions, refine the answers, and compare the accuracies.

    Args:
        config: settings of the run, with the local engine instead of its own.
        policy: the model and tokenizer.
        prompts: builds the prompts.
        development: all questions of the development split.
        seconds: time limit, after which only finished questions count.
    """
    try:
        questions = assembly.evaluated_questions(config, prompts, development, "development split")[:_QUESTIONS]
        policy.model.to(assembly.build_device(config.trainer))
        with closing(assembly.build_reward(without_judges(config.reward), None)) as reward:
            engine = assembly.build_engine(config, policy, prompts, Path())
            parts = assembly.Parts(policy, engine, reward, prompts)
            portions = [questions[start : start + _TOGETHER] for start in range(0, len(questions), _TOGETHER)]
            evaluators = [assembly.build_evaluator(_small(config), portion, parts) for portion in portions]
            rows = asyncio.run(_evaluated(evaluators, seconds))
    except torch.OutOfMemoryError:
        return Check(DRAFT_WORTH, "not checked", "not measured: the memory of the device does not suffice")
    except (ValueError, RewardError, FloatingPointError) as error:
        return Check(DRAFT_WORTH, "failed" if config.evaluation.draft_conditioned else "not checked", str(error))
    return _check(config, rows, len(questions), seconds)


def _small(config: RunConfig) -> RunConfig:
    settings = {"samples": _SAMPLES, "greedy": False, "draft_conditioned": True, "oracle_drafts": 0, "test_time": {}}
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=settings)})


async def _evaluated(evaluators: Sequence[Evaluator], seconds: float) -> list[QuestionResult]:
    """Return the results of the questions that were finished in time."""
    results: list[QuestionResult] = []
    try:
        async with asyncio.timeout(seconds) as limit:
            for evaluator in evaluators:
                results += (await evaluator.run()).per_question
    except TimeoutError:
        if not limit.expired():
            raise
    return results


def _check(config: RunConfig, rows: Sequence[QuestionResult], asked: int, seconds: float) -> Check:
    worth = draft_worth([row.single_shot for row in rows], [row.draft_conditioned for row in rows])
    more = f"more than {seconds:g} s are needed (--draft-seconds)"
    if worth is None:
        why = "the reward could score no answer" if rows else f"no question was done in time: {more}"
        return Check(DRAFT_WORTH, "not checked", f"not measured: {why}")
    of = f"{len(rows)} development questions of {_SAMPLES} samples"
    text = f"{worth}; {of}" + (f", of {asked}: {more}" if len(rows) < asked else "")
    if without_judges(config.reward) != config.reward:
        text += "; judged by the rule instead of the judge"
    if config.plan.learns_from_drafts and worth.is_nothing:
        return Check(DRAFT_WORTH, "warning", f"{text}; {no_worth_warning(worth, f'prompt={config.prompt.name}')}")
    return Check(DRAFT_WORTH, "ok" if worth.unknown is None else "not checked", text)
