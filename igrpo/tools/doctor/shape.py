"""The sizes of a decoder, as its memory and cost need them."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.models.flops import ModelShape


class UnknownShapeError(ValueError):
    """The sizes of a model cannot be known here; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One repeated layer, as it is sharded and checkpointed: all of its weights, and what they are.

    Attributes:
        parameters: of the whole layer.
        linears: (inputs, outputs) of each linear layer; LoRA's adapters go beside these.
        norms: RMS norms over the hidden state.
        attention: whether it has queries, keys and values.
        mlp: width of its MLP (0: none).
        gated: whether that MLP has a gate.
        mamba: outputs of a Mamba mixer's input projection (0: none).
        mamba_inner: width of its state's input (0: none).
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
    """A decoder.

    Attributes:
        name: what it is called on the page.
        hidden, vocabulary: widths.
        heads, key_heads, head_dim: of attention.
        head_norms: whether queries and keys are normalised head by head.
        layers: from first to last.
        embedding, head: parameters of both ends (head 0: tied to the embedding).
        state_bytes: what one sequence keeps in Mamba layers, whatever its length, in float32.
        positions: the longest sequence (None: no limit is declared).
        flops: multiply-adds (`igrpo.models.flops`).
        verified: whether the values were read from a configuration, not taken from another model.
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
        """Parameters outside of the layers: embedding, head, last norm."""
        return self.embedding + self.head + self.hidden

    @property
    def parameters(self) -> int:
        """All of them, tied ones once."""
        return self.ends + sum(layer.parameters for layer in self.layers)

    @property
    def queries(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.key_heads * self.head_dim

    @property
    def attention_layers(self) -> int:
        return sum(layer.attention for layer in self.layers)

    def adapter_parameters(self, rank: int) -> int:
        """Of LoRA's A and B beside every linear layer but the head."""
        return rank * sum(inputs + outputs for layer in self.layers for inputs, outputs in layer.linears)
