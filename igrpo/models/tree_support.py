"""Check that a model can run over packed sequences whose attention follows a `PrefixTree`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from igrpo.models.prefix_tree import Node, PrefixTree
from igrpo.models.tree_attention import tree_arguments

#: A prompt of three tokens with completions of two and four.
_CHECKED = PrefixTree((Node(0, 3, 9), Node(3, 5, 5), Node(5, 9, 9)))


@torch.no_grad()
def tree_problem(model: Any) -> str | None:
    """Return why a model cannot run over packed sequences, or None if it can.

    The hidden states of a small packed sequence are compared with those of its separate rows.
    """
    config = model.config.get_text_config()
    if model.config._attn_implementation != "sdpa":
        return f"its attention is {model.config._attn_implementation}, not sdpa"
    if {*(getattr(config, "layer_types", None) or ())} - {"full_attention"}:
        return "some of its layers do not attend to all tokens before"
    weight = model.get_input_embeddings().weight
    ids_N = torch.arange(1, 1 + _CHECKED.tokens, device=weight.device) % len(weight)
    rows = [[*range(3), *range(3, 5)], [*range(3), *range(5, 9)]]
    positions_N = torch.zeros_like(ids_N)
    for row in rows:
        positions_N[row] = torch.arange(len(row), device=weight.device)

    def hidden(**inputs: Any) -> Tensor:
        return model.base_model(**inputs, use_cache=False).last_hidden_state[0].float()  # type: ignore[no-any-return]

    try:
        packed_NH = hidden(**tree_arguments(ids_N, positions_N, _CHECKED.to(weight.device)))
    except (RuntimeError, TypeError, ValueError) as error:
        return f"its forward pass does not take a packed sequence ({str(error).partition(chr(10))[0]})"
    for row in rows:
        expected_LH = hidden(input_ids=ids_N[row].unsqueeze(0))
        difference = (packed_NH[row] - expected_LH).abs().max().item()
        # a few rounding errors of the model's dtype
        if not difference <= max(2e-5, 4 * torch.finfo(weight.dtype).eps) * max(1.0, expected_LH.abs().max().item()):
            return f"its hidden states differ, by up to {difference:.3g}"
    return None
