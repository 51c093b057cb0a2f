"""Memory of a vLLM engine: its weights, and the number of sequences that its key-value cache holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from igrpo.config.checks import longest_row
from igrpo.config.facts import most_evaluated_tokens
from igrpo.config.schema import RunConfig
from igrpo.settings.rollout import VllmConfig
from igrpo.tools.doctor.device import GIB, on_cpu
from igrpo.tools.doctor.memory import kv_bytes
from igrpo.tools.doctor.shape import Shape

#: Assumed memory per device for activations, CUDA graphs and vLLM itself.
ENGINE_OVERHEAD = 2 * GIB


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Memory per device of one engine, in bytes.

    Attributes:
        granted: memory that the engine may use.
        weights: weights of the model.
        token: keys and values per token.
        state: state per sequence that does not depend on its length (Mamba).
        max_model_len: maximum sequence length, in tokens.
        wanted: cache that rollout.max_num_seqs sequences of this length would need.
    """

    granted: float
    weights: float
    token: float
    state: float
    max_model_len: int
    wanted: float

    @property
    def cache(self) -> float:
        """Memory left for keys and values (negative: the weights do not fit)."""
        return self.granted - self.weights - ENGINE_OVERHEAD

    def holds(self, tokens: int) -> int:
        """Return the number of sequences of ``tokens`` tokens that fit at a time; others wait."""
        return max(0, math.floor(self.cache / (self.token * tokens + self.state)))

    @property
    def sequences(self) -> int:
        """Number of sequences of maximum length that fit. Most sequences are shorter."""
        return self.holds(self.max_model_len)

    @property
    def fits(self) -> bool:
        """True if one sequence of maximum length fits; otherwise vLLM does not start."""
        return self.sequences >= 1


def engine_memory(config: RunConfig, shape: Shape, limit: float) -> EngineMemory | None:
    """Return the memory of a vLLM engine on devices of ``limit`` bytes; None if the run does not use vLLM."""
    rollout = config.rollout
    if not isinstance(rollout, VllmConfig):
        return None
    width = _width(rollout, config)
    tp = rollout.tensor_parallel
    split = min(tp, shape.key_heads)  # beyond this, key heads are repeated, not split
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
    """Return the maximum sequence length in training and evaluation, without the layout of the prompt."""
    prompt, shown = config.prompt, max(config.evaluation.most_drafts_shown, int(config.plan.drafts > 0))
    key = "refinement" if shown else "question"
    texts = prompt.texts_shown(key, max(shown, 1)) * prompt.max_draft_tokens
    asked = prompt.problems_shown(key) * prompt.max_question_tokens + texts
    return max(longest_row(config), asked + most_evaluated_tokens(config))


def _width(rollout: VllmConfig, config: RunConfig) -> int:
    """Return the bytes per number in the engine."""
    if rollout.dtype == "auto":
        return 2 if config.trainer.precision == "bf16" else 4
    return 4 if rollout.dtype == "float32" else 2
