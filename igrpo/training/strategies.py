"""Lightning strategies for one process or several: replicas of the weights, or shards of them.

With every strategy, a checkpoint holds whole tensors in the optimizer's own order, so that a run can be resumed with
another number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from igrpo.distributed import is_main, world
from igrpo.models.load import decoder_layers
from igrpo.models.weights import whole
from igrpo.settings.trainer import TrainerConfig
from igrpo.training.forward import PolicyRoot


def build_strategy(trainer: TrainerConfig, device: torch.device) -> Strategy:
    """Return the strategy named by ``trainer.strategy``."""
    timeout = timedelta(seconds=trainer.collective_timeout_s)
    if trainer.strategy == "ddp":
        return ReplicaStrategy(timeout=timeout)
    if trainer.strategy == "fsdp2":
        return ShardStrategy(data_parallel_size=world(), tensor_parallel_size=1, timeout=timeout)
    return SingleDeviceStrategy(device=device)


class ReplicaStrategy(DDPStrategy):
    """Strategy with a whole policy in every process; `training.gradients.sum_over_replicas` keeps the replicas equal.

    It does not use torch's DistributedDataParallel, which communicates in every micro-batch. Processes may have
    different numbers of micro-batches and would then wait for each other forever.
    """

    def configure_ddp(self) -> None:
        """Broadcast the main process's weights to all processes."""
        assert self.model is not None
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            torch.distributed.broadcast(tensor.detach(), src=0)


class ShardStrategy(ModelParallelStrategy):
    """Lightning's strategy for torch's fully_shard, with the same checkpoints as a single process."""

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """False: restore before the setup, as other strategies do.

        The weights are sharded by then, and ``on_fit_start`` sends the restored weights to the engine.
        """
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """True: restore the optimizer by ``load_optimizer_state_dict``."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole tensors on the CPU. Every process must call this."""
        assert self.lightning_module is not None
        return _gathered(self.lightning_module.state_dict())

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's shard of the checkpoint's whole tensors."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict(keep_vars=True)
        given = checkpoint["state_dict"]
        state = {name: _like(value, own[name]) if name in own else value for name, value in given.items()}
        self.lightning_module.load_state_dict(state, strict=strict)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the optimizer state as whole tensors on the CPU. Every process must call this."""
        return _gathered(optimizer.state_dict())

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this process's shard of the optimizer state."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            shards = {
                index: {name: _like(value, parameters[index]) for name, value in moments.items()}
                for index, moments in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shards})

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Write the checkpoint in the main process."""
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read the checkpoint in every process."""
        return Strategy.load_checkpoint(self, Path(checkpoint_path), weights_only)


def shard(policy: Any, mesh: DeviceMesh, *, precision: str) -> PolicyRoot:
    """Shard every weight over the processes of ``mesh``.

    Decoder layers are gathered one at a time; the other weights (embedding, last norm, head) are gathered for the whole
    pass. With ``precision="bf16"``, layers compute in bfloat16, and the dtype of the weights does not change.
    """
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    mixed = half if precision == "bf16" else MixedPrecisionPolicy()
    root = PolicyRoot(policy)
    for module in decoder_layers(policy):
        fully_shard(module, mesh=mesh, mp_policy=mixed)
    fully_shard(root, mesh=mesh, mp_policy=mixed)
    return root


def checkpoint_activations(policy: Any) -> None:
    """Store only each layer's input in the forward pass, and recompute the other activations in the backward pass.

    transformers does this in layers that are in training mode. Only the layers themselves are set to training mode:
    their submodules (dropout) stay in eval mode, as the policy requires.

    Raises:
        ValueError: the model does not support it.
    """
    layers = decoder_layers(policy)
    if not policy.supports_gradient_checkpointing or not layers:
        raise ValueError(
            f"trainer.activation_checkpointing=true: {type(policy).__name__} does not support it; set it to false"
        )
    policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for layer in layers:
        layer.training = True


def _gathered(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return whole tensors on the CPU of the main process. Other processes take part and get empty tensors."""

    def gathered(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        full = whole(value)
        return full.cpu() if is_main() else full.new_empty(0)

    found: dict[str, Any] = tree_map(gathered, dict(state))
    return found


def _like(value: Any, tensor: Tensor) -> Any:
    """Return ``value`` sharded like ``tensor``, or unchanged if their shapes differ (such as a step count)."""
    if not isinstance(tensor, DTensor) or not isinstance(value, Tensor) or value.shape != tensor.shape:
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
