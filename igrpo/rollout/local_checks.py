"""What the local engine refuses: models whose state it cannot hold, and requests that cannot be sampled."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from igrpo.rollout.base import SamplingParams

_ATTENTION = ("sdpa", "eager")
_NEEDED_ARGUMENTS = ("position_ids", "past_key_values", "logits_to_keep")


def check_model(model: PreTrainedModel) -> None:
    """Refuse a model that is no decoder with keys and values of all tokens as its only state.

    Raises:
        ValueError: names the model class and what is missing.
    """
    name = type(model).__name__
    advice = "use the vLLM engine, or a model with ordinary causal attention (Qwen2, Qwen3, Llama, GPT-2, ...)"
    if model.config.is_encoder_decoder:
        raise ValueError(f"the local engine cannot sample from {name}: it is an encoder-decoder; {advice}")
    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers} - {DynamicLayer}
    if kinds or model._is_stateful:
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "a state of its own"
        raise ValueError(
            f"the local engine cannot sample from {name}: its layers keep a recurrent, hybrid or sliding-window "
            f"state ({found}), not the keys and values of all tokens; {advice}"
        )
    arguments = inspect.signature(model.forward).parameters
    missing = [argument for argument in _NEEDED_ARGUMENTS if argument not in arguments]
    if missing:
        raise ValueError(f"the local engine cannot sample from {name}: its forward takes no {missing}; {advice}")
    if model.config._attn_implementation not in _ATTENTION:
        raise ValueError(
            f"the local engine needs attn_implementation to be one of {_ATTENTION}, and {name} was loaded with "
            f"'{model.config._attn_implementation}': load it with 'sdpa'"
        )


def check_request(
    prompt: Sequence[int], params: SamplingParams, seeds: Sequence[int], vocabulary: int, max_positions: int | None
) -> None:
    """Refuse what cannot be sampled, before it can break the batch of others.

    Raises:
        ValueError: names the setting, its value and its range.
    """
    if not prompt:
        raise ValueError("the prompt is empty: it needs at least one token (a BOS token will do)")
    if min(prompt) < 0 or max(prompt) >= vocabulary:
        raise ValueError(
            f"the prompt has the token id {min(prompt) if min(prompt) < 0 else max(prompt)}; "
            f"the model has ids 0 to {vocabulary - 1}"
        )
    if not (math.isfinite(params.temperature) and params.temperature >= 0):
        raise ValueError(f"temperature={params.temperature}: must be a finite number, 0 (greedy) or above")
    if not 0 < params.top_p <= 1:
        raise ValueError(f"top_p={params.top_p}: must be above 0 and at most 1 (off)")
    if params.top_k < 0:
        raise ValueError(f"top_k={params.top_k}: must be 0 (off) or above")
    if params.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={params.max_new_tokens}: must be at least 1")
    wanted = len(prompt) + params.max_new_tokens
    if max_positions is not None and wanted > max_positions:
        raise ValueError(
            f"a prompt of {len(prompt)} tokens and max_new_tokens={params.max_new_tokens} make {wanted}, and the model "
            f"has max_position_embeddings={max_positions}: shorten one of them by {wanted - max_positions}"
        )
    for seed in seeds:
        if not 0 <= seed < 1 << 63:
            raise ValueError(f"seed={seed}: must lie in 0 .. 2**63 - 1")
