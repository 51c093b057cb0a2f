"""Start of vLLM's server: its command line, listening address and access checks."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from pathlib import Path

import torch

from igrpo.generation.vllm.environment import server_variables
from igrpo.generation.vllm.middleware import MIDDLEWARE
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.supervisor import Supervisor, free_port
from igrpo.generation.vllm.worker import WORKER_EXTENSION
from igrpo.settings.rollout import VllmServerConfig

#: The name that the served model has in requests.
MODEL_NAME = "policy"


def api_key(config: VllmServerConfig) -> str | None:
    """Return the value of the environment variable ``rollout.api_key_env``; None if it is unset or empty."""
    return os.environ.get(config.api_key_env) or None


def check_exposure(config: VllmServerConfig) -> None:
    """Raise if the server would be open to other machines by accident or without a key.

    Anyone who reaches the server can replace its weights.

    Raises:
        ValueError: names the setting and what to do.
    """
    if is_loopback(config.host):
        return
    if not config.allow_remote:
        raise ValueError(
            f"rollout.host={config.host} is not a loopback address: if other machines are to reach the server, set "
            "rollout.allow_remote=true and a key"
        )
    if api_key(config) is None:
        raise ValueError(
            f"rollout.host={config.host}: other machines can reach the server, so it needs a key; set the environment "
            f"variable {config.api_key_env} here and where the training runs"
        )


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_devices(config: VllmServerConfig) -> None:
    """Raise if the engines need more GPUs than this process sees. Without CUDA nothing is checked.

    Raises:
        ValueError: names the settings and what to do.
    """
    needed, found = config.tensor_parallel * config.data_parallel_size, torch.cuda.device_count()
    if torch.cuda.is_available() and needed > found:
        raise ValueError(
            f"rollout.data_parallel_size={config.data_parallel_size} engines of rollout.tensor_parallel="
            f"{config.tensor_parallel} GPUs need {needed} GPUs, and {found} are visible here: lower one of them, or "
            "change CUDA_VISIBLE_DEVICES"
        )


def start_server(
    served: ServedModel, config: VllmServerConfig, *, max_model_len: int, seed: int, log_file: Path
) -> Supervisor:
    """Start a supervised server, and return before it is ready.

    Raises:
        ValueError: it would be open to others (see `check_exposure`), or needs more GPUs than there are.
    """
    check_exposure(config)
    check_devices(config)
    port = config.port or free_port(config.host)
    command = server_command(served, config, max_model_len=max_model_len, seed=seed, port=port)
    return _supervised(command, config, port, log_file)


def start_judge_server(served: ServedModel, config: VllmServerConfig, *, seed: int, log_file: Path) -> Supervisor:
    """Start a supervised server of OpenAI's chat API with the model's own weights, and return before it is ready.

    Raises:
        ValueError: it would be open to others (see `check_exposure`), or needs more GPUs than there are.
    """
    check_exposure(config)
    check_devices(config)
    port = config.port or free_port(config.host)
    return _supervised(judge_command(served, config, seed=seed, port=port), config, port, log_file)


def _supervised(command: list[str], config: VllmServerConfig, port: int, log_file: Path) -> Supervisor:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return Supervisor(
        command,
        server_variables(config, api_key(config), config.weights_dir),
        url=f"http://{host}:{port}",
        log_file=log_file,
        ready_timeout_s=config.ready_timeout_s,
        max_restarts=config.max_restarts,
    )


def server_command(
    served: ServedModel, config: VllmServerConfig, *, max_model_len: int, seed: int, port: int
) -> list[str]:
    """Return the command line of a server that samples for a training run; weights come with the first sync."""
    options: dict[str, object] = {
        "served-model-name": MODEL_NAME,
        "load-format": "dummy",  # the trainer's weights come with its first sync
        "max-model-len": max_model_len,
        "logprobs-mode": "processed_logprobs",
        "generation-config": "vllm",
        "worker-extension-cls": WORKER_EXTENSION,
        "middleware": MIDDLEWARE,
    }
    if config.transfer != "path" and torch.cuda.is_available():
        options["weight-transfer-config"] = json.dumps({"backend": "nccl"})
    return _command(served, config, options, ["enable-scale-out", "enable-prompt-tokens-details"], seed=seed, port=port)


def judge_command(served: ServedModel, config: VllmServerConfig, *, seed: int, port: int) -> list[str]:
    """Return the command line of a judge's server.

    It serves the model under its own name, by which the cache of scores identifies it.
    """
    options: dict[str, object] = {"served-model-name": served.path}
    if config.max_model_len is not None:
        options["max-model-len"] = config.max_model_len
    return _command(served, config, options, [], seed=seed, port=port)


def _command(
    served: ServedModel,
    config: VllmServerConfig,
    options: dict[str, object],
    flags: list[str],
    *,
    seed: int,
    port: int,
) -> list[str]:
    """Build the command line.

    The module is run by name, because the ``vllm`` command of the CPU package looks for a package that is not
    installed.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    options |= {
        "model": served.path,
        "host": config.host,
        "port": port,
        "dtype": config.dtype,
        "seed": seed,
        "max-num-seqs": config.max_num_seqs,
        "tensor-parallel-size": config.tensor_parallel,
        "data-parallel-size": config.data_parallel_size,
        "api-server-count": 1,  # the gate's state, and vLLM's balancer, are those of one process
        "gpu-memory-utilization": config.gpu_memory_utilization,
    }
    if served.revision is not None:
        options["revision"] = served.revision
    # vLLM rewinds a generator's offset when a batch ends within a seeded prompt; CPU generators have no offset
    flags += [] if torch.cuda.is_available() else ["no-enable-chunked-prefill"]
    flags += ["enforce-eager"] if config.enforce_eager else []
    flags += ["trust-remote-code"] if served.trust_remote_code else []
    flags += ["enable-prefix-caching" if config.prefix_caching else "no-enable-prefix-caching"]
    return [
        *command,
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        *(f"--{flag}" for flag in flags),
    ]
