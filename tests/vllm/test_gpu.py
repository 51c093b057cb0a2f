"""What only CUDA has: sleep, weights by NCCL, engines on devices of their own. Not run where there is no GPU."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch

from igrpo.generation.vllm.colocate import VllmColocateEngine
from igrpo.generation.vllm.launch import start_server
from igrpo.generation.vllm.server import VllmServerEngine
from igrpo.settings.rollout import VllmColocateConfig, VllmServerConfig
from tests.vllm.models import (
    MAX_LEN,
    PROMPTS,
    Small,
    engine_labels,
    largest_gap,
    make_small,
    perturb,
    sample_all,
    trainer_labels,
)

pytestmark = pytest.mark.gpu

#: Nats: another kernel, in float32, and tensor cores that round to TF32.
CLOSE = 0.02


def needs(devices: int) -> pytest.MarkDecorator:
    found = torch.cuda.device_count()
    return pytest.mark.skipif(found < devices, reason=f"needs {devices} CUDA devices, and there are {found}")


def on_cuda(small: Small) -> Small:
    small.model.to("cuda")
    return small


def check(engine: VllmColocateEngine | VllmServerEngine, small: Small) -> None:
    assert engine.fingerprints() == trainer_labels(small)
    sampled = sample_all(engine, [(prompt, small.params(1.0), (1,)) for prompt in PROMPTS])
    small.model.cpu()
    gaps = [largest_gap(small, prompt, done[0], 1.0) for prompt, done in zip(PROMPTS, sampled, strict=True)]
    small.model.to("cuda")
    assert max(gaps) < CLOSE


@needs(1)
@pytest.mark.parametrize("tied", [True, False])
def test_sleep_gives_memory_back_and_updates_arrive(
    tied: bool, colocate_config: VllmColocateConfig, tmp_path: Path
) -> None:
    small = on_cuda(make_small(tmp_path, "qwen2", tied=tied))
    settings = colocate_config.model_copy(update={"sleep": True})
    engine = VllmColocateEngine(small.model, small.tokenizer, small.served, settings, max_model_len=MAX_LEN, seed=0)
    for version in range(3):
        perturb(small.model, 30 + version)
        engine.sync_weights(version)
        check(engine, small)
        awake = torch.cuda.mem_get_info()[0]
        engine.sleep()
        assert torch.cuda.mem_get_info()[0] > awake + (1 << 28)
        if version == 1:
            check(engine, small)  # wakes up by itself
    engine.close()


def engine_of(small: Small, settings: VllmServerConfig, url: str, weights_dir: Path) -> VllmServerEngine:
    return VllmServerEngine(
        small.model, small.tokenizer, settings, url=url, api_key=None, session="gpu", weights_dir=weights_dir,
        max_model_len=MAX_LEN, server=None,
    )  # fmt: skip


@needs(2)
def test_weights_by_nccl(server_config: VllmServerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = on_cuda(make_small(tmp_path / "model", "qwen2", tied=True))
    settings = server_config.model_copy(update={"transfer": "nccl"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # for the server; this process has seen its devices by now
    log = tmp_path / "server.log"
    with start_server(small.served, settings, max_model_len=MAX_LEN, seed=0, log_file=log) as server:
        engine = engine_of(small, settings, server.url, tmp_path / "weights")
        for version in range(3):
            perturb(small.model, 40 + version)
            engine.sync_weights(version)
            check(engine, small)
        assert not (tmp_path / "weights").exists()
        engine.close()


@pytest.mark.parametrize(
    ("transfer", "split"),
    [
        pytest.param("nccl", 1, marks=needs(3)),
        pytest.param("path", 1, marks=needs(3)),
        pytest.param("nccl", 2, marks=needs(5)),
    ],
)
def test_every_engine_gets_the_weights(
    transfer: str,
    split: int,
    server_config: VllmServerConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a server with two engines on ``split`` devices each, none of which is the trainer's."""
    engines = 2
    small = on_cuda(make_small(tmp_path / "model", "qwen2", tied=True))
    changes = {"transfer": transfer, "tensor_parallel": split, "data_parallel_size": engines}
    settings = server_config.model_copy(update=changes | {"weights_dir": str(tmp_path / "weights")})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(str(1 + device) for device in range(split * engines)))
    log = tmp_path / "server.log"
    with start_server(small.served, settings, max_model_len=MAX_LEN, seed=0, log_file=log) as server:
        engine = engine_of(small, settings, server.url, tmp_path / "weights")
        for version in range(3):
            perturb(small.model, 50 + version)
            engine.sync_weights(version)
            assert engine_labels(engine) == trainer_labels(small)
            sampled = asyncio.run(engine.sample_on_every_replica(PROMPTS[3], small.params(1.0), 1))
            assert len(sampled) == engines
            small.model.cpu()
            assert max(largest_gap(small, PROMPTS[3], completion, 1.0) for completion in sampled) < CLOSE
            small.model.to("cuda")
        assert (tmp_path / "weights").exists() == (transfer == "path")
        engine.close()
