"""How Lightning runs one process or several: replicas, or shards of the weights.

Whatever the strategy, a checkpoint holds whole tensors in the optimizer's own order, so that a run can go on with
another number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map
from transformers.modeling_layers import GradientCheckpointingLayer

from igrpo.config.schema import TrainerConfig
from igrpo.distributed import is_main, world
from igrpo.models.weights import whole
from igrpo.training.forward import PolicyRoot


def build_strategy(trainer: TrainerConfig, device: torch.device) -> Strategy:
    """The strategy that ``trainer.strategy`` names."""
    timeout = timedelta(seconds=trainer.collective_timeout_s)
    if trainer.strategy == "ddp":
        return ReplicaStrategy(timeout=timeout)
    if trainer.strategy == "fsdp2":
        return ShardStrategy(data_parallel_size=world(), tensor_parallel_size=1, timeout=timeout)
    return SingleDeviceStrategy(device=device)


class ReplicaStrategy(DDPStrategy):
    """A whole policy in every process, the same at the start; `training.gradients.add_up` keeps them so.

    Without torch's DistributedDataParallel: it communicates in every micro-batch, and processes whose questions fill
    different numbers of them would wait for each other for ever.
    """

    def configure_ddp(self) -> None:
        """Start from the main process's weights."""
        assert self.model is not None
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            torch.distributed.broadcast(tensor.detach(), src=0)


class ShardStrategy(ModelParallelStrategy):
    """Lightning's strategy for torch's fully_shard, with the checkpoints of a single process."""

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Before it, as elsewhere: the weights are sharded by then, and ``on_fit_start`` hands them to the engine."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """By ``load_optimizer_state_dict`` below."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Whole tensors on the CPU. Every process must ask."""
        assert self.lightning_module is not None
        return _gathered(self.lightning_module.state_dict())

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each process keeps its shard of the whole tensors."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict(keep_vars=True)
        given = checkpoint["state_dict"]
        state = {name: _like(value, own[name]) if name in own else value for name, value in given.items()}
        self.lightning_module.load_state_dict(state, strict=strict)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """As ``lightning_module_state_dict``."""
        return _gathered(optimizer.state_dict())

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """As ``load_model_state_dict``."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            shards = {
                index: {name: _like(value, parameters[index]) for name, value in moments.items()}
                for index, moments in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shards})

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Written by the main process."""
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read by every process."""
        return Strategy.load_checkpoint(self, Path(checkpoint_path), weights_only)


def shard(policy: Any, mesh: DeviceMesh, *, precision: str) -> PolicyRoot:
    """Leave a part of every weight in each process of ``mesh``. Decoder layers are gathered one at a time, the rest
    (embedding, last norm, head) for the whole pass. In bf16 layers compute in bfloat16; the weights stay what they are.
    """
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    mixed = half if precision == "bf16" else MixedPrecisionPolicy()
    root = PolicyRoot(policy)
    for module in decoder_layers(policy):
        fully_shard(module, mesh=mesh, mp_policy=mixed)
    fully_shard(root, mesh=mesh, mp_policy=mixed)
    return root


def checkpoint_activations(policy: Any) -> None:
    """Keep only each layer's input in the forward pass, and make the rest again in the backward pass.

    transformers does so in layers that are in training mode. The layers alone are put into it: what is inside them
    (dropout) stays in eval mode, as the policy must.

    Raises:
        ValueError: the model does not offer it.
    """
    layers = decoder_layers(policy)
    if not policy.supports_gradient_checkpointing or not layers:
        raise ValueError(
            f"trainer.activation_checkpointing=true: {type(policy).__name__} does not support it; set it to false"
        )
    policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for layer in layers:
        layer.training = True


def decoder_layers(policy: Any) -> list[nn.Module]:
    """The repeated layers of a transformers model."""
    return [module for module in policy.modules() if isinstance(module, GradientCheckpointingLayer)]


def _gathered(state: Mapping[str, Any]) -> dict[str, Any]:
    """Whole tensors, on the CPU of the main process, which writes them; the others only take part in the gathering."""

    def gathered(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        full = whole(value)
        return full.cpu() if is_main() else full.new_empty(0)

    found: dict[str, Any] = tree_map(gathered, dict(state))
    return found


def _like(value: Any, tensor: Tensor) -> Any:
    """``value`` sharded as ``tensor`` is, where it is one of the same shape (a step count is not)."""
    if not isinstance(tensor, DTensor) or not isinstance(value, Tensor) or value.shape != tensor.shape:
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
