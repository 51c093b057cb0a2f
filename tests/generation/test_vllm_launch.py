"""Start of a vLLM server: its access checks and its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.generation.vllm import environment
from igrpo.generation.vllm.environment import require_vllm, server_variables, undisturbed_process
from igrpo.generation.vllm.launch import (
    check_devices,
    check_exposure,
    is_loopback,
    judge_command,
    server_command,
    start_judge_server,
    start_server,
)
from igrpo.generation.vllm.served import ServedModel
from igrpo.settings.rollout import VllmServerConfig
from tests.composed import config


def rollout(**changes: Any) -> VllmServerConfig:
    made = config(None, "rollout=vllm_server").rollout
    assert isinstance(made, VllmServerConfig)
    return made.model_copy(update={"dtype": "float32"} | changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)
    check_exposure(rollout(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "192.168.1.2", "example.org", "localhost.example.org"])
def test_other_addresses_need_a_permission_and_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_loopback(host)
    monkeypatch.delenv("IGRPO_API_KEY", raising=False)
    with pytest.raises(ValueError, match=r"rollout\.allow_remote=true"):
        check_exposure(rollout(host=host))
    with pytest.raises(ValueError, match=r"set the environment variable IGRPO_API_KEY"):
        check_exposure(rollout(host=host, allow_remote=True))
    monkeypatch.setenv("IGRPO_API_KEY", "")
    with pytest.raises(ValueError, match="needs a key"):
        check_exposure(rollout(host=host, allow_remote=True))
    monkeypatch.setenv("IGRPO_API_KEY", "secret")
    check_exposure(rollout(host=host, allow_remote=True))
    with pytest.raises(ValueError, match="not a loopback address"):
        start_server(ServedModel("m"), rollout(host=host), max_model_len=8, seed=0, log_file=Path("never"))


def command(**changes: Any) -> list[str]:
    return server_command(ServedModel("some/model", "rev", True), rollout(**changes), max_model_len=77, seed=5, port=8)


def test_a_judges_server_has_its_own_weights_and_no_gate() -> None:
    parts = judge_command(ServedModel("some/judge", "rev"), rollout(max_num_seqs=9), seed=5, port=8)
    assert (option(parts, "model"), option(parts, "served-model-name"), option(parts, "revision")) == (
        "some/judge", "some/judge", "rev",
    )  # fmt: skip
    for absent in ("load-format", "worker-extension-cls", "middleware", "enable-scale-out", "max-model-len"):
        assert f"--{absent}" not in parts
    longer = judge_command(ServedModel("some/judge"), rollout(max_model_len=99), seed=5, port=8)
    assert option(longer, "max-model-len") == "99"
    with pytest.raises(ValueError, match="not a loopback address"):
        start_judge_server(ServedModel("m"), rollout(host="0.0.0.0"), seed=0, log_file=Path("never"))


def option(parts: list[str], name: str) -> str:
    return parts[parts.index(f"--{name}") + 1]


def test_the_settings_reach_the_command_line() -> None:
    parts = command(max_num_seqs=9, enforce_eager=True, prefix_caching=False, gpu_memory_utilization=0.5)
    told = {"model": "some/model", "revision": "rev", "port": "8", "seed": "5", "max-model-len": "77", "dtype": "float32",
            "max-num-seqs": "9", "gpu-memory-utilization": "0.5", "logprobs-mode": "processed_logprobs"}  # fmt: skip
    assert {name: option(parts, name) for name in told} == told
    assert {"--enforce-eager", "--no-enable-prefix-caching", "--trust-remote-code"} <= set(parts)
    assert {"--enforce-eager", "--no-enable-prefix-caching"}.isdisjoint(command())
    assert parts[:3] == [parts[0], "-m", "vllm.entrypoints.openai.api_server"]


def test_several_engines_have_one_address_and_one_gate() -> None:
    for parts in (command(data_parallel_size=2, tensor_parallel=4),
                  judge_command(ServedModel("m"), rollout(data_parallel_size=2, tensor_parallel=4), seed=5, port=8)):  # fmt: skip
        told = {
            name: option(parts, name) for name in ("data-parallel-size", "tensor-parallel-size", "api-server-count")
        }
        assert told == {"data-parallel-size": "2", "tensor-parallel-size": "4", "api-server-count": "1"}
    assert option(command(), "data-parallel-size") == "1"


def test_engines_need_as_many_gpus_as_they_have_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"data_parallel_size": 3, "tensor_parallel": 4}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_devices(rollout(**changes))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 12)
    check_devices(rollout(**changes))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 11)
    expected = r"rollout\.data_parallel_size=3 engines of rollout\.tensor_parallel=4 .*need 12 GPUs, and 11 are visible"
    with pytest.raises(ValueError, match=expected):
        start_server(ServedModel("m"), rollout(**changes), max_model_len=8, seed=0, log_file=Path("never"))
    with pytest.raises(ValueError, match=expected):
        start_judge_server(ServedModel("m"), rollout(**changes), seed=0, log_file=Path("never"))


@pytest.mark.parametrize("cuda", [False, True])
def test_without_a_gpu_a_prompt_is_computed_whole(cuda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    for parts in (command(transfer="path"), judge_command(ServedModel("some/judge"), rollout(), seed=5, port=8)):
        assert ("--no-enable-chunked-prefill" in parts) == (not cuda)


def test_the_gate_and_the_worker_are_where_vllm_looks_for_them() -> None:
    from importlib import import_module

    parts = command()
    for name in ("middleware", "worker-extension-cls"):
        module, _, attribute = option(parts, name).rpartition(".")
        assert isinstance(getattr(import_module(module), attribute), type)


def test_a_server_is_no_rank_and_gets_its_key_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    variables = server_variables(rollout(cpu_cache_gib=3), "secret", "/weights")
    assert variables["VLLM_API_KEY"] == "secret"
    assert variables["IGRPO_WEIGHTS_DIR"] == "/weights"
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "3"
    assert variables.keys().isdisjoint({"RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK"})
    assert variables.keys().isdisjoint({"VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_SERVER_DEV_MODE"})
    assert "VLLM_API_KEY" not in server_variables(rollout(), None, None)


def test_a_machine_without_vllm_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'igrpo\[vllm\]'"):
        require_vllm()


def test_a_start_that_disturbs_the_process_is_undone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    setter = torch.set_num_threads
    with undisturbed_process():
        torch.manual_seed(9)
        torch.set_num_threads = lambda count: None
    assert torch.set_num_threads is setter
    assert torch.equal(torch.rand(3), expected)
