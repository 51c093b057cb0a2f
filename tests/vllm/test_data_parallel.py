"""A real vLLM server of two engines behind one address: updates reach both, and one that stays behind is refused."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from igrpo.generation.vllm.client import VllmClient
from igrpo.generation.vllm.server import VllmServerEngine
from igrpo.processes import wait_ended
from igrpo.settings.rollout import VllmServerConfig
from igrpo.types import Completion
from tests.vllm.models import (
    CLOSE,
    PROMPTS,
    Small,
    engine_labels,
    greedy,
    largest_gap,
    local_greedy,
    perturb,
    sample_all,
    trainer_labels,
)
from tests.vllm.stale_worker import STALE_WORKER
from tests.vllm.test_server import KEY, Running
from tests.waiting import DEADLINE_S

ROOT = Path(__file__).parents[2]
ENGINES = 2


@pytest.fixture(scope="module")
def running(
    tied_qwen: Small, server_config: VllmServerConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    settings = server_config.model_copy(update={"data_parallel_size": ENGINES})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("igrpo.generation.vllm.launch.WORKER_EXTENSION", STALE_WORKER)
        patched.setenv("PYTHONPATH", str(ROOT))
        made = Running(tied_qwen, settings, tmp_path_factory.mktemp("two"))
    yield made
    left = made.processes
    made.server.close()
    assert wait_ended(left, DEADLINE_S) == []


def on_every_engine(
    engine: VllmServerEngine, small: Small, temperature: float, seed: int = 0
) -> list[list[Completion]]:
    """The completions of every prompt, by engine."""

    async def sampled() -> list[tuple[Completion, ...]]:
        params = small.params(temperature)
        return [await engine.sample_on_every_replica(prompt, params, seed) for prompt in PROMPTS]

    return [list(of_engine) for of_engine in zip(*asyncio.run(sampled()), strict=True)]


def answered(running: Running) -> list[int]:
    """The number of requests that each engine has answered, by vLLM's own count."""
    request = urllib.request.Request(f"{running.server.url}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        text = reply.read().decode()
    found = re.findall(r'^vllm:request_success_total\{engine="(\d+)",.*\} ([\d.e+]+)$', text, re.MULTILINE)
    return [sum(int(float(count)) for rank, count in found if int(rank) == engine) for engine in range(ENGINES)]


def test_every_engine_samples_from_the_weights_of_each_update(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="updates")
    status = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    assert status is not None
    assert (status.engines, status.workers) == (ENGINES, ENGINES)
    for version in range(3):
        perturb(tied_qwen.model, 210 + version)
        engine.sync_weights(version)
        assert engine_labels(engine) == trainer_labels(tied_qwen)
        before, expected = answered(running), local_greedy(tied_qwen)
        for completions in on_every_engine(engine, tied_qwen, 0.0):
            assert [completion.token_ids for completion in completions] == expected
            assert {completion.policy_version for completion in completions} == {version}
        assert [after - count for after, count in zip(answered(running), before, strict=True)] == [
            len(PROMPTS)
        ] * ENGINES
    engine.close()


def test_a_seed_is_the_same_sample_on_every_engine(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="seeds")
    engine.sync_weights(0)
    for seed in (1, 2**63 - 1):
        first, second = on_every_engine(engine, tied_qwen, 0.8, seed)
        for prompt, one, other in zip(PROMPTS, first, second, strict=True):
            assert one.token_ids == other.token_ids
            for completion in (one, other):
                assert largest_gap(tied_qwen, prompt, completion, 0.8) < CLOSE
    engine.close()


def test_the_balancer_uses_both_engines(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="balanced")
    engine.sync_weights(0)
    before = answered(running)
    sample_all(engine, [(prompt, tied_qwen.params(1.0), range(8)) for prompt in PROMPTS])
    counts = [after - count for after, count in zip(answered(running), before, strict=True)]
    assert sum(counts) == 8 * len(PROMPTS)
    assert min(counts) > 0
    engine.close()


def test_an_engine_that_stays_behind_is_refused_by_its_rank(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="stale")
    engine.sync_weights(0)
    perturb(tied_qwen.model, 230)
    with pytest.raises(RuntimeError, match="worker 0 of data-parallel rank 1 has the weights stale-0, not stale-1"):
        engine.sync_weights(1)
    with pytest.raises(RuntimeError, match="first sync_weights"):
        greedy(engine, tied_qwen)
    status = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    assert status is not None
    assert status.weights is None
    engine.close()
    fresh = running.engine(session="fresh")  # the server still works
    fresh.sync_weights(0)
    assert greedy(fresh, tied_qwen) == local_greedy(tied_qwen)
    fresh.close()


@contextmanager
def _killed_soon(victim: psutil.Process) -> Iterator[None]:
    """Kill the process after a second, in which requests have reached it."""
    timer = threading.Timer(1.0, victim.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def _engine_process(running: Running, rank: int) -> psutil.Process:
    (found,) = [process for process in running.processes if f"EngineCore_DP{rank}" in " ".join(process.cmdline())]
    return found


@pytest.mark.parametrize("during", ["samples", "load"])
def test_the_loss_of_one_engine_is_that_of_the_server(running: Running, tied_qwen: Small, during: str) -> None:
    """All engines start again and get the weights: the samples are of the right ones."""
    engine = running.engine(session=f"lost-{during}")
    engine.sync_weights(0)
    before = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    victim = _engine_process(running, rank=1)
    victim.send_signal(signal.SIGSTOP)  # takes what it is sent, and does not answer
    if during == "load":
        with _killed_soon(victim):
            perturb(tied_qwen.model, 240)
            engine.sync_weights(1)
    else:
        with _killed_soon(victim):
            assert greedy(engine, tied_qwen) == local_greedy(tied_qwen)
    after = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    assert before is not None
    assert after is not None
    assert after.boot != before.boot
    for completions in on_every_engine(engine, tied_qwen, 0.0):
        assert [completion.token_ids for completion in completions] == local_greedy(tied_qwen)
    engine.close()
