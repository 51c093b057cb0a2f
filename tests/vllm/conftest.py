"""For the environment of `make test-vllm`; elsewhere its tests are skipped, which pytest counts and explains.

Starting vLLM takes most of a minute, so that engines and servers are shared by the tests of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.settings.rollout import VllmColocateConfig, VllmServerConfig
from tests.composed import config
from tests.vllm.models import MAX_LEN, Small, make_small

_HERE = Path(__file__).parent

#: What a test machine needs: no compilation, a small cache, float32 for exact comparisons.
QUICK: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "gpu_memory_utilization": 0.3,
    "max_num_seqs": 64,
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vllm: needs vLLM, in the environment of `make test-vllm`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = find_spec("vllm") is None
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(600))
            if missing:
                item.add_marker(pytest.mark.skip(reason="needs vLLM: run it by `make test-vllm`"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def colocate_config() -> VllmColocateConfig:
    rollout = config(None, "rollout=vllm_colocate").rollout
    assert isinstance(rollout, VllmColocateConfig)
    return rollout.model_copy(update=QUICK)


@pytest.fixture(scope="session")
def server_config() -> VllmServerConfig:
    rollout = config(None, "rollout=vllm_server").rollout
    assert isinstance(rollout, VllmServerConfig)
    return rollout.model_copy(update=QUICK | {"ready_timeout_s": 300.0, "request_timeout_s": 300.0})


@pytest.fixture(scope="session")
def tied_qwen(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("tied_qwen"), "qwen2", tied=True)


@pytest.fixture(scope="session")
def untied_llama(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("untied_llama"), "llama", tied=False)


@pytest.fixture(scope="session")
def tied_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("tied_qwen3"), "qwen3", tied=True)


@pytest.fixture(scope="session")
def nemotron(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("nemotron"), "nemotron_h", tied=False)


Start = Callable[..., Any]


@pytest.fixture(scope="session")
def colocated(colocate_config: VllmColocateConfig) -> Iterator[Start]:
    """Engine of a model in this process. There is one at a time, kept until another model is asked for.

    ``changes``: changed settings; always the same ones for a model.
    """
    from igrpo.generation.vllm.colocate import VllmColocateEngine

    running: list[tuple[Small, VllmColocateEngine]] = []

    def start(small: Small, **changes: Any) -> VllmColocateEngine:
        if not running or running[0][0] is not small:
            while running:
                running.pop()[1].close()
            settings = colocate_config.model_copy(update=changes)
            engine = VllmColocateEngine(
                small.model, small.tokenizer, small.served, settings, max_model_len=MAX_LEN, seed=0
            )
            running.append((small, engine))
        return running[0][1]

    yield start
    for _, engine in running:
        engine.close()
