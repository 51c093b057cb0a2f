"""The rollout cycle and the evaluation: algorithm, engine, prompts, and what ties them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from igrpo.algorithm.base import Algorithm
from igrpo.algorithm.grpo import GRPO
from igrpo.algorithm.igrpo import IGRPO
from igrpo.algorithm.selection import RULES
from igrpo.assembly.policy import Policy
from igrpo.config import schema
from igrpo.config.schema import RunConfig
from igrpo.evaluation.evaluator import Evaluator
from igrpo.prompts import PromptBuilder
from igrpo.rewards.base import Reward
from igrpo.rollout.base import Engine, SamplingParams
from igrpo.rollout.local import LocalEngine
from igrpo.rollout.lockstep import Lockstep
from igrpo.training.collect import Collector
from igrpo.types import Question


def build_prompts(prompt: schema.PromptConfig, tokenizer: Any) -> PromptBuilder:
    """The layouts of both stages."""
    return PromptBuilder(tokenizer, **prompt.model_dump(exclude={"name"}))


def build_algorithm(config: RunConfig) -> Algorithm:
    """What one question samples, shows and trains on, within ``completions_per_question``."""
    algorithm = config.algorithm
    if isinstance(algorithm, schema.GRPOConfig):
        return GRPO(config.group_size)
    return IGRPO(
        drafts=algorithm.drafts,
        group_size=config.group_size,
        select=RULES[algorithm.selection],
        ties=algorithm.ties,
        all_failed=algorithm.all_failed,
    )


def build_engine(rollout: schema.LocalRolloutConfig, policy: Policy) -> Engine:
    """The engine that samples."""
    return LocalEngine(policy.model, policy.tokenizer, max_batch_rows=rollout.max_batch_rows)


@dataclass(frozen=True, slots=True)
class Parts:
    """What training and evaluation share."""

    policy: Policy
    engine: Engine
    reward: Reward
    prompts: PromptBuilder


def build_collector(config: RunConfig, parts: Parts) -> Collector:
    """The rollout cycle."""
    sampling = config.sampling
    params = SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_completion_tokens,
        stop_token_ids=parts.policy.stop_token_ids,
    )
    return Collector(
        algorithm=build_algorithm(config),
        engine=parts.engine,
        reward=parts.reward,
        prompts=parts.prompts,
        params=params,
        run_seed=config.seed,
        pipeline=config.rollout.pipeline,
    )


def build_evaluator(config: RunConfig, questions: Sequence[Question], parts: Parts) -> Evaluator:
    """Evaluation on held-out questions, with sampling settings and seeds of its own."""
    evaluation = config.evaluation
    params = SamplingParams(
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        top_k=evaluation.top_k,
        max_new_tokens=config.sampling.max_completion_tokens,
        stop_token_ids=parts.policy.stop_token_ids,
    )
    return Evaluator(
        parts.engine,
        parts.reward,
        parts.prompts,
        questions,
        sampling=params,
        samples=evaluation.samples,
        greedy=evaluation.greedy,
        draft_conditioned=evaluation.draft_conditioned,
        oracle_drafts=evaluation.oracle_drafts,
        seed=config.seed,
        wrap=None if config.rollout.pipeline else Lockstep,
    )


def check_lengths(config: RunConfig, model: Any, prompts: PromptBuilder) -> None:
    """Prove that the longest possible row fits the micro-batch and the model, before anything is sampled.

    Raises:
        ValueError: it does not; the message gives the sum.
    """
    evaluation = config.evaluation
    trained = prompts.max_prompt_tokens(with_draft=config.drafts > 0)
    sampled = prompts.max_prompt_tokens(
        with_draft=config.drafts > 0 or evaluation.draft_conditioned or evaluation.oracle_drafts > 0
    )
    limits = (
        ("trainer.tokens_per_microbatch", config.trainer.tokens_per_microbatch, trained),
        ("the model's positions", _positions(model), sampled),
    )
    completion = config.sampling.max_completion_tokens
    for name, limit, prompt in limits:
        if limit is not None and prompt + completion > limit:
            raise ValueError(
                f"a prompt of up to {prompt} tokens (layout, prompt.max_question_tokens, prompt.max_draft_tokens) and "
                f"sampling.max_completion_tokens={completion} make {prompt + completion}, more than {name} ({limit}); "
                "lower the budgets or raise the limit"
            )


def _positions(model: Any) -> int | None:
    """The longest sequence that the model takes; None for families without a limit (ALiBi)."""
    config = model.config.get_text_config()
    return int(config.max_position_embeddings) if hasattr(config, "max_position_embeddings") else None
