"""Two ways of decoding one token per row: by the model's own forward, and by a step of our own for Llama-like decoders.

Both have the same results up to rounding. Weights are packed when a ``FusedDecoder`` is made, so one is made for each
rollout and dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding, rms_norm
from transformers import PreTrainedModel

from igrpo.generation.local.kv_cache import Prefix, SlotCache
from igrpo.generation.local.model_structure import Decoder, Layer, Norm
from igrpo.generation.local.projections import Packer, Projection
from igrpo.generation.local.shared_prompt_cache import SharedPromptCache
from igrpo.generation.local.windows import DecodeMasks


class DecodePath(Protocol):
    """Decodes rows 0 .. B-1 and keeps their keys and values."""

    def insert(self, prefix: Prefix, sources: Sequence[int]) -> None:
        """Append one row per entry of ``sources``, which continues that prompt of ``prefix``."""
        ...

    def step(self, tokens_B: Tensor, positions_B: Tensor, width: int) -> Tensor:
        """Decode one token per row at its position, and return the logits of the next, [B, V], float32.

        ``width`` is the length of the longest row.
        """
        ...

    def remove(self, targets: Sequence[int], sources: Sequence[int], left: int, width: int) -> None:
        """Move the rows ``sources`` to the slots ``targets``, and drop all rows from ``left`` on."""
        ...


#: Makes a path without rows, from an example of what its rows will continue and their largest number.
PathMaker = Callable[[Prefix, int], DecodePath]


class ModelPath:
    """Decodes by the model's own forward, over a cache with a slot per row."""

    def __init__(self, model: PreTrainedModel, like: Prefix, max_rows: int) -> None:
        self._model, self._masks = model, DecodeMasks(model)
        self._cache = SlotCache(like, max_rows)
        self._rows = 0

    def insert(self, prefix: Prefix, sources: Sequence[int]) -> None:
        self._cache.insert(prefix, torch.tensor(sources, device=prefix.logits.device), self._rows)
        self._rows += len(sources)

    def step(self, tokens_B: Tensor, positions_B: Tensor, width: int) -> Tensor:
        self._cache.begin_step(positions_B, width)
        output = self._model(
            input_ids=tokens_B[:, None],
            attention_mask=self._masks(positions_B, width),
            position_ids=positions_B[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def remove(self, targets: Sequence[int], sources: Sequence[int], left: int, width: int) -> None:
        self._rows = left
        if targets:
            device = self._cache.slot_layers[0].keys.device
            self._cache.move(torch.tensor(targets, device=device), torch.tensor(sources, device=device), width)


class _FusedLayer:
    """Projections of one layer. Query, key and value are a single projection; gate, up and down are separate ones."""

    def __init__(self, layer: Layer, packed: Packer) -> None:
        self.qkv: Projection = packed(layer.query, layer.key, layer.value)
        self.output, self.down = packed(layer.output), packed(layer.down)
        self.gate, self.up = packed(layer.gate), packed(layer.up)
        self.before_attention, self.before_mlp = layer.before_attention, layer.before_mlp
        self.query_norm, self.key_norm = layer.query_norm, layer.key_norm


class FusedDecoder:
    """The decode step of a Llama-like model, on weights packed at their present values."""

    def __init__(self, decoder: Decoder, max_packed_bytes: int) -> None:
        """Pack the weights: the head first, which gains most, then layers until ``max_packed_bytes`` are used."""
        packed = Packer(max_packed_bytes)
        self._decoder = decoder
        self._head = packed(decoder.head)
        self._layers = [_FusedLayer(layer, packed) for layer in decoder.layers]
        half = decoder.head_dim // 2
        self._signs_D = torch.ones(decoder.head_dim, dtype=decoder.embedding.dtype)
        self._signs_D[:half] = -1

    def new_path(self, like: Prefix, max_rows: int) -> FusedPath:
        """Return a path without rows."""
        return FusedPath(self, like, max_rows)

    def step(self, tokens_B: Tensor, positions_B: Tensor, cache: SharedPromptCache) -> Tensor:
        """Return the logits of the next token, [B, V], in the model's dtype."""
        decoder = self._decoder
        heads, key_heads, dim = decoder.heads, decoder.key_heads, decoder.head_dim
        batch, shared = len(tokens_B), heads // key_heads
        x_BH = embedding(tokens_B, decoder.embedding)
        cosines, sines = (table[0, :, None] for table in decoder.rotary(x_BH, positions_B[None]))
        sines = sines * self._signs_D
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(_normed(x_BH, layer.before_attention)).view(batch, heads + 2 * key_heads, dim)
            rotated, value = qkv[:, : heads + key_heads], qkv[:, heads + key_heads :]
            if layer.query_norm is not None and layer.key_norm is not None:
                query, key = _normed(qkv[:, :heads], layer.query_norm), rotated[:, heads:]
                rotated = torch.cat([query, _normed(key, layer.key_norm)], 1)
            rotated = torch.addcmul(rotated * cosines, rotated.roll(dim // 2, -1), sines)
            query = rotated[:, :heads].view(batch, key_heads, shared, dim)
            attended = cache.attend(index, query, rotated[:, heads:], value, decoder.scaling)
            x_BH = layer.output.plus(attended, x_BH)
            normed = _normed(x_BH, layer.before_mlp)
            x_BH = layer.down.plus(layer.up.times(normed, layer.gate.silu(normed)), x_BH)
        return self._head(_normed(x_BH, decoder.norm))


class FusedPath:
    """Decodes by a ``FusedDecoder``, over a cache that shares prompts."""

    def __init__(self, decoder: FusedDecoder, like: Prefix, max_rows: int) -> None:
        self._decoder, self._cache = decoder, SharedPromptCache(like, max_rows)

    def insert(self, prefix: Prefix, sources: Sequence[int]) -> None:
        self._cache.insert(prefix, sources)

    def step(self, tokens_B: Tensor, positions_B: Tensor, width: int) -> Tensor:
        self._cache.begin_step()
        return self._decoder.step(tokens_B, positions_B, self._cache).float()

    def remove(self, targets: Sequence[int], sources: Sequence[int], left: int, width: int) -> None:
        self._cache.remove(targets, sources, left)


def _normed(x: Tensor, norm: Norm) -> Tensor:
    return rms_norm(x, (x.shape[-1],), norm.weight, norm.epsilon)
