"""From a checked configuration to objects: the one place where parts are made.

Each part gets its own section, never the whole configuration. To add a part: its section in the schema, its YAML, and
its line here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from igrpo.algorithm.base import Algorithm
from igrpo.algorithm.grpo import GRPO
from igrpo.algorithm.igrpo import IGRPO
from igrpo.algorithm.selection import RULES
from igrpo.config import schema
from igrpo.config.schema import RunConfig
from igrpo.data.sources import ChainSource, Fields, HubSource, JsonlSource, Source
from igrpo.evaluation.evaluator import Evaluator
from igrpo.policy.byte_level import make_byte_level_model
from igrpo.policy.load import load_policy
from igrpo.policy.tiny import TinyShape
from igrpo.policy.warm_start import WarmStart, warm_started_tiny
from igrpo.prompts import PromptBuilder
from igrpo.rewards.base import Reward
from igrpo.rewards.format import FormatReward
from igrpo.rewards.verifier import MathVerifier
from igrpo.rewards.weighted import WeightedSum
from igrpo.rollout.base import Engine, SamplingParams
from igrpo.rollout.local import LocalEngine
from igrpo.rollout.lockstep import Lockstep
from igrpo.training.collect import Collector
from igrpo.training.forward import check_head
from igrpo.types import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """The model that is trained, and how it writes text. ``stop_token_ids`` end a completion."""

    model: Any
    tokenizer: Any
    stop_token_ids: tuple[int, ...]


def build_device(trainer: schema.TrainerConfig) -> torch.device:
    """The device of the policy.

    Raises:
        ValueError: ``trainer.device=cuda`` where there is none.
    """
    available = torch.cuda.is_available()
    if trainer.device == "cuda" and not available:
        raise ValueError("trainer.device=cuda, but torch sees no CUDA device; set trainer=cpu or trainer.device=auto")
    return torch.device("cuda" if available and trainer.device != "cpu" else "cpu")


def build_policy(model: schema.ModelConfig, data: schema.DataConfig, cache_dir: Path, console: Console) -> Policy:
    """Load or make the model. The tiny model's warm start is trained on the first call and cached."""
    if isinstance(model, schema.TinyModelConfig):
        policy, tokenizer = _tiny(model, data, console)
    else:
        if isinstance(model, schema.ByteLevelModelConfig):
            name = str(
                make_byte_level_model(
                    cache_dir / "byte_level",
                    seed=model.seed,
                    hidden=model.hidden,
                    layers=model.layers,
                    heads=model.heads,
                    mlp=model.mlp,
                    chat_template=model.chat_template,
                )
            )
            settings: dict[str, Any] = {"attention": "sdpa", "revision": None, "trust_remote_code": False}
        else:
            name = model.name_or_path
            settings = model.model_dump(include={"attention", "revision", "trust_remote_code"})
        policy, tokenizer = load_policy(name, dtype="float32", **settings)
    check_head(policy)
    return Policy(policy, tokenizer, _stop_tokens(policy, tokenizer))


def _tiny(model: schema.TinyModelConfig, data: schema.DataConfig, console: Console) -> tuple[Any, Any]:
    assert isinstance(data, schema.ChainsDataConfig), "checked by the configuration"
    warm = model.warm_start
    settings = WarmStart(
        seed=warm.seed,
        shape=TinyShape(model.hidden, model.layers, model.heads, model.mlp),
        operations=data.operations,
        slip=warm.slip,
        misconception=warm.misconception,
        corrupted_drafts=warm.corrupted_share,
        corrupted_slip=warm.corrupted_slip,
        clean_targets=warm.clean_share,
        steps=warm.steps,
        schedule_steps=warm.schedule_steps,
        batch=warm.batch_size,
        learning_rate=warm.learning_rate,
    )
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("warm start of the tiny model (first run only, then cached)", total=None)
        return warm_started_tiny(
            settings, on_progress=lambda step, steps, loss: bar.update(task, completed=step, total=steps)
        )


