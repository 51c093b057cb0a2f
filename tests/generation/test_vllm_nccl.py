"""Transfer of weights by NCCL: when it is chosen, and what happens to the group when the server restarts.

vLLM's sender is faked down to its calls of the server; the tensors are passed in memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from igrpo import distributed
from igrpo.generation.vllm.server import VllmServerEngine
from tests.composed import config
from tests.generation.conftest import params
from tests.generation.vllm_fake import FakeServer, fake_tokens

PROMPT, SEEDS, NEW = (5, 6, 7), (1, 2, 3), 4


class NcclSender:
    """vLLM's sender. ``made`` lists all instances; ``server`` receives their tensors."""

    made: list[NcclSender]
    server: FakeServer

    def __init__(self, info: Any, client: Any, source: Any) -> None:
        self.info, self.client, self.source, self.ended = info, client, source, False
        self.made.append(self)

    @classmethod
    def trainer_init(cls, info: Any, *, client: Any, source: Any) -> NcclSender:
        client.init_weight_transfer_engine({"world_size": info.world_size})
        return cls(info, client, source)

    def send_weights(self) -> None:
        assert not self.ended
        self.client.start_weight_update()
        self.client.update_weights({"names": [meta.name for meta in self.source.metadata()]})
        self.server.tensors = {name: tensor.clone() for name, tensor in self.source}
        self.client.finish_weight_update()

    def shutdown(self) -> None:
        self.ended = True


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    fake.device, fake.nccl = "cuda", True
    yield fake
    fake.close()


@pytest.fixture(autouse=True)
def groups(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> list[NcclSender]:
    """vLLM and CUDA are here, as far as is asked."""
    monkeypatch.setattr(NcclSender, "made", [], raising=False)
    monkeypatch.setattr(NcclSender, "server", server, raising=False)
    transfer = "vllm.distributed.weight_transfer"
    modules: dict[str, dict[str, Any]] = {
        "vllm": {"__spec__": ModuleSpec("vllm", None)},
        "vllm.distributed": {},
        transfer: {},
        f"{transfer}.base": {
            "WeightSource": object,
            "ParamMeta": lambda name, dtype, shape: SimpleNamespace(name=name, dtype=dtype, shape=shape),
        },
        f"{transfer}.nccl_engine": {
            "NCCLTrainerInitInfo": SimpleNamespace,
            "NCCLTrainerWeightTransferEngine": NcclSender,
        },
        "vllm.utils": {},
        "vllm.utils.network_utils": {"get_open_port": lambda: 4321},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return NcclSender.made


@pytest.fixture
def start(
    server: FakeServer, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> Iterator[Any]:
    engines = []

    def start(*, own_server: bool = False, **changes: Any) -> VllmServerEngine:
        quick = {"dtype": "bfloat16", "request_timeout_s": 5.0, "ready_timeout_s": 5.0, "max_restarts": 2}
        rollout: Any = config(None, "rollout=vllm_server").rollout.model_copy(update=quick | changes)
        mine: Any = SimpleNamespace(failure=None, close=lambda: None) if own_server else None
        engines.append(
            VllmServerEngine(
                model, tokenizer, rollout, url=server.url, api_key=None, session="run",
                weights_dir=tmp_path / "weights", max_model_len=64, server=mine,
            )
        )  # fmt: skip
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def tokens(engine: VllmServerEngine) -> list[tuple[int, ...]]:
    completions = asyncio.run(engine.sample(PROMPT, params(max_new_tokens=NEW), SEEDS))
    return [completion.token_ids for completion in completions]


EXPECTED = [tuple(fake_tokens(list(PROMPT), seed, NEW)) for seed in SEEDS]


def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the main one of two processes; the other would say the same."""
    monkeypatch.setattr(distributed, "world", lambda: 2)
    monkeypatch.setattr(distributed, "gather", lambda value: [value, value])
    monkeypatch.setattr(distributed, "from_main", lambda value: value)


def die_once(server: FakeServer) -> None:
    server.on_request = lambda number: "die" if number == 2 else None


@pytest.mark.parametrize("transfer", ["auto", "nccl"])
def test_the_weights_of_the_moment_go_over_without_a_file(
    transfer: str, start: Any, server: FakeServer, groups: list[NcclSender], model: PreTrainedModel
) -> None:
    engine = start(transfer=transfer)
    for step in range(2):
        with torch.no_grad():
            model.get_input_embeddings().weight.add_(0.25)
        engine.sync_weights(step)
        assert server.has_weights_of(model)
        assert tokens(engine) == EXPECTED
    assert (server.transfers, server.loads) == (["run-0", "run-1"], [])
    (group,) = groups
    assert (group.info.world_size, group.info.rank, group.info.master_address) == (2, 0, "127.0.0.1")
    engine.close()
    assert group.ended


def test_the_group_has_a_rank_for_every_worker_of_every_engine(
    start: Any, server: FakeServer, groups: list[NcclSender]
) -> None:
    server.engines, server.workers = 2, 8
    engine = start()
    engine.sync_weights(0)
    assert groups[0].info.world_size == 1 + 8
    assert len(asyncio.run(engine.sample_on_every_replica(PROMPT, params(max_new_tokens=NEW), 1))) == 2


@pytest.mark.parametrize("reason", ["path", "no CUDA there", "no NCCL there", "no CUDA here", "no vLLM", "own server"])
def test_else_it_is_a_file(
    reason: str, start: Any, server: FakeServer, groups: list[NcclSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "no CUDA there":
        server.device = "cpu"
    if reason == "no NCCL there":
        server.nccl = False
    if reason == "no CUDA here":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if reason == "no vLLM":
        monkeypatch.setattr("igrpo.generation.vllm.handover.find_spec", lambda name: None)
    start(transfer="path" if reason == "path" else "auto", own_server=reason == "own server").sync_weights(0)
    assert (server.loads, server.transfers, groups) == (["igrpo-run-0.safetensors"], [], [])
    if reason not in {"path", "own server"}:
        with pytest.raises(RuntimeError, match=r"rollout\.transfer=nccl needs GPUs"):
            start(transfer="nccl").sync_weights(1)


def test_one_process_meets_a_server_again_that_died_in_a_step(
    start: Any, server: FakeServer, groups: list[NcclSender]
) -> None:
    engine = start()
    engine.sync_weights(0)
    die_once(server)
    assert tokens(engine) == EXPECTED
    assert server.transfers == ["run-0", "run-0"]
    assert [group.ended for group in groups] == [True, False]


def test_several_processes_stop_where_it_died_in_a_step(
    start: Any, server: FakeServer, groups: list[NcclSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other processes would have to help to send the weights, but they are sampling."""
    several(monkeypatch)
    engine = start()
    engine.sync_weights(0)
    die_once(server)
    with pytest.raises(RuntimeError, match=r"rollout\.transfer=nccl .*several .*resume=RUN_DIR"):
        tokens(engine)
    assert server.transfers == ["run-0"]
    assert len(groups) == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_that_died_between_steps_is_met_again_by_all(
    processes: int, start: Any, server: FakeServer, groups: list[NcclSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes == 2:
        several(monkeypatch)
    engine = start()
    engine.sync_weights(0)
    server.restart()
    engine.sync_weights(1)
    assert tokens(engine) == EXPECTED
    assert server.transfers == ["run-0", "run-1"]
    assert [group.ended for group in groups] == [True, False]
