"""Changes of settings that reduce memory, in the form of command-line overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from igrpo.config.checks import longest_row
from igrpo.config.schema import RunConfig
from igrpo.settings.rollout import LocalRolloutConfig, VllmColocateConfig, VllmConfig
from igrpo.settings.trainer import rows_of_logits
from igrpo.tools.doctor.device import on_cpu
from igrpo.tools.doctor.shape import Shape

#: Number of tokens reserved for a prompt's layout, beside question and draft.
_LAYOUT = 512

#: Devices per node, and the maximum number of nodes that is proposed.
_NODE, _MOST_NODES = 8, 8

_SMALLEST_CHUNK = 256
_SMALLEST_SHARE = 0.1

#: Yields candidate changes, mildest first.
Step = Callable[[RunConfig, Shape], Iterator["SettingChange"]]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A command-line override (``text``), the settings that it changes, and its cost ("": only rounding changes)."""

    text: str
    values: tuple[tuple[str, Any], ...]
    cost: str = ""

    @property
    def key(self) -> str:
        """Key of the change; changes with the same key replace each other."""
        return self.values[0][0]

    def applied(self, config: RunConfig) -> RunConfig:
        """Return the settings with this change applied."""
        for setting, value in self.values:
            section, _, key = setting.partition(".")
            config = config.model_copy(update={section: getattr(config, section).model_copy(update={key: value})})
        return config


def set_to(setting: str, value: Any, cost: str = "") -> SettingChange:
    """Return the change that sets one setting."""
    shown = str(value).lower() if isinstance(value, bool) else value
    return SettingChange(f"{setting}={shown}", ((setting, value),), cost)


def checkpointing(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if not config.trainer.activation_checkpointing:
        yield set_to("trainer.activation_checkpointing", True)


def smaller_chunk(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    chunk = (config.trainer.head_chunk or rows_of_logits(shape.vocabulary)) // 2
    while chunk >= _SMALLEST_CHUNK:
        yield set_to("trainer.head_chunk", chunk)
        chunk //= 2


def fewer_tokens(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    smallest = -(-(longest_row(config) + _LAYOUT) // 1024)
    for thousands in range((config.trainer.tokens_per_microbatch - 1) // 1024, smallest - 1, -1):
        yield set_to("trainer.tokens_per_microbatch", 1024 * thousands)


def fewer_rows(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if isinstance(config.rollout, LocalRolloutConfig):
        rows = config.rollout.max_batch_rows // 2
        while rows >= 1:
            yield set_to("rollout.max_batch_rows", rows)
            rows //= 2


def smaller_share(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if isinstance(config.rollout, VllmColocateConfig):
        if not config.rollout.sleep and not on_cpu(config):
            yield set_to("rollout.sleep", True)
        share = config.rollout.gpu_memory_utilization - 0.05
        while share >= _SMALLEST_SHARE:
            yield set_to("rollout.gpu_memory_utilization", round(share, 2))
            share -= 0.05


def larger_engine(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    rollout = config.rollout
    if not isinstance(rollout, VllmConfig):
        return
    if rollout.name == "vllm_server":
        for share in (0.9, 0.95):
            if share > rollout.gpu_memory_utilization:
                yield set_to("rollout.gpu_memory_utilization", share)
        for split in (2, 4, 8):
            if split > rollout.tensor_parallel and shape.heads % split == 0:
                yield set_to("rollout.tensor_parallel", split, "more devices")


def eight_bit(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if config.trainer.optimizer == "adamw" and not on_cpu(config):
        yield set_to("trainer.optimizer", "adamw_8bit", "moments in 8 bits")


def more_devices(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if on_cpu(config):
        return
    trainer = config.trainer
    devices = max(trainer.devices, _NODE)
    if trainer.strategy != "fsdp2" or devices > trainer.devices:
        values: tuple[tuple[str, Any], ...] = (("trainer.strategy", "fsdp2"), ("trainer.devices", devices))
        if trainer.optimizer == "adamw_8bit":  # adamw_8bit does not support shards
            values = (*values, ("trainer.optimizer", "adamw"))
        yield SettingChange(" ".join(f"{name}={value}" for name, value in values), values, "more devices")
    nodes = trainer.nodes * 2
    while nodes <= _MOST_NODES:
        yield set_to("trainer.nodes", nodes, "more nodes")
        nodes *= 2


def adapters(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if config.lora.rank == 0:
        values = (("lora.rank", 16), ("lora.alpha", 32.0), ("lora.targets", "all-linear"))
        yield SettingChange("lora=rank_16", values, "adapters are trained, not the weights")


def half_weights(config: RunConfig, shape: Shape) -> Iterator[SettingChange]:
    if config.model.name == "huggingface" and config.model.dtype == "float32":
        yield set_to("model.dtype", "bfloat16", "frozen weights rounded to bfloat16")


#: Changes that affect results by rounding only, cheapest first.
MILD: tuple[Step, ...] = (checkpointing, smaller_chunk, fewer_tokens, fewer_rows, smaller_share, larger_engine)
