"""Factories of the engine, the rollout cycle, the evaluation and the checks that accompany them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from igrpo.assembly.policy import Policy, build_device
from igrpo.config.facts import evaluated_tokens
from igrpo.config.schema import RunConfig
from igrpo.data.module import QuestionDataModule
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.sampler import SampleStore
from igrpo.evaluation.test_time.aids import Aids
from igrpo.evaluation.test_time.running import Modes
from igrpo.generation.base import Engine, SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.generation.local.checks import check_decoding, check_prefix_caching
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.replica import ReplicaEngine
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.base import Reward
from igrpo.settings.rollout import LocalRolloutConfig
from igrpo.training.collect import Collector
from igrpo.training.dynamic_sampling import DynamicSampling
from igrpo.training.entropies import EntropyMeter
from igrpo.training.weight_sync_check import WeightSyncCheck
from igrpo.types import Question

_CHECKED_TOKENS = 32


class _Limits(TypedDict):
    """Arguments that all local engines take."""

    max_batch_rows: int
    fast_decode: bool
    max_packed_mib: int
    prefix_caching: bool


def build_engine(config: RunConfig, policy: Policy, prompts: PromptBuilder, run_dir: Path = Path()) -> Engine:
    """Build the sampling engine. An engine in another process keeps its files and its log in ``run_dir``."""
    rollout = config.rollout
    if isinstance(rollout, LocalRolloutConfig):
        check_decoding(policy.model)
        if rollout.prefix_caching:
            check_prefix_caching(policy.model)
        limits: _Limits = {
            "max_batch_rows": rollout.max_batch_rows,
            "fast_decode": rollout.fast_decode,
            "max_packed_mib": rollout.max_packed_mib,
            "prefix_caching": rollout.prefix_caching,
        }
        if config.trainer.strategy != "fsdp2":
            return LocalEngine(policy.model, policy.tokenizer, **limits)
        return ReplicaEngine(policy.model, policy.tokenizer, device=build_device(config.trainer), **limits)
    from igrpo.assembly.vllm import build_vllm_engine

    return build_vllm_engine(config, policy, prompts, run_dir)


@dataclass(frozen=True, slots=True)
class Parts:
    """Objects that training and evaluation share.

    ``benchmark_rewards`` has the rewards of benchmarks with one of their own, by name (see `build_benchmark_rewards`).
    ``aids`` is what test-time modes use (None: there are no modes).
    """

    policy: Policy
    engine: Engine
    reward: Reward
    prompts: PromptBuilder
    benchmark_rewards: Mapping[str, Reward] = field(default_factory=dict)
    aids: Aids | None = None

    def close(self) -> None:
        """Close the engine, the rewards and what test-time modes use: their processes end."""
        self.engine.close()
        for reward in (self.reward, *self.benchmark_rewards.values()):
            reward.close()
        if self.aids is not None:
            self.aids.close()


def build_dynamic_sampling(config: RunConfig, data: QuestionDataModule) -> DynamicSampling | None:
    """Build the replacement of questions without a training signal; return None if it is disabled."""
    if not config.dynamic_sampling.max_attempts:
        return None
    return DynamicSampling(
        questions_per_step=config.trainer.questions_per_step,
        max_attempts=config.dynamic_sampling.max_attempts,
        tolerance=config.objective.advantage.tolerance,
        replacements=data.replacements,
    )


def build_collector(config: RunConfig, parts: Parts, refill: DynamicSampling | None = None) -> Collector:
    """Build the rollout cycle."""
    sampling = config.sampling
    params = SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_completion_tokens,
        stop_token_ids=parts.policy.stop_token_ids,
    )
    return Collector(
        algorithm=config.algorithm,
        total=config.completions_per_question,
        state=config.algorithm.new_state(),
        engine=parts.engine,
        reward=parts.reward,
        prompts=parts.prompts,
        params=params,
        run_seed=config.seed,
        pipeline=config.rollout.pipeline,
        refill=refill,
    )


def build_entropy_meter(config: RunConfig, parts: Parts) -> EntropyMeter | None:
    """Build the meter of entropies, which vLLM does not report; return None if the engine reports them or it is off."""
    rollout = config.rollout
    if isinstance(rollout, LocalRolloutConfig) or not rollout.entropy_completions:
        return None
    return EntropyMeter(
        completions=rollout.entropy_completions,
        temperature=config.sampling.temperature,
        chunk=config.trainer.head_chunk,
        tokens_per_microbatch=config.trainer.tokens_per_microbatch,
        pad_id=parts.policy.tokenizer.pad_token_id,
    )


def build_weight_sync_check(config: RunConfig, parts: Parts, question: Question) -> WeightSyncCheck | None:
    """Build the check of weight syncs on the prompt of ``question``; return None for ``rollout=local``."""
    rollout = config.rollout
    if isinstance(rollout, LocalRolloutConfig):
        return None
    return WeightSyncCheck(
        engine=parts.engine,
        prompt_ids=parts.prompts.question_prompt(question).token_ids,
        temperature=config.sampling.temperature,
        tokens=min(_CHECKED_TOKENS, config.sampling.max_completion_tokens),
        tolerance=rollout.canary_tolerance,
        chunk=config.trainer.head_chunk,
        pad_id=parts.policy.tokenizer.pad_token_id,
    )


def build_benchmark_evaluator(
    config: RunConfig, name: str, questions: Sequence[Question], parts: Parts, *, store: SampleStore | None = None
) -> Evaluator:
    """Build the evaluation on a benchmark: single-shot and by test-time modes, with its own sampling and reward."""
    benchmark = config.evaluation.benchmarks[name]
    only = {"samples": benchmark.samples, "greedy": False, "draft_conditioned": False, "oracle_drafts": 0}
    evaluation = config.evaluation.model_copy(update=only | benchmark.sampling)
    if benchmark.reward is not None:
        parts = replace(parts, reward=parts.benchmark_rewards[name])
    return build_evaluator(config.model_copy(update={"evaluation": evaluation}), questions, parts, store=store)


def build_development_evaluator(config: RunConfig, questions: Sequence[Question], parts: Parts) -> Evaluator:
    """Build the evaluation on the development split: without test-time modes, and as far as its interval width says."""
    evaluation = config.evaluation.model_copy(update={"test_time": {}})
    config = config.model_copy(update={"evaluation": evaluation})
    return build_evaluator(config, questions, parts, interval_width=evaluation.interval_width)


def _modes(config: RunConfig, parts: Parts) -> Modes | None:
    """Return the test-time modes of an evaluation; None if it has none."""
    if not config.evaluation.test_time:
        return None
    assert parts.aids is not None, "built with the settings of the modes"
    return Modes(config.evaluation.test_time, parts.aids)


def build_evaluator(
    config: RunConfig,
    questions: Sequence[Question],
    parts: Parts,
    *,
    interval_width: float | None = None,
    store: SampleStore | None = None,
) -> Evaluator:
    """Build the evaluation on held-out questions, with its own sampling settings and seeds.

    ``interval_width`` and ``store`` are those of `Evaluator`; without a width, all samples of every question are taken.
    """
    evaluation = config.evaluation
    params = SamplingParams(
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        top_k=evaluation.top_k,
        max_new_tokens=evaluated_tokens(config),
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
        interval_width=interval_width,
        store=store,
        modes=_modes(config, parts),
        wrap=None if config.rollout.pipeline else BatchBarrier,
    )
