"""The forward pass over prompts, which leaves their keys and values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from igrpo.generation.local.kv_cache import Prefix


def embedding_weight(model: PreTrainedModel) -> Tensor:
    """Return the input embedding, [V, H]; token ids go to its device, and it has one row per valid id."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def prefill(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Prefix:
    """Run one forward pass over P right-aligned prompts; only their last positions go through the head."""
    device = embedding_weight(model).device
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths)
    ids_PL = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    pads_P = longest - torch.tensor(lengths, device=device)
    positions_PL = torch.arange(longest, device=device) - pads_P[:, None]
    ragged = min(lengths) < longest
    cache = DynamicCache()  # no configuration: layers with a window keep all tokens, and a mask hides the old ones
    output = model(
        input_ids=ids_PL,
        attention_mask=(positions_PL >= 0).long() if ragged else None,
        position_ids=positions_PL.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefix.from_cache(cache, lengths, output.logits[:, -1].float())
