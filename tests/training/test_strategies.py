"""Strategies: which one is made, activation checkpointing, and shards with the checkpoints of a single process."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import CTRLConfig, CTRLLMHeadModel, GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from igrpo.models.load import decoder_layers
from igrpo.models.lora import add_adapters
from igrpo.models.weights import named_weights
from igrpo.training.batching import collate
from igrpo.training.forward import PolicyForward
from igrpo.training.module import IGRPOModule
from igrpo.training.strategies import (
    ReplicaStrategy,
    ShardStrategy,
    build_strategy,
    checkpoint_activations,
    shard,
)
from tests.gloo import alone, group, in_processes
from tests.training.models import qwen, rows, trainer
from tests.training.small_run import fit, make, weights

CPU = torch.device("cpu")
FORWARD = PolicyForward(0.9, 7)
BATCH = collate(rows(count=6), 0)


def loss_of(policy: Any, device: torch.device = CPU) -> Tensor:
    stats = FORWARD(policy, BATCH.to(device))
    weighted: Tensor = (stats.logprobs_BT.float() * BATCH.advantages_B.to(device)[:, None]).sum()
    return weighted


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


# ---- which one


def test_the_setting_names_the_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    single = build_strategy(trainer(), CPU)
    assert isinstance(single, SingleDeviceStrategy)
    assert single.root_device == CPU
    replicas = build_strategy(trainer(strategy="ddp", devices=2, collective_timeout_s=7.0), CPU)
    assert isinstance(replicas, ReplicaStrategy)
    assert replicas._timeout == timedelta(seconds=7)
    monkeypatch.setattr("igrpo.training.strategies.world", lambda: 6)
    shards = build_strategy(trainer(strategy="fsdp2", devices=2, collective_timeout_s=8.0), CPU)
    assert isinstance(shards, ShardStrategy)
    assert shards._timeout == timedelta(seconds=8)
    assert (shards._data_parallel_size, shards._tensor_parallel_size) == (6, 1)  # over all nodes
    assert (shards.restore_checkpoint_after_setup, shards.lightning_restore_optimizer) == (False, True)


def begin(seed: int) -> list[Tensor]:
    """The weights and buffers of a process that began with others."""
    strategy = ReplicaStrategy(timeout=timedelta(seconds=30))
    model = qwen(seed)
    model.register_buffer("counted", torch.full((2,), float(seed)))
    strategy.model = model
    strategy.configure_ddp()
    return [*(p.detach() for p in model.parameters()), model.counted]


def begin_differently() -> list[Tensor]:
    return begin(torch.distributed.get_rank())


def test_replicas_begin_with_the_main_process_s_weights(tmp_path: Path) -> None:
    main, other = in_processes(2, tmp_path, begin_differently)
    expected = [*(p.detach() for p in qwen(0).parameters()), torch.zeros(2)]
    for a, b, right in zip(main, other, expected, strict=True):
        assert torch.equal(a, right)
        assert torch.equal(b, right)


# ---- activation checkpointing


def deep(attention_dropout: float = 0.5) -> Any:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=23, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, max_position_embeddings=64, attention_dropout=attention_dropout,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).double().eval()


def gpt2_with_dropout() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=23, n_embd=16, n_layer=4, n_head=2, n_positions=64, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5
    )
    return GPT2LMHeadModel(config).double().eval()


def deep_with_adapters() -> Any:
    model = deep()
    add_adapters(model, rank=2, alpha=4.0, targets="all-linear", seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter)
    return model


@contextmanager
def saved_numbers(model: Any) -> Iterator[list[int]]:
    """How many numbers the forward passes of the block keep for the backward pass, weights apart."""
    own = {p.data_ptr() for p in model.parameters()}
    counts = [0]

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            counts[0] += tensor.numel()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield counts


@pytest.mark.parametrize("build", [deep, gpt2_with_dropout, deep_with_adapters])
def test_checkpointing_changes_no_gradient_and_keeps_less(build: Any) -> None:
    model, other = build(), build()
    with saved_numbers(model) as plain:
        loss = loss_of(model)
    loss.backward()
    checkpoint_activations(other)
    with saved_numbers(other) as kept:
        again = loss_of(other)
    again.backward()
    assert kept[0] < 0.5 * plain[0]
    assert float(again.detach()) == pytest.approx(float(loss.detach()), rel=1e-12)  # with dropout it would not be
    expected, found = gradients(model), gradients(other)
    assert expected.keys() == found.keys()
    assert len(expected) >= 8
    for name, value in expected.items():
        assert torch.allclose(value, found[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("build", [deep, gpt2_with_dropout])
def test_the_layers_alone_are_in_training_mode(build: Any) -> None:
    model = build()
    checkpoint_activations(model)
    layers = decoder_layers(model)
    assert len(layers) == 4
    assert [module for module in model.modules() if module.training] == layers
    assert any(isinstance(module, nn.Dropout) for module in model.modules()) == (build is gpt2_with_dropout)


def ctrl() -> Any:
    config = CTRLConfig(vocab_size=23, n_embd=16, n_layer=1, n_head=2, dff=16, n_positions=64)
    return CTRLLMHeadModel(config).eval()


def test_a_model_without_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.activation_checkpointing=true: CTRLLMHeadModel does not support"):
        checkpoint_activations(ctrl())


def test_a_model_that_only_says_that_it_can_is_refused() -> None:
    """Layers of another kind, as models with code of their own have: nothing would be checkpointed."""
    model = ctrl()
    model.supports_gradient_checkpointing = True
    with pytest.raises(ValueError, match="CTRLLMHeadModel does not support"):
        checkpoint_activations(model)


class Modes(lightning.Callback):
    """Which modules are in training mode when a step is over, sampling and updates behind it."""

    def __init__(self) -> None:
        self.seen: list[list[nn.Module]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        self.seen.append([module for module in pl_module.policy.modules() if module.training])


def test_it_holds_through_a_run_and_changes_nothing(tmp_path: Path) -> None:
    modules: dict[bool, IGRPOModule] = {}
    for checkpointed in (True, False):
        modes = Modes()
        module = modules[checkpointed] = make(activation_checkpointing=checkpointed, epochs=2)
        fit(module, 2, tmp_path, callbacks=[modes])
        assert modes.seen == [decoder_layers(module.policy) if checkpointed else []] * 2
    plain, same = weights(modules[False]), weights(modules[True])
    assert all(torch.allclose(value, same[name], atol=1e-7) for name, value in plain.items())
    assert any(
        not torch.equal(value, before) for value, before in zip(plain.values(), weights(make()).values(), strict=True)
    )


# ---- shards


def mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (torch.distributed.get_world_size(),))


def test_a_shard_of_one_has_the_same_gradients() -> None:
    plain, model = qwen(), qwen()
    loss_of(plain).backward()
    with alone():
        root = shard(model, mesh(), precision="fp32")
        assert all(isinstance(p, DTensor) for p in model.parameters())
        loss_of(root).backward()
        found = {name: value.full_tensor() for name, value in gradients(model).items()}
    expected = gradients(plain)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(value, found[name], rtol=1e-9, atol=1e-12) for name, value in expected.items())


def bf16_gradients(model: Any, where: DeviceMesh, device: torch.device) -> dict[str, Tensor]:
    root = shard(model, where, precision="bf16")
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    linear: Any = model.model.layers[0].mlp.up_proj
    linear.register_forward_pre_hook(lambda module, given: seen.append((given[0].dtype, module.weight.dtype)))
    loss_of(root, device).backward()
    assert seen == [(torch.bfloat16, torch.bfloat16)]
    assert all(p.dtype == torch.float32 for p in model.parameters())  # what is stored and stepped
    return {name: value.full_tensor().cpu() for name, value in gradients(model).items()}


def assert_close_to_float32(found: dict[str, Tensor]) -> None:
    plain = qwen().float()
    loss_of(plain).backward()
    for name, value in gradients(plain).items():
        assert found[name].dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(found[name].flatten(), value.flatten(), dim=0)
        assert float(cosine) > 0.99, name


def test_bf16_layers_keep_weights_and_gradients_in_float32() -> None:
    with alone():
        assert_close_to_float32(bf16_gradients(qwen().float(), mesh(), CPU))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_in_bf16_on_cuda() -> None:
    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    with group(0, 1, HashStore(), backend="cpu:gloo,cuda:nccl"):
        model = qwen().float()
        found = bf16_gradients(model, init_device_mesh("cuda", (1,)), device)
        assert all(p.device.type == "cuda" for p in model.parameters())
        assert_close_to_float32(found)


def round_trip(adapters: bool) -> dict[str, Any]:
    """What a process has of a checkpoint: the whole of it, as it writes it, and after it was read into other shards."""
    begun, other = sharded(0, adapters), sharded(1, adapters)
    strategy = ShardStrategy(data_parallel_size=2, tensor_parallel_size=1, timeout=timedelta(seconds=30))
    written = saved(strategy, *begun)
    given = torch.distributed.get_rank() == 0
    sizes = [tuple(value.shape) for value in written["state"].values()]
    whole = [written]
    torch.distributed.broadcast_object_list(whole, src=0)  # as a file does
    strategy.connect(other[0])
    strategy.optimizers = [other[1]]
    strategy.load_model_state_dict({"state_dict": whole[0]["state"]})
    strategy.load_optimizer_state_dict({"optimizer_states": [whole[0]["optimizer"]]})
    again = saved(strategy, *other)
    local = [moment["exp_avg"] for moment in other[1].state_dict()["state"].values()]
    return {
        "written": written if given else None,
        "again": again if given else None,
        "sizes": sizes,
        "sharded": all(isinstance(value, DTensor) for value in local),
        "weights": dict(named_weights(other[0])),
    }


def saved(strategy: ShardStrategy, model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the strategy puts into a checkpoint."""
    strategy.connect(model)
    return {"state": strategy.lightning_module_state_dict(), "optimizer": strategy.optimizer_state(optimizer)}


