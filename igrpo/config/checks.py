"""What pydantic cannot see: settings that are fine alone and wrong together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from igrpo.config.schema import (
    ChainsDataConfig,
    FormatConfig,
    GRPOConfig,
    HuggingFaceModelConfig,
    JsonlDataConfig,
    PythonRewardConfig,
    RewardConfig,
    RunConfig,
    TinyModelConfig,
    WeightedConfig,
)

#: Position limit of the small model (igrpo.policy.tiny builds it with this many).
TINY_POSITIONS = 512


def cross_field_problems(config: RunConfig) -> list[str]:
    """Every contradiction between settings, each naming the setting, its value and what to do."""
    return [
        *_budget(config),
        *_condition(config),
        *_objective(config),
        *_advantage(config),
        *_sampling(config),
        *_lengths(config),
        *_parts(config),
    ]


def _budget(config: RunConfig) -> Iterator[str]:
    drafts, total = config.drafts, config.completions_per_question
    if isinstance(config.algorithm, GRPOConfig):
        yield from _answers(config.algorithm.answers, total)
    elif config.group_size < 2:
        left = f"after algorithm.drafts={drafts} " if drafts else ""
        yield (
            f"completions_per_question={total} leaves {left}a group of {config.group_size}; a baseline within the "
            f"group needs at least 2: set completions_per_question to {drafts + 2} or more"
            + (" or algorithm.drafts lower" if drafts else "")
        )
    if config.trainer.minibatches > config.trainer.questions_per_step:
        yield (
            f"trainer.minibatches={config.trainer.minibatches} is more than trainer.questions_per_step="
            f"{config.trainer.questions_per_step}; every minibatch needs a question"
        )


def _answers(answers: int, total: int) -> Iterator[str]:
    if answers > total:
        yield (
            f"algorithm.answers={answers} is more than completions_per_question={total}, the budget of a question; "
            "lower it, or raise the budget"
        )
    if answers < 2:
        yield (
            f"algorithm.answers={answers}, of completions_per_question={total}, is a group of {answers}; a baseline "
            "within the group needs at least 2: raise algorithm.answers, or completions_per_question if it follows it"
        )


def _condition(config: RunConfig) -> Iterator[str]:
    """The labels of conf/condition must mean what they say; any other label is the user's own."""
    label, algorithm = config.condition, config.algorithm.name
    if label in {"grpo", "igrpo"} and label != algorithm:
        yield (
            f"condition={label} cannot go with algorithm={algorithm}: a condition chooses the algorithm; leave one of "
            "them out"
        )
    if label == "best_of_n" and config.objective.advantage.select != "best":
        yield (
            f"condition=best_of_n cannot go with objective={config.objective.name}: it chooses the objective; leave "
            "one of them out"
        )


def _advantage(config: RunConfig) -> Iterator[str]:
    advantage = config.objective.advantage
    if advantage.select == "best":
        for key, value in (("baseline", advantage.baseline), ("scale", advantage.scale)):
            if value != "none":
                yield (
                    f"objective.advantage.{key}={value} is ignored by objective.advantage.select=best; set it to none"
                )
    elif advantage.baseline == "none" and advantage.scale != "none":
        yield (
            f"objective.advantage.scale={advantage.scale} cannot go with objective.advantage.baseline=none: rewards "
            "that are all equal have no standard deviation; set it to none"
        )


def _objective(config: RunConfig) -> Iterator[str]:
    objective = config.objective
    clips = {"objective.clip_low": objective.clip_low, "objective.clip_high": objective.clip_high}
    if objective.surrogate == "reinforce":
        for key, value in clips.items():
            if value is not None:
                yield f"{key}={value} is ignored by objective.surrogate=reinforce; set it to null"
        if objective.ratio != "token":
            yield f"objective.ratio={objective.ratio} is ignored by objective.surrogate=reinforce; set it to token"
    elif objective.clip_high is None:
        yield f"objective.clip_high=null: objective.surrogate={objective.surrogate} needs an upper bound, such as 0.2"
    if objective.surrogate == "clip" and objective.clip_low is None:
        yield "objective.clip_low=null: objective.surrogate=clip needs a lower bound, such as 0.2"
    if objective.surrogate == "clip" and objective.clip_low is not None and objective.clip_low >= 1:
        yield f"objective.clip_low={objective.clip_low} must be below 1: a ratio cannot fall to 0 or less"
    if objective.surrogate == "detached" and objective.ratio == "sequence":
        yield "objective.ratio=sequence cannot go with objective.surrogate=detached; set objective.ratio=token"
    if objective.aggregation == "constant" and objective.constant_divisor is None:
        yield "objective.constant_divisor=null: objective.aggregation=constant needs a number of tokens to divide by"
    if objective.aggregation != "constant" and objective.constant_divisor is not None:
        yield (
            f"objective.constant_divisor={objective.constant_divisor} is ignored by objective.aggregation="
            f"{objective.aggregation}; set it to null"
        )


