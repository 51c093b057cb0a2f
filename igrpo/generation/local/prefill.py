"""The forward pass over prompts, which leaves their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from igrpo.generation.local.kv_cache import Prefix


class Known(NamedTuple):
    """Keys and values of the first tokens of a prompt: two of [heads, at least ``tokens``, head_dim] per layer."""

    layers: list[tuple[Tensor, Tensor]]
    tokens: int


def embedding_weight(model: PreTrainedModel) -> Tensor:
    """Return the input embedding, [V, H]; token ids go to its device, and it has one row per valid id."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def prefill(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], known: Sequence[Known | None] = ()
) -> tuple[Prefix, int]:
    """Run one forward pass over P right-aligned prompts; only their last positions go through the head.

    Args:
        known: for each prompt, its beginning that need not be computed; fewer tokens than the prompt. The pass computes
            the same number of last tokens of every prompt, as many as the prompt with the fewest known tokens needs.

    Returns:
        The prefix, and the number of prompt tokens that were computed.
    """
    device = embedding_weight(model).device
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths)
    reused = [0 if have is None else have.tokens for have in known] or [0] * len(prompts)
    computed = max(length - tokens for length, tokens in zip(lengths, reused, strict=True))
    cached = longest - computed
    rows = [[0] * (computed - len(prompt)) + list(prompt[-computed:]) for prompt in prompts]
    ids_PL = torch.tensor(rows, device=device)
    pads_P = longest - torch.tensor(lengths, device=device)
    positions_PL = torch.arange(longest, device=device) - pads_P[:, None]
    ragged = min(lengths) < longest
    cache = DynamicCache()  # no configuration: layers with a window keep all tokens, and a mask hides the old ones
    if cached:
        _fill(cache, known, [max(0, length - computed) for length in lengths], cached)
    output = model(
        input_ids=ids_PL,
        attention_mask=(positions_PL >= 0).long() if ragged or cached else None,
        position_ids=positions_PL[:, cached:].clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    prefix = Prefix.from_cache(cache, lengths, output.logits[:, -1].float())
    return prefix, sum(min(computed, length) for length in lengths)


def _fill(cache: DynamicCache, known: Sequence[Known | None], used: Sequence[int], columns: int) -> None:
    """Write the first ``used`` tokens of each prompt to the ends of ``columns`` columns."""
    like = next(have.layers for have in known if have is not None)
    for layer, pair in enumerate(like):
        # not uninitialised memory: a hidden NaN would still give NaN in the weighted sum
        keys, values = (one.new_zeros(len(known), len(one), columns, one.shape[-1]) for one in pair)
        for row, (have, tokens) in enumerate(zip(known, used, strict=True)):
            if have is not None and tokens:
                for buffer, mine in zip((keys, values), have.layers[layer], strict=True):
                    buffer[row, :, columns - tokens :] = mine[:, :tokens]
        cache.update(keys, values, layer)
