"""`igrpo serve`: start a vLLM server for a separate training process with the same settings, or for a judge."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.config import RunConfig
    from igrpo.generation.vllm.served import ServedModel
    from igrpo.generation.vllm.supervisor import Supervisor
    from igrpo.settings.rollout import VllmServerConfig

_EXAMPLES = (
    "igrpo serve experiment=NAME rollout.port=8000",
    "igrpo train experiment=NAME rollout=vllm_server rollout.url=http://127.0.0.1:8000",
    "igrpo serve --judge model.name_or_path=DIRECTORY rollout.port=8001 rollout.api_key_env=IGRPO_JUDGE_API_KEY",
    "igrpo train experiment=NAME reward=judge reward.base_url=http://127.0.0.1:8001/v1 reward.model=DIRECTORY",
)

_NOTES = """\
Settings of a server (all are in conf/rollout/vllm_server.yaml)
  rollout.host, rollout.port   address; other addresses than those of this machine need rollout.allow_remote=true and a
                               key in the environment variable rollout.api_key_env, on both sides
  rollout.weights_dir          a folder that the server and a training on another machine share
  rollout.data_parallel_size   engines behind the address; a node of 8 GPUs with a model that takes 4 of them:
                               rollout.tensor_parallel=4 rollout.data_parallel_size=2"""

#: Default settings for a judge, so that its model name is enough. The prompt is a placeholder: a judge uses none.
_OF_A_JUDGE = ("model=huggingface", "prompt=boxed")

_ROLLOUT = re.compile(r"\+{0,2}rollout=")


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "serve",
        "Run a vLLM server until Ctrl-C. Give it the settings of the training that will use it: the model, the lengths "
        "and the rollout are used. The training sends its weights after every step.\n\n"
        "With --judge, serve a model with its own weights behind OpenAI's chat API: a judge for reward=judge. Only the "
        "settings model.* and rollout.* are used.",
        _EXAMPLES,
        settings="settings of the training, or of the judge",
        notes=lambda width: _NOTES,
    )
    made.add_argument("--judge", action="store_true", help="run an OpenAI-compatible server of a judge")
    return made


def run(asked: argparse.Namespace) -> int:
    """Serve until stopped, and return the exit code.

    Raises:
        ConfigError: invalid settings, or something that they require is missing; nothing was started.
        KeyboardInterrupt, Terminated: the server was stopped.
    """
    config = _configuration([*_OF_A_JUDGE, *asked.settings] if asked.judge else asked.settings)
    from igrpo.generation.vllm.environment import require_vllm
    from igrpo.generation.vllm.launch import check_exposure

    try:
        require_vllm()
        check_exposure(_rollout(config))
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    from igrpo.runs.lifecycle import SignalHandlers

    with TemporaryDirectory(prefix="igrpo-serve-") as folder, SignalHandlers():
        return _serve(config, Path(folder), for_judge=asked.judge)


def _configuration(overrides: Sequence[str]) -> RunConfig:
    from igrpo.config.composing.composer import Composer
    from igrpo.runs.resume import require_files
    from igrpo.settings.rollout import VllmServerConfig

    given = any(_ROLLOUT.match(text) for text in overrides)
    with Composer("train") as composer:
        config = composer.check_run([*overrides] if given else ["rollout=vllm_server", *overrides]).config
    rollout = config.rollout
    if not isinstance(rollout, VllmServerConfig):
        raise ConfigError([f"rollout={rollout.name}: igrpo serve is for rollout=vllm_server; leave it out"])
    if rollout.url is not None:
        raise ConfigError([f"rollout.url={rollout.url} is for the training that uses a server; leave it out here"])
    require_files([config])
    return config


def _rollout(config: RunConfig) -> VllmServerConfig:
    from igrpo.settings.rollout import VllmServerConfig

    assert isinstance(config.rollout, VllmServerConfig)  # see _configuration
    return config.rollout


def _serve(config: RunConfig, folder: Path, *, for_judge: bool) -> int:
    from igrpo.generation.vllm.supervisor import ServerError

    try:
        with _start_judge(config, folder) if for_judge else _start(config, folder) as server:
            print(f"starting vLLM at {server.url} (its log: {folder / 'server.log'}) ...", flush=True)
            server.wait_ready()
            print(f"ready; {_settings_of_judge(config, server.url) if for_judge else _settings(config, server.url)}")
            print("stop the server with Ctrl-C", flush=True)
            server.wait()
    except ServerError as error:
        print(f"igrpo: {error}", file=sys.stderr)
    return 1


def _start(config: RunConfig, folder: Path) -> Supervisor:
    from igrpo.assembly import build_policy, build_prompts
    from igrpo.assembly.vllm import (
        check_cpu_experts,
        check_cpu_heads,
        longest_sequence,
        served_model,
        with_trainer_dtype,
    )
    from igrpo.generation.vllm.launch import start_server
    from igrpo.runs.console import get_console

    rollout = _rollout(config)
    try:
        policy = build_policy(config, get_console())
        check_cpu_heads(policy.model.config)
        check_cpu_experts(policy.model.config, rollout.data_parallel_size)
        served = served_model(config, policy, folder / "model")
        longest = longest_sequence(config, build_prompts(config.prompt, policy.tokenizer))
        del policy  # the server loads its own copy
        return start_server(
            served,
            with_trainer_dtype(rollout, config),
            max_model_len=longest,
            seed=config.seed,
            log_file=folder / "server.log",
        )
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _start_judge(config: RunConfig, folder: Path) -> Supervisor:
    from igrpo.generation.vllm.launch import start_judge_server

    try:
        return start_judge_server(_judge(config), _rollout(config), seed=config.seed, log_file=folder / "server.log")
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _judge(config: RunConfig) -> ServedModel:
    from igrpo.generation.vllm.served import ServedModel
    from igrpo.settings.model import HuggingFaceModelConfig

    model = config.model
    if not isinstance(model, HuggingFaceModelConfig):
        raise ConfigError([f"model={model.name}: igrpo serve --judge is for model=huggingface; leave it out"])
    if model.gguf_file is not None:
        raise ConfigError(
            [f"model.gguf_file={model.gguf_file}: igrpo serve --judge does not read GGUF; give a directory"]
        )
    return ServedModel.named(model.name_or_path, model.revision, trust_remote_code=model.trust_remote_code)


def _settings_of_judge(config: RunConfig, url: str) -> str:
    from igrpo.config.composing.overrides import in_shell, setting

    rollout = _rollout(config)
    model = in_shell(setting("reward.model", _judge(config).path))
    settings = f"reward=judge reward.base_url={url}/v1 {model}"
    return f"train with:\n  {settings} reward.api_key_env={rollout.api_key_env}"


def _settings(config: RunConfig, url: str) -> str:
    from igrpo.config.composing.overrides import in_shell, setting

    rollout = _rollout(config)
    settings = f"rollout=vllm_server rollout.url={url}"
    settings += (
        "" if rollout.weights_dir is None else f" {in_shell(setting('rollout.weights_dir', rollout.weights_dir))}"
    )
    return f"train with the same settings and:\n  {settings}"
