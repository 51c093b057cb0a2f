"""Sizes of a decoder, from which its memory and cost are computed."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.models.flops import ModelShape


class UnknownShapeError(ValueError):
    """Error for a model whose sizes are unknown; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Repeated layer, the unit of sharding and checkpointing.

    Attributes:
        parameters: number of parameters of the whole layer.
        linears: (inputs, outputs) of each linear layer, to which LoRA adds adapters.
        norms: number of RMS norms over the hidden state.
        attention: True if it has queries, keys and values.
        mlp: width of its MLP (0: none).
        gated: True if the MLP has a gate.
        mamba: output width of a Mamba mixer's input projection (0: none).
        mamba_inner: input width of the Mamba mixer's state (0: none).
    """

    parameters: int
    linears: tuple[tuple[int, int], ...]
    norms: int
    attention: bool = False
    mlp: int = 0
    gated: bool = False
    mamba: int = 0
    mamba_inner: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder.

    Attributes:
        name: name shown on the page.
        hidden, vocabulary: widths.
        heads, key_heads, head_dim: sizes of attention.
        head_norms: True if queries and keys are normalised per head.
        layers: layers from first to last.
        embedding, head: parameters of the embedding and the output head (head 0: tied to the embedding).
        state_bytes: bytes per sequence of the float32 states of Mamba layers, which do not depend on its length.
        positions: maximum sequence length (None: no limit is declared).
        flops: multiply-adds (`igrpo.models.flops`).
        verified: True if the values were read from the model's own configuration, not taken from another model.
    """

    name: str
    hidden: int
    vocabulary: int
    heads: int
    key_heads: int
    head_dim: int
    head_norms: bool
    layers: tuple[Layer, ...]
    embedding: int
    head: int
    state_bytes: int
    positions: int | None
    flops: ModelShape
    verified: bool

    @property
    def ends(self) -> int:
        """Number of parameters outside of the layers: embedding, head, last norm."""
        return self.embedding + self.head + self.hidden

    @property
    def parameters(self) -> int:
        """Number of all parameters; tied ones count once."""
        return self.ends + sum(layer.parameters for layer in self.layers)

    @property
    def queries(self) -> int:
        """Total width of the query heads."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Total width of the key heads, and of the value heads."""
        return self.key_heads * self.head_dim

    @property
    def attention_layers(self) -> int:
        return sum(layer.attention for layer in self.layers)

    def adapter_parameters(self, rank: int) -> int:
        """Return the number of parameters in LoRA's A and B for every linear layer except the head."""
        return rank * sum(inputs + outputs for layer in self.layers for inputs, outputs in layer.linears)
