"""A real vLLM server: what it samples from, how it comes back, who may ask."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from igrpo.generation.base import SamplingParams
from igrpo.generation.vllm.client import VllmClient
from igrpo.generation.vllm.launch import start_server
from igrpo.generation.vllm.server import VllmServerEngine
from igrpo.generation.vllm.supervisor import Supervisor
from igrpo.models.lora import add_adapters
from igrpo.processes import wait_ended
from igrpo.settings.rollout import VllmServerConfig
from igrpo.types import Completion
from tests.vllm.models import (
    CLOSE,
    LONG_PROMPT,
    MAX_LEN,
    PROMPTS,
    Small,
    check_five_updates,
    check_many_prompts,
    check_seeds,
    engine_labels,
    greedy,
    largest_gap,
    local_greedy,
    make_small,
    perturb,
    sample_all,
    trainer_labels,
)
from tests.waiting import DEADLINE_S

KEY = "a key of this test"


class Running:
    """A supervised server, and what is needed to make engines on it."""

    def __init__(self, small: Small, config: VllmServerConfig, folder: Path) -> None:
        self.config = config.model_copy(update={"weights_dir": str(folder / "weights")})
        self.small, self.folder = small, folder
        with pytest.MonkeyPatch.context() as patched:  # servers of other tests have no key
            patched.setenv(config.api_key_env, KEY)
            self.server: Supervisor = start_server(
                small.served, self.config, max_model_len=MAX_LEN, seed=0, log_file=folder / "server.log"
            )
        self.server.wait_ready()

    def engine(self, small: Small | None = None, session: str = "run", key: str | None = KEY) -> VllmServerEngine:
        used = small or self.small
        return VllmServerEngine(
            used.model,
            used.tokenizer,
            self.config,
            url=self.server.url,
            api_key=key,
            session=session,
            weights_dir=self.folder / "weights",
            max_model_len=MAX_LEN,
            server=None,
        )

    @property
    def processes(self) -> list[psutil.Process]:
        """The server's own and those that it started, of which one is vLLM's engine."""
        return psutil.Process(os.getpid()).children(recursive=True)


@pytest.fixture(scope="module")
def running(
    tied_qwen: Small, server_config: VllmServerConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    made = Running(tied_qwen, server_config, tmp_path_factory.mktemp("server"))
    yield made
    left = made.processes
    made.server.close()
    assert len(left) >= 3
    assert wait_ended(left, DEADLINE_S) == []


def check_long_prompt(engine: VllmServerEngine, small: Small) -> None:
    """Its blocks are in the cache after it was asked once, and were made by the weights of now."""
    for computed in (len(LONG_PROMPT), len(LONG_PROMPT) - 2 * 128):
        before = engine.prefilled_tokens
        ((completion,),) = sample_all(engine, [(LONG_PROMPT, small.params(0.8), (1,))])
        assert largest_gap(small, LONG_PROMPT, completion, 0.8) < CLOSE
        assert engine.prefilled_tokens - before == computed


def test_it_samples_from_the_weights_of_each_of_five_updates(running: Running, tied_qwen: Small) -> None:
    engine = running.engine()
    check_five_updates(engine, tied_qwen, 150, lambda: check_long_prompt(engine, tied_qwen))
    engine.close()


def test_adapters_are_merged(running: Running, tmp_path: Path) -> None:
    small = make_small(tmp_path, "qwen2", tied=True, seed=19)
    add_adapters(small.model, rank=4, alpha=8.0, targets="all-linear", seed=3)
    engine = running.engine(small, session="lora")
    perturb(small.model, 170, scale=0.2)
    engine.sync_weights(0)
    assert engine_labels(engine) == trainer_labels(small)
    assert greedy(engine, small) == local_greedy(small)
    engine.close()


def test_more_prompts_than_a_batch_holds(running: Running, tied_qwen: Small) -> None:
    engine = running.engine()
    engine.sync_weights(0)
    check_many_prompts(engine, tied_qwen)
    engine.close()


def test_a_seed_is_a_sample(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="seeds")
    engine.sync_weights(0)
    check_seeds(engine, tied_qwen)
    engine.close()


def test_work_is_counted_as_in_this_process(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="counted")
    engine.sync_weights(0)
    prompt = tuple(6 + i % 250 for i in range(150))  # more than a block of the cache, which has 128 tokens on a CPU
    sample_all(engine, [(prompt, tied_qwen.params(1.0, 4), (1,))])
    assert engine.prefilled_tokens == 150
    sample_all(engine, [(prompt, tied_qwen.params(1.0, 4), (2,))])
    assert engine.prefilled_tokens == 150 + 22
    engine.close()


def test_samples_of_other_weights_are_refused(running: Running, tied_qwen: Small) -> None:
    engine = running.engine(session="mine")
    engine.sync_weights(0)
    client = VllmClient(running.server.url, KEY, request_timeout_s=60.0)
    status = client.status()
    assert status is not None
    assert status.weights == "mine-0"
    body = {"token_ids": [7, 8], "sampling_params": {"max_tokens": 2}}
    for label, expected in (("mine-0", 200), ("mine-1", 409), ("other-0", 409), (None, 409)):
        assert post(running.server.url, "/inference/v1/generate", body, KEY, label) == expected
    other = running.engine(session="other")
    other.sync_weights(0)
    with pytest.raises(RuntimeError, match="another run has loaded"):
        sample_all(engine, [(PROMPTS[0], tied_qwen.params(1.0), (1,))])
    engine.close()
    other.close()


def test_nothing_but_health_is_answered_without_the_key(running: Running) -> None:
    url = running.server.url
    paths = ["/v1/models", "/v1/completions", "/inference/v1/generate", "/igrpo/weights", "/metrics", "/tokenize",
             "/version", "/docs", "/openapi.json", "/pause", "/collective_rpc"]  # fmt: skip
    for path in paths:
        assert post(url, path, {}, None) == 401, path
        assert post(url, path, {}, "wrong") == 401, path
    with urllib.request.urlopen(f"{url}/health", timeout=30) as reply:
        assert reply.status == 200
    with pytest.raises(RuntimeError, match="another API key"):
        running.engine(key="wrong").sync_weights(0)


def test_vllms_development_endpoints_are_off(running: Running) -> None:
    for path in ("/collective_rpc", "/pause", "/sleep", "/reset_prefix_cache", "/update_weights", "/server_info"):
        assert post(running.server.url, path, {"method": "x"}, KEY) in {404, 405}, path


def test_the_key_is_in_no_command_line(running: Running) -> None:
    assert running.processes
    for process in running.processes:
        assert KEY not in _command(process)


def post(url: str, path: str, body: Any, key: str | None, label: str | None = None) -> int:
    headers = {"Content-Type": "application/json"}
    headers |= {} if key is None else {"Authorization": f"Bearer {key}"}
    headers |= {} if label is None else {"X-Igrpo-Weights": label}
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("victim", ["engine", "server"])
def test_samples_have_the_right_weights_after_a_server_kill(running: Running, tied_qwen: Small, victim: str) -> None:
    engine = running.engine(session=f"killed-{victim}")
    engine.sync_weights(0)
    perturb(tied_qwen.model, 180)
    engine.sync_weights(1)
    params = SamplingParams(1.0, 1.0, 0, 100, ())
    calls = [(prompt, params, tuple(range(10 * i, 10 * i + 6))) for i, prompt in enumerate(PROMPTS)]
    undisturbed = sample_all(engine, calls)
    before = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    assert before is not None

    results = asyncio.run(_with_a_kill(engine, calls, _process(running, victim)))
    after = VllmClient(running.server.url, KEY, request_timeout_s=60.0).status()
    assert after is not None
    assert after.boot != before.boot
    assert after.weights == f"killed-{victim}-1"
    for (prompt, _, _), completions, same in zip(calls, results, undisturbed, strict=True):
        assert [completion.token_ids for completion in completions] == [completion.token_ids for completion in same]
        for completion in completions:
            assert completion.policy_version == 1
            assert largest_gap(tied_qwen, prompt, completion, 1.0) < CLOSE
    assert engine_labels(engine) == trainer_labels(tied_qwen)
    engine.close()


async def _with_a_kill(
    engine: VllmServerEngine, calls: Sequence[tuple[Any, Any, Any]], victim: psutil.Process
) -> list[tuple[Completion, ...]]:
    """Finish one call before the kill; the others are on their way when it comes, however fast the machine is: the
    process is stopped before it can have answered them all, and dies without going on."""
    first = await engine.sample(*calls[0])
    rest = [asyncio.ensure_future(engine.sample(*call)) for call in calls[1:]]
    await asyncio.sleep(0.02)
    victim.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)  # what it had answered arrives
    assert not all(task.done() for task in rest)
    victim.kill()
    assert await asyncio.to_thread(wait_ended, [victim], 60) == []
    return [first, *await asyncio.gather(*rest)]


def _process(running: Running, victim: str) -> psutil.Process:
    wanted = "EngineCore" if victim == "engine" else "api_server"
    commands = {process: _command(process) for process in running.processes}
    found = [process for process, text in commands.items() if wanted in text and "guard.py" not in text]
    assert len(found) == 1, list(commands.values())
    return found[0]


def _command(process: psutil.Process) -> str:
    """Empty of a process that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
