"""Checks of the local engine: unsupported models, and requests that cannot be sampled."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from statistics import fmean

import torch
from transformers import PreTrainedModel

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.decode_attention import sampling_mode, takes_decode_attention
from igrpo.generation.local.decode_batch import DecodeBatch, DecodeRow, FinishedRow
from igrpo.generation.local.fast_decode import relative_gap
from igrpo.generation.local.prefill import Known, embedding_weight, prefill
from igrpo.generation.local.windows import OtherStateError, layer_windows

_ATTENTION = ("sdpa", "eager")
#: Largest difference attributed to rounding, in nats per token: in float32, and in 16-bit types.
_TOLERANCE, _HALF_TOLERANCE = 0.01, 0.2
_ADVICE = (
    "use vLLM (rollout=vllm_colocate or vllm_server), or a model with causal attention "
    "(Qwen, Llama, Mistral, Gemma, Granite, GPT-2, ...)"
)
_NEEDED_ARGUMENTS = ("position_ids", "past_key_values", "logits_to_keep")


def check_model(model: PreTrainedModel) -> None:
    """Raise unless the model is a decoder whose only state is the keys and values of its tokens.

    Raises:
        ValueError: names the model class and what is missing.
    """
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise ValueError(f"the local engine cannot sample from {name}: it is an encoder-decoder; {_ADVICE}")
    try:
        layer_windows(model)
    except OtherStateError as error:
        raise ValueError(f"the local engine cannot sample from {name}: {error}; {_ADVICE}") from error
    arguments = inspect.signature(model.forward).parameters
    missing = [argument for argument in _NEEDED_ARGUMENTS if argument not in arguments]
    if missing:
        raise ValueError(
            f"the local engine cannot sample from {name}: its forward has no arguments {missing}; {_ADVICE}"
        )
    if model.config._attn_implementation not in _ATTENTION:
        raise ValueError(
            f"the local engine needs attn_implementation to be one of {_ATTENTION}, and {name} was loaded with "
            f"'{model.config._attn_implementation}': load it with 'sdpa'"
        )


@torch.no_grad()
def check_decoding(model: PreTrainedModel) -> None:
    """Check on two short prompts that batched decoding gives the log-probs of separate forward passes.

    Raises:
        ValueError: the log-probs differ, so samples would come from another distribution than the model's; or as
            `check_model`.
    """
    check_model(model)
    name = type(model).__name__
    vocabulary = embedding_weight(model).shape[0]
    prompts = [[(7 * i + 1) % vocabulary for i in range(length)] for length in (6, 3)]
    params = SamplingParams(1.0, 1.0, 0, 4, ())
    with sampling_mode(model, takes_decode_attention(model)):
        try:
            batch: DecodeBatch[int] = DecodeBatch(model, len(prompts))
            rows = [DecodeRow(i, 0, len(prompt), params, seed=i) for i, prompt in enumerate(prompts)]
            batch.admit(prefill(model, prompts)[0], rows, range(len(rows)))
            finished = [row for _ in range(params.max_new_tokens - 1) for row in batch.step()]
        except Exception as error:  # of the model's own code
            raise ValueError(
                f"the local engine cannot sample from {name}: its forward pass fails where prompts of unequal lengths "
                f"are decoded together ({type(error).__name__}: {error}); {_ADVICE}"
            ) from error
        gaps = [gap for row in finished for gap in _gaps(model, prompts[row.row.owner], row)]
    if not fmean(gaps) <= (_TOLERANCE if model.dtype == torch.float32 else _HALF_TOLERANCE):
        raise ValueError(
            f"the local engine cannot sample from {name}: decoded in a batch, its tokens have log-probs that differ "
            f"by {fmean(gaps):.3g} nats from those of single forward passes; {_ADVICE}"
        )


@torch.no_grad()
def check_prefix_caching(model: PreTrainedModel) -> None:
    """Check on a short prompt that its logits are the same when the keys and values of its beginning are taken over.

    Raises:
        ValueError: they are not; the message names the setting that turns this off.
    """
    vocabulary, known = embedding_weight(model).shape[0], 5
    prompt = [(7 * i + 1) % vocabulary for i in range(8)]
    with sampling_mode(model, takes_decode_attention(model)):
        whole, _ = prefill(model, [prompt])
        layers = [
            (keys[0, :, :known], values[0, :, :known]) for keys, values in zip(whole.keys, whole.values, strict=True)
        ]
        continued, _ = prefill(model, [prompt], [Known(layers, known)])
    gap = relative_gap(continued.logits, whole.logits, model.dtype)
    if gap is not None:
        raise ValueError(
            f"rollout.prefix_caching=true: the logits of {type(model).__name__} differ, by {gap:.2g} of the largest, "
            "where the beginning of a prompt is not computed again: set it to false"
        )


def _gaps(model: PreTrainedModel, prompt: list[int], row: FinishedRow[int]) -> list[float]:
    ids = torch.tensor([[*prompt, *row.token_ids]], device=embedding_weight(model).device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    true = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0].tolist()
    return [abs(a - b) for a, b in zip(true, row.logprobs, strict=True)]


def check_request(
    prompt: Sequence[int], params: SamplingParams, seeds: Sequence[int], vocabulary: int, max_positions: int | None
) -> None:
    """Raise if the request cannot be sampled, before it can break the batch it would share.

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
            raise ValueError(f"seed={seed}: must be 0 to 2**63 - 1")
