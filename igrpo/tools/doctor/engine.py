"""Memory of a vLLM engine: its weights, and how many sequences its cache of keys and values holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from igrpo.config.checks import longest_row
from igrpo.config.facts import evaluated_tokens
from igrpo.config.parts.rollout import VllmConfig
from igrpo.config.schema import RunConfig
from igrpo.tools.doctor.device import GIB, on_cpu
from igrpo.tools.doctor.memory import kv_bytes
from igrpo.tools.doctor.shape import Shape

#: What vLLM keeps for activations, CUDA graphs and itself on each device: assumed.
ENGINE_OVERHEAD = 2 * GIB


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Of each device of one engine, in bytes.

    Attributes:
        granted: what the engine may take.
        weights: of the model.
        token: keys and values of one token.
        state: what a sequence keeps whatever its length (Mamba).
        max_model_len: tokens of the longest sequence.
        wanted: what rollout.max_num_seqs such sequences would need.
    """

    granted: float
    weights: float
    token: float
    state: float
    max_model_len: int
    wanted: float

    @property
    def cache(self) -> float:
        """What is left for keys and values (below 0: not even the weights fit)."""
        return self.granted - self.weights - ENGINE_OVERHEAD

    def holds(self, tokens: int) -> int:
        """Sequences of so many tokens that it holds at a time; others wait."""
        return max(0, math.floor(self.cache / (self.token * tokens + self.state)))

    @property
    def sequences(self) -> int:
        """Of full length. Most are shorter."""
        return self.holds(self.max_model_len)

    @property
    def fits(self) -> bool:
        """Whether one sequence of full length fits, without which vLLM does not start."""
        return self.sequences >= 1


def engine_memory(config: RunConfig, shape: Shape, limit: float) -> EngineMemory | None:
    """Of a vLLM engine on devices of ``limit`` bytes; None where the run samples without vLLM."""
    rollout = config.rollout
    if not isinstance(rollout, VllmConfig):
        return None
    width = _width(rollout, config)
    tp = rollout.tensor_parallel
    split = min(tp, shape.key_heads)  # key heads are not split further, but repeated
    token = kv_bytes(shape, width) / split
    granted: float = rollout.cpu_cache_gib * GIB + shape.parameters * width + ENGINE_OVERHEAD
    if not on_cpu(config):
        granted = rollout.gpu_memory_utilization * limit
    length = rollout.max_model_len or longest_sequence(config)
    state = shape.state_bytes / tp
    return EngineMemory(
        granted=granted,
        weights=shape.parameters * width / tp,
        token=token,
        state=state,
        max_model_len=length,
        wanted=rollout.max_num_seqs * (token * length + state),
    )


def longest_sequence(config: RunConfig) -> int:
    """The most tokens of a sequence that training or evaluation samples, without the layout of the prompt."""
    prompt, key = config.prompt, "refinement" if config.evaluation.shows_drafts or config.drafts > 0 else "question"
    asked = prompt.problems_shown(key) * prompt.max_question_tokens + prompt.texts_shown(key) * prompt.max_draft_tokens
    return max(longest_row(config), asked + evaluated_tokens(config))


def _width(rollout: VllmConfig, config: RunConfig) -> int:
    """Bytes of a number in the engine."""
    if rollout.dtype == "auto":
        return 2 if config.trainer.precision == "bf16" else 4
    return 4 if rollout.dtype == "float32" else 2
