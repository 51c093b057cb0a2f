"""Attention windows: how far back each layer of a model looks, and the masks of a decode step that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

#: Settings whose windows transformers' masks carry out; a family with another one keeps a window of its own.
_KNOWN = ("sliding_window", "use_sliding_window", "sliding_window_pattern", "max_window_layers")
_FULL, _SLIDING = "full_attention", "sliding_attention"


class OtherStateError(ValueError):
    """A model whose state is more than keys and values that a mask hides; the message says what it has."""


def layer_windows(model: Any) -> Mapping[str, int | None]:
    """The window of each type of layer, in tokens (None: all tokens are seen).

    Raises:
        OtherStateError: a layer is of another type.
    """
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=model.config).layers
    others = sorted({type(layer).__name__ for layer in layers} - {"DynamicLayer", "DynamicSlidingWindowLayer"})
    types = set(getattr(config, "layer_types", None) or ())
    if others or model._is_stateful:
        raise OtherStateError(f"its layers keep a recurrent or hybrid state ({', '.join(others) or 'of its own'})")
    settings = {name: value for name, value in config.to_dict().items() if value not in (None, False, 0)}
    own = [name for name in settings if "window" in name and name.lstrip("_") not in _KNOWN]
    own += [name for name in ("attention_chunk_size", "alibi") if name in settings]
    if own or types - {_FULL, _SLIDING}:
        found = ", ".join(own or sorted(types - {_FULL, _SLIDING}))
        raise OtherStateError(f"its attention depends on a token's place in a way of its own ({found})")
    windows: dict[str, int | None] = {}
    for layer in layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            windows[_SLIDING] = layer.sliding_window
        else:
            assert isinstance(layer, DynamicLayer)
            windows[_FULL] = None
    return windows


class DecodeMasks:
    """Additive attention masks of a decode step, in the form in which a model's ``forward`` takes them."""

    def __init__(self, model: Any) -> None:
        self._windows = layer_windows(model)
        self._dtype: torch.dtype = model.dtype
        # families with types of layers take a mask of each; the others have one mask for all layers
        config = model.config.get_text_config(decoder=True)
        self._by_type = _SLIDING in self._windows and getattr(config, "layer_types", None) is not None

    def __call__(self, positions_B: Tensor, width: int) -> Tensor | dict[str, Tensor]:
        """Row b, whose new token is at ``positions_B[b]``, sees the columns up to it, as far back as its window goes.

        Each mask is [B, 1, 1, width]: 0, or the least number of the model's type.
        """
        columns_W = torch.arange(width, device=positions_B.device)
        future_BW = columns_W > positions_B[:, None]
        masks = {}
        for kind, window in self._windows.items():
            hidden_BW = future_BW if window is None else future_BW | (columns_W <= positions_B[:, None] - window)
            zeros_BW = torch.zeros(hidden_BW.shape, dtype=self._dtype, device=positions_B.device)
            masks[kind] = zeros_BW.masked_fill_(hidden_BW, torch.finfo(self._dtype).min)[:, None, None]
        return masks if self._by_type else next(iter(masks.values()))
