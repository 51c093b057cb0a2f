"""Environment variables for vLLM, and restoration of the process state that its start-up changes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import torch

from igrpo.generation.vllm.middleware import API_KEY_VARIABLE, WEIGHTS_DIR_VARIABLE
from igrpo.messages import install
from igrpo.settings.rollout import VllmEngineConfig


def require_vllm() -> None:
    """Raise if vLLM is not installed, before anything is started.

    Raises:
        ValueError: says what to install.
    """
    if find_spec("vllm") is None:
        raise ValueError(
            "rollout=vllm_colocate, rollout=vllm_server and reward=judge_vllm need vLLM, which is not installed: "
            f"{install('vllm')}"
        )


def process_variables(config: VllmEngineConfig) -> dict[str, str]:
    """Return the variables for every process that runs vLLM. Those about CPUs have no effect on a GPU.

    Threads are not bound to cores, since the trainer and other runs share the cores.
    """
    return {
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
    }


def set_process_variables(config: VllmEngineConfig) -> None:
    """Set the variables for vLLM in this process; call before vllm is imported."""
    os.environ.update(process_variables(config))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"


def server_variables(config: VllmEngineConfig, api_key: str | None, weights_dir: str | None) -> Mapping[str, str]:
    """Return the full environment of a server: that of this process without the variables of a distributed rank.

    Args:
        weights_dir: the only folder from which the server loads weights (None: any file that a client names).
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_A_RANK}
    inherited.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    variables = inherited | process_variables(config) | {"VLLM_LOGGING_LEVEL": "INFO"}
    if api_key is not None:
        variables[API_KEY_VARIABLE] = api_key
    if weights_dir is not None:
        variables[WEIGHTS_DIR_VARIABLE] = weights_dir
    return variables


# Variables that torchrun sets; a server does not belong to the trainer's process group.
_OF_A_RANK = frozenset(
    {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"}
    | {"MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"}
)


@contextmanager
def undisturbed_process() -> Iterator[None]:
    """Restore the process state that starting an engine changes.

    Covers the random states, the number of torch threads, and ``torch.set_num_threads``, which vLLM replaces by a
    function that does nothing.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    threads, set_threads = torch.get_num_threads(), torch.set_num_threads
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            torch.set_num_threads = set_threads
            set_threads(threads)
