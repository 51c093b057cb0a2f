"""Checks that pydantic cannot make: settings that are valid alone but not together, and missing files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from igrpo.config.data_checks import data_problems, missing_data
from igrpo.config.judge_checks import judge_problems, missing_for_judges
from igrpo.config.objective_checks import objective_problems
from igrpo.config.schema import RunConfig
from igrpo.config.test_time_checks import mode_problems
from igrpo.config.validity_checks import validity_problems
from igrpo.models.files import gguf_problem, no_directory
from igrpo.settings.data import ChainsDataConfig, GeneratedDataConfig, JsonlDataConfig
from igrpo.settings.model import HuggingFaceModelConfig, TinyModelConfig
from igrpo.settings.prompt import prompt_problems
from igrpo.settings.reward import FormatConfig, PythonRewardConfig, RewardConfig, WeightedConfig
from igrpo.settings.rollout import VllmColocateConfig, VllmServerConfig

#: Position limit of model=tiny, with which igrpo.models.tiny builds it.
TINY_POSITIONS = 512


def cross_field_problems(config: RunConfig) -> list[str]:
    """Return a message for each contradiction between settings: the setting, its value and what to change."""
    return [
        *config.algorithm.problems(config.completions_per_question),
        *_minibatches(config),
        *_sampling(config),
        *prompt_problems(config.prompt),
        *_lengths(config),
        *_parts(config),
        *_processes(config),
        *_profile(config),
        *objective_problems(config),
        *judge_problems(config),
        *data_problems(config),
        *mode_problems(config),
        *validity_problems(config),
    ]


def _minibatches(config: RunConfig) -> Iterator[str]:
    if config.trainer.minibatches > config.trainer.questions_per_step:
        yield (
            f"trainer.minibatches={config.trainer.minibatches} is more than trainer.questions_per_step="
            f"{config.trainer.questions_per_step}; every minibatch needs a question"
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
    if isinstance(config.model, TinyModelConfig) and longest > TINY_POSITIONS:
        yield (
            f"the token budgets add up to {longest}, more than the {TINY_POSITIONS} positions of model=tiny; lower "
            "prompt.max_question_tokens, prompt.max_draft_tokens or sampling.max_completion_tokens"
        )


def _parts(config: RunConfig) -> Iterator[str]:
    for path in (path for path, reward in config.rewards.items() if _gives_no_verdict(reward)):
        yield (
            f"{path}=format tells no right answer from a wrong one, which every accuracy needs; "
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
    if not isinstance(config.data, GeneratedDataConfig):
        shares = [share for share in (config.data.development, config.data.test) if isinstance(share, float)]
        if sum(shares) >= 1:
            yield (
                f"data.development={config.data.development} and data.test={config.data.test} leave nothing to train "
                "on; as shares their sum must be below 1"
            )


def _profile(config: RunConfig) -> Iterator[str]:
    if not config.profile:
        return
    if config.profiling is None:
        yield "profile=true: profiling is missing; set profiling.after and profiling.steps, as conf/train.yaml does"
    elif config.profiling.after >= config.trainer.steps:
        yield (
            f"profile=true traces steps after profiling.after={config.profiling.after}, and trainer.steps="
            f"{config.trainer.steps} has none: raise trainer.steps, or lower profiling.after"
        )


def _processes(config: RunConfig) -> Iterator[str]:
    trainer, rollout = config.trainer, config.rollout
    if trainer.strategy == "single" and config.processes > 1:
        yield (
            f"trainer.strategy=single is one process, and trainer.devices={trainer.devices} x trainer.nodes="
            f"{trainer.nodes} are {config.processes}; set trainer.strategy to ddp or fsdp2"
        )
    if trainer.strategy != "single" and config.processes == 1:
        yield f"trainer.strategy={trainer.strategy} needs several processes: set trainer.devices=2 or more"
    if trainer.questions_per_step < config.processes:
        yield (
            f"trainer.questions_per_step={trainer.questions_per_step} is less than one for each of "
            f"{config.processes} processes; raise it"
        )
    if trainer.optimizer == "adamw_8bit" and (trainer.device == "cpu" or trainer.strategy == "fsdp2"):
        yield (
            "trainer.optimizer=adamw_8bit works on CUDA, on weights that are whole: not with "
            f"trainer.device={trainer.device} and trainer.strategy={trainer.strategy}; set it to adamw"
        )
    if isinstance(rollout, VllmServerConfig) and rollout.transfer == "nccl" and rollout.url is None:
        yield (
            "rollout.transfer=nccl needs a server on other devices: give its rollout.url (`igrpo serve` starts one), "
            "or set it to auto"
        )
    if isinstance(rollout, VllmColocateConfig) and rollout.tensor_parallel > 1 and config.processes > 1:
        yield (
            f"rollout.tensor_parallel={rollout.tensor_parallel} cannot go with {config.processes} processes, which "
            "have an engine each; set it to 1, or use rollout=vllm_server"
        )


def _gives_no_verdict(reward: RewardConfig) -> bool:
    if isinstance(reward, WeightedConfig):
        return all(_gives_no_verdict(part.reward) for part in reward.parts.values())
    return isinstance(reward, FormatConfig)


def missing_files(config: RunConfig) -> list[str]:
    """Return a message for each setting that names a local file, folder or module that does not exist."""
    problems: list[str] = []
    data, model = config.data, config.model
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
            problems.append(f"model.name_or_path={model.name_or_path}: {no_directory(model.name_or_path)}")
        elif model.gguf_file is not None and (problem := gguf_problem(model.name_or_path, model.gguf_file)) is not None:
            problems.append(f"model.gguf_file={model.gguf_file}: {problem}")
    for setting, reward in config.single_rewards.items():
        if not isinstance(reward, PythonRewardConfig):
            continue
        module = reward.target.partition(":")[0].partition(".")[0]
        if PathFinder.find_spec(module, [str(Path.cwd()), *sys.path]) is None:
            problems.append(
                f"{setting}.target={reward.target}: there is no module '{module}' in the working directory, and none "
                "is installed"
            )
    return [*problems, *missing_data(config), *missing_for_judges(config)]


def longest_row(config: RunConfig) -> int:
    """Return the maximum number of tokens in one trained row: question, shown drafts and completion.

    Question and drafts count as often as the longest layout repeats them. The layout's own text is not counted.
    """
    prompt = config.prompt
    longest = prompt.problems_shown("question") * prompt.max_question_tokens
    for part in config.plan.parts:
        # only a refinement's mark may stand for several drafts
        texts = prompt.texts_shown(part.layout, part.shown if part.layout == "refinement" else 1)
        asked = prompt.problems_shown(part.layout) * prompt.max_question_tokens + texts * prompt.max_draft_tokens
        longest = max(longest, asked)
    return longest + config.sampling.max_completion_tokens
