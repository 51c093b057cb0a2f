"""Checks that need neither model nor data: incompatible sizes, missing packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from igrpo.config.checks import longest_row
from igrpo.config.schema import RunConfig
from igrpo.messages import install
from igrpo.settings.rollout import VllmConfig, VllmServerConfig
from igrpo.tools.doctor.device import on_cpu
from igrpo.tools.doctor.engine import longest_sequence
from igrpo.tools.doctor.shape import Shape

State = Literal["ok", "failed", "not checked", "missing here", "warning"]


@dataclass(frozen=True, slots=True)
class Check:
    """Name, state and result of a check.

    ``not checked``: it could not be made on this machine. ``missing here``: the settings are valid, but the run would
    fail on this machine as it is. ``warning``: the run would work, but learn little.
    """

    name: str
    state: State
    text: str


#: Check of `igrpo.tools.doctor.draft_worth`: its name, its default time limit in seconds, and its result if the model
#: is not loaded.
DRAFT_WORTH = "a draft's worth"
DRAFT_SECONDS = 60.0
NOT_MEASURED = Check(
    DRAFT_WORTH,
    "not checked",
    "not measured: that takes the model on this machine, without --no-load (and with --load where it is large and "
    "there is no CUDA device); a run's first evaluation says it, too",
)


def static_checks(config: RunConfig, shape: Shape) -> Iterator[Check]:
    """Check positions, the split of heads over devices, the server, and required packages."""
    yield from _positions(config, shape)
    yield from _heads(config, shape)
    yield from _server(config)
    for module, needed, advice in _packages(config):
        if find_spec(module) is None:
            yield Check("packages", "missing here", f"{needed} needs {module}, which is not installed here: {advice}")


def _positions(config: RunConfig, shape: Shape) -> Iterator[Check]:
    if shape.positions is None:
        return
    longest = {"training": longest_row(config), "evaluation": longest_sequence(config)}
    shown = ", ".join(f"{count:,} in {name}" for name, count in longest.items())
    if max(longest.values()) <= shape.positions:
        yield Check(
            "context", "ok", f"{shown}, without the prompt's layout; the model has {shape.positions:,} positions"
        )
    else:
        yield Check(
            "context",
            "failed",
            f"{shown}, more than the model's {shape.positions:,} positions: lower prompt.max_draft_tokens, "
            "sampling.max_completion_tokens or evaluation.max_completion_tokens",
        )


def _heads(config: RunConfig, shape: Shape) -> Iterator[Check]:
    rollout = config.rollout
    if isinstance(rollout, VllmConfig) and shape.heads % rollout.tensor_parallel:
        fitting = [count for count in (1, 2, 4, 8) if shape.heads % count == 0]
        yield Check(
            "tensor parallel",
            "failed",
            f"rollout.tensor_parallel={rollout.tensor_parallel} does not divide the model's {shape.heads} query heads; "
            f"take one of {fitting}",
        )


def _server(config: RunConfig) -> Iterator[Check]:
    rollout = config.rollout
    if isinstance(rollout, VllmServerConfig) and rollout.url is None and not on_cpu(config) and config.processes > 1:
        yield Check(
            "server",
            "missing here",
            f"rollout.url is not set yet: the {config.processes} trainer processes need a server on other devices, "
            "which `igrpo serve` with the same settings starts",
        )


def _packages(config: RunConfig) -> Iterator[tuple[str, str, str]]:
    if isinstance(config.rollout, VllmConfig):
        yield "vllm", f"rollout={config.rollout.name}", install("vllm")
    if config.trainer.optimizer == "adamw_8bit":
        yield "bitsandbytes", "trainer.optimizer=adamw_8bit", install("gpu")
    if config.model.name == "huggingface" and config.model.attention == "flash_attention_2":
        yield "flash_attn", "model.attention=flash_attention_2", "pip install flash-attn, or set it to sdpa"