def sharded(seed: int, adapters: bool) -> tuple[Any, torch.optim.Optimizer]:
    """A policy in shards after an optimizer step."""
    model, optimizer = stepped(seed, adapters, sharded=True)
    return model, optimizer


def stepped(seed: int, adapters: bool, *, sharded: bool) -> tuple[Any, torch.optim.Optimizer]:
    model = qwen(seed)
    if adapters:
        add_adapters(model, rank=2, alpha=4.0, targets="all-linear", seed=seed)
    root = shard(model, mesh(), precision="fp32") if sharded else model
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    loss_of(root).backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("adapters", [False, True])
def test_checkpoints_of_shards_are_those_of_one_process(adapters: bool, tmp_path: Path) -> None:
    main, other = in_processes(2, tmp_path, round_trip, adapters)
    model, optimizer = stepped(0, adapters, sharded=False)
    expected = {"state": model.state_dict(), "optimizer": optimizer.state_dict()}
    for found in (main["written"], main["again"]):
        assert list(found["state"]) == list(expected["state"])
        for name, value in expected["state"].items():
            assert type(found["state"][name]) is Tensor
            assert torch.allclose(found["state"][name], value, atol=1e-9), name
        moments = found["optimizer"]["state"]
        assert moments.keys() == expected["optimizer"]["state"].keys()
        for index, values in expected["optimizer"]["state"].items():
            assert moments[index].keys() == values.keys()
            for name, value in values.items():
                assert torch.allclose(moments[index][name], value, atol=1e-9), (index, name)
        assert found["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    assert main["sharded"]
    assert other["sharded"]
    assert set(other["sizes"]) == {(0,)}  # the main process writes; the others keep no whole tensor
    for found in (main, other):
        for name, value in named_weights(model):
            assert torch.allclose(found["weights"][name], value, atol=1e-5), name


def test_a_checkpoint_of_shards_is_a_file(tmp_path: Path) -> None:
    strategy = ShardStrategy(data_parallel_size=1, tensor_parallel_size=1, timeout=timedelta(seconds=30))
    state = {"state_dict": {"weight": torch.arange(3.0)}, "igrpo": {"rollout_step": 7}}
    strategy.save_checkpoint(state, tmp_path / "x.ckpt")
    found = strategy.load_checkpoint(str(tmp_path / "x.ckpt"), weights_only=True)
    assert found["igrpo"] == state["igrpo"]
    assert torch.equal(found["state_dict"]["weight"], torch.arange(3.0))


def test_a_strict_load_refuses_what_it_does_not_know() -> None:
    with alone():
        model = qwen()
        shard(model, mesh(), precision="fp32")
        strategy = ShardStrategy(data_parallel_size=1, tensor_parallel_size=1, timeout=timedelta(seconds=30))
        strategy.connect(model)
        state = copy.deepcopy(qwen(1).state_dict())
        with pytest.raises(RuntimeError, match="unknown"):
            strategy.load_model_state_dict({"state_dict": {**state, "unknown": torch.zeros(1)}})
        strategy.load_model_state_dict({"state_dict": state})
        found = dict(named_weights(model))
        assert all(torch.equal(value, found[name]) for name, value in named_weights(qwen(1)))
