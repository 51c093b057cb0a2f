"""Attention windows per layer type, and the attention masks of a decode step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

#: Settings that transformers' masks implement; a family with another setting has a window that they do not cover.
_KNOWN = ("sliding_window", "use_sliding_window", "sliding_window_pattern", "max_window_layers")
_FULL, _SLIDING = "full_attention", "sliding_attention"


class OtherStateError(ValueError):
    """A model has state other than keys and values that a mask can hide; the message names it."""


def layer_windows(model: Any) -> Mapping[str, int | None]:
    """Return the window of each type of layer, in tokens (None: no limit).

    Raises:
        OtherStateError: a layer is of another type.
    """
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=model.config).layers
    others = sorted({type(layer).__name__ for layer in layers} - {"DynamicLayer", "DynamicSlidingWindowLayer"})
    types = set(getattr(config, "layer_types", None) or ())
    if others or model._is_stateful:
        raise OtherStateError(f"its layers keep a recurrent or hybrid state ({', '.join(others) or 'custom'})")
    settings = {name: value for name, value in config.to_dict().items() if value not in (None, False, 0)}
    own = [name for name in settings if "window" in name and name.lstrip("_") not in _KNOWN]
    own += [name for name in ("attention_chunk_size", "alibi") if name in settings]
    if own or types - {_FULL, _SLIDING}:
        found = ", ".join(own or sorted(types - {_FULL, _SLIDING}))
        raise OtherStateError(f"its attention uses positions in a way that the engine lacks ({found})")
    windows: dict[str, int | None] = {}
    for layer in layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            windows[_SLIDING] = layer.sliding_window
        else:
            assert isinstance(layer, DynamicLayer)
            windows[_FULL] = None
    return windows


class DecodeMasks:
    """Additive attention masks of a decode step, in the form that a model's ``forward`` accepts."""

    def __init__(self, model: Any) -> None:
        self._windows = layer_windows(model)
        self._dtype: torch.dtype = model.dtype
        # families with layer types take one mask per type; the others take one mask for all layers
        config = model.config.get_text_config(decoder=True)
        self._by_type = _SLIDING in self._windows and getattr(config, "layer_types", None) is not None

    def __call__(self, positions_B: Tensor, width: int) -> Tensor | dict[str, Tensor]:
        """Return the masks of a step: row b sees the columns up to ``positions_B[b]``, as far back as its window.

        Each mask is [B, 1, 1, width]: 0, or the lowest number of the model's dtype.
        """
        columns_W = torch.arange(width, device=positions_B.device)
        future_BW = columns_W > positions_B[:, None]
        masks = {}
        for kind, window in self._windows.items():
            hidden_BW = future_BW if window is None else future_BW | (columns_W <= positions_B[:, None] - window)
            zeros_BW = torch.zeros(hidden_BW.shape, dtype=self._dtype, device=positions_B.device)
            masks[kind] = zeros_BW.masked_fill_(hidden_BW, torch.finfo(self._dtype).min)[:, None, None]
        return masks if self._by_type else next(iter(masks.values()))