def _stop_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every token that ends a turn: the tokenizer's, and those of the model's generation settings."""
    declared = model.generation_config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return tuple(dict.fromkeys(i for i in [tokenizer.eos_token_id, *several] if i is not None))


def build_source(data: schema.DataConfig) -> Source:
    """The questions and their splits."""
    if isinstance(data, schema.ChainsDataConfig):
        return ChainSource(
            seed=data.seed, operations=data.operations, train=data.train, development=data.development, test=data.test
        )
    fields = Fields(**data.fields.model_dump())
    if isinstance(data, schema.JsonlDataConfig):
        return JsonlSource(data.path, fields, data.development, data.test)
    return HubSource(data.dataset, data.subset, data.split, fields, data.revision, data.development, data.test)


def build_reward(reward: schema.RewardConfig, incident_dir: Path | None) -> Reward:
    """A reward, or a weighted sum of them. Worker processes start with the first answer that needs one."""
    if isinstance(reward, schema.WeightedConfig):
        return WeightedSum(
            [(name, build_reward(part.reward, incident_dir), part.weight) for name, part in reward.parts.items()]
        )
    if isinstance(reward, schema.FormatConfig):
        return FormatReward()
    if isinstance(reward, schema.PythonRewardConfig):
        return _user_reward(reward)
    return MathVerifier(**reward.model_dump(exclude={"name"}), incident_dir=incident_dir)


def _user_reward(reward: schema.PythonRewardConfig) -> Reward:
    """A reward of the user's own: ``reward.target`` is ``module:Class``, found from the working directory too."""
    module, _, name = reward.target.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made = vars(import_module(module))[name](**reward.arguments)
    except (ImportError, KeyError, ValueError) as error:
        raise ValueError(
            f"reward.target={reward.target!r} cannot be made ({type(error).__name__}: {error}); give it as module:Class, "
            "with the module in the working directory or installed"
        ) from error
    if not isinstance(made, Reward):
        raise ValueError(f"reward.target={reward.target!r} is no Reward: it needs name, score and close")
    return made


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


def build_collector(config: RunConfig, policy: Policy, engine: Engine, reward: Reward, prompts: PromptBuilder) -> Collector:
    """The rollout cycle."""
    sampling = config.sampling
    params = SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_completion_tokens,
        stop_token_ids=policy.stop_token_ids,
    )
    algorithm, pipeline = build_algorithm(config), config.rollout.pipeline
    return Collector(algorithm, engine, reward, prompts, params, config.seed, pipeline)


def build_evaluator(
    config: RunConfig, questions: Sequence[Question], policy: Policy, engine: Engine, reward: Reward, prompts: PromptBuilder
) -> Evaluator:
    """Evaluation on held-out questions, with sampling settings and seeds of its own."""
    evaluation = config.evaluation
    params = SamplingParams(
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        top_k=evaluation.top_k,
        max_new_tokens=config.sampling.max_completion_tokens,
        stop_token_ids=policy.stop_token_ids,
    )
    return Evaluator(
        engine,
        reward,
        prompts,
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
    prompt = prompts.max_prompt_tokens(with_draft=config.drafts > 0 or config.evaluation.draft_conditioned)
    completion = config.sampling.max_completion_tokens
    positions = model.config.get_text_config().max_position_embeddings
    limits = {"trainer.tokens_per_microbatch": config.trainer.tokens_per_microbatch, "the model's positions": positions}
    for name, limit in limits.items():
        if prompt + completion > limit:
            raise ValueError(
                f"a prompt of up to {prompt} tokens (layout, prompt.max_question_tokens and prompt.max_draft_tokens) and "
                f"sampling.max_completion_tokens={completion} make {prompt + completion}, more than {name} ({limit}); "
                "lower the budgets or raise the limit"
            )


@dataclass(frozen=True, slots=True)
class FittingSource:
    """A source without the questions that are over their token budget."""

    train: Sequence[Question]
    development: Sequence[Question]
    test: Sequence[Question]


def fitting_source(source: Source, prompts: PromptBuilder, evaluated: int) -> FittingSource:
    """Leave out questions over their token budget, with a word in the log, and cut the held-out splits.

    Args:
        evaluated: the most questions that an evaluation asks.

    Raises:
        ValueError: a split has no question left.
    """
    return FittingSource(
        train=_fitting(source.train, prompts, "train"),
        development=_fitting(source.development, prompts, "development")[:evaluated],
        test=_fitting(source.test, prompts, "test")[:evaluated],
    )


def _fitting(questions: Sequence[Question], prompts: PromptBuilder, split: str) -> Sequence[Question]:
    kept = [question for question in questions if prompts.fits(question)]
    if not kept:
        raise ValueError(
            f"the {split} split has no question within prompt.max_question_tokens={prompts.max_question_tokens} "
            f"(of {len(questions)}); raise that limit, or data.{split}"
        )
    if len(kept) < len(questions):
        log.warning(
            "%d of %d %s questions are longer than prompt.max_question_tokens=%d and are left out",
            len(questions) - len(kept), len(questions), split, prompts.max_question_tokens,
        )  # fmt: skip
    return kept