def _sampling(config: RunConfig) -> Iterator[str]:
    sampling = config.sampling
    for key, value, off in (("top_p", sampling.top_p, 1.0), ("top_k", sampling.top_k, 0)):
        if value != off:
            yield (
                f"sampling.{key}={value}: training samples must come from the whole distribution, since the ratios "
                f"and gradients are those of the untruncated policy; set it to {off:g} (evaluation.{key} is free)"
            )


def _lengths(config: RunConfig) -> Iterator[str]:
    longest = longest_row(config)
    if config.trainer.tokens_per_microbatch < longest:
        yield (
            f"trainer.tokens_per_microbatch={config.trainer.tokens_per_microbatch} cannot hold one row of {longest} "
            f"tokens (prompt.max_question_tokens + prompt.max_draft_tokens + sampling.max_completion_tokens); raise it "
            "or lower those"
        )
    if isinstance(config.model, TinyModelConfig) and longest > TINY_POSITIONS:
        yield (
            f"the token budgets add up to {longest}, more than the {TINY_POSITIONS} positions of model=tiny; lower "
            "prompt.max_question_tokens, prompt.max_draft_tokens or sampling.max_completion_tokens"
        )


def _parts(config: RunConfig) -> Iterator[str]:
    if _gives_no_verdict(config.reward):
        yield (
            "reward=format tells no right answer from a wrong one, which every accuracy needs; "
            "use reward=math_verify_format, or a weighted sum of your own"
        )
    if isinstance(config.model, TinyModelConfig):
        if config.model.hidden % (2 * config.model.heads):
            yield (
                f"model.hidden={config.model.hidden} must be a multiple of twice model.heads={config.model.heads} "
                "(rotary embeddings need an even head size)"
            )
        if not isinstance(config.data, ChainsDataConfig):
            yield (
                f"data={config.data.name} cannot go with model=tiny, whose tokenizer knows digits and + - * only; "
                "set model=byte_level or model=huggingface model.name_or_path=DIRECTORY"
            )
    if not isinstance(config.data, ChainsDataConfig):
        shares = [share for share in (config.data.development, config.data.test) if isinstance(share, float)]
        if sum(shares) >= 1:
            yield (
                f"data.development={config.data.development} and data.test={config.data.test} leave nothing to train "
                "on; as shares their sum must be below 1"
            )


def _gives_no_verdict(reward: RewardConfig) -> bool:
    if isinstance(reward, WeightedConfig):
        return all(_gives_no_verdict(part.reward) for part in reward.parts.values())
    return isinstance(reward, FormatConfig)


def missing_files(config: RunConfig) -> list[str]:
    """Settings that name a local file, folder or module which is not there."""
    problems: list[str] = []
    data, model, reward = config.data, config.model, config.reward
    if isinstance(data, JsonlDataConfig):
        named = {"data.path": data.path, "data.development": data.development, "data.test": data.test}
        problems += [
            f"{key}={value}: there is no such file"
            for key, value in named.items()
            if isinstance(value, str) and not Path(value).is_file()
        ]
    if isinstance(model, HuggingFaceModelConfig):
        path = Path(model.name_or_path).expanduser()
        if model.name_or_path.startswith((".", "/", "~")) and not path.is_dir():
            problems.append(f"model.name_or_path={model.name_or_path}: there is no such directory")
    if isinstance(reward, PythonRewardConfig):
        module = reward.target.partition(":")[0].partition(".")[0]
        if PathFinder.find_spec(module, [str(Path.cwd()), *sys.path]) is None:
            problems.append(
                f"reward.target={reward.target}: there is no module '{module}' in the working directory, and none is "
                "installed"
            )
    return problems


def longest_row(config: RunConfig) -> int:
    """The most tokens that one trained row can have: question, shown draft and completion."""
    draft = config.prompt.max_draft_tokens if config.drafts else 0
    return config.prompt.max_question_tokens + draft + config.sampling.max_completion_tokens
