"""Number of bytes that a forward pass saves for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from igrpo.config.schema import RunConfig

if TYPE_CHECKING:
    from igrpo.models.load import Attention
    from igrpo.tools.doctor.fake_model import FakeModel

FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes per number, and whether autocast is used.

    Attributes:
        weight: bytes per number in the weights that the optimizer changes, in their gradients and moments.
        compute: bytes per number in matrix products.
        residual: bytes per number in the hidden states between layers.
        autocast: True if each linear layer makes its own bfloat16 copy of its input and weight.
    """

    weight: int
    compute: int
    residual: int
    autocast: bool


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a row of tokens: ``constant + tokens * (token + pair * tokens)``."""

    constant: float = 0.0
    token: float = 0.0
    pair: float = 0.0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.constant + other.constant, self.token + other.token, self.pair + other.pair)

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.constant - other.constant, self.token - other.token, self.pair - other.pair)

    def per_token(self, row: int) -> float:
        """Return the bytes per token in rows of ``row`` tokens, without the constant."""
        return self.token + self.pair * row


@dataclass(frozen=True, slots=True)
class Saved:
    """Activations that a forward pass saves for the backward pass, in bytes.

    Attributes:
        layers: what each layer saves, with its input, without its output; the constants are copies of its weights.
        outside: what is saved once: by the embedding, the rotary positions and the last norm.
        widest: bytes per token of the largest saved tensor.
    """

    layers: tuple[Bytes, ...]
    outside: Bytes
    widest: float


def widths_of(config: RunConfig) -> Widths:
    """Return the widths that ``model.dtype``, ``trainer.precision`` and ``trainer.strategy`` give.

    (fsdp2 casts whole layers.)
    """
    weight = weight_bytes(config)
    if weight == 2:
        return Widths(2, 2, 2, autocast=False)
    if config.trainer.precision == "fp32":
        return Widths(FLOAT32, FLOAT32, FLOAT32, autocast=False)
    if config.trainer.strategy == "fsdp2":
        return Widths(FLOAT32, 2, 2, autocast=False)
    return Widths(FLOAT32, 2, FLOAT32, autocast=True)


def weight_bytes(config: RunConfig) -> int:
    """Return the bytes per number in the trained weights."""
    return 2 if config.model.name == "huggingface" and config.model.dtype == "bfloat16" else FLOAT32


@cache
def saved_by(model: FakeModel, widths: Widths, attention: Attention) -> Saved:
    """Return the activations that a forward pass of ``model`` saves (see `FakeModel.saved`)."""
    import torch

    half = widths.compute < FLOAT32 and not widths.autocast
    return model.saved(attention, torch.bfloat16 if half else torch.float32, autocast=widths.autocast)


def chunk_bytes(vocabulary: int, *, with_entropy: bool) -> int:
    """Return the peak bytes at the output head per token of a chunk, as measured.

    These are its logits, their log-softmax and a gradient in float32; with an entropy bonus, those of the entropies
    too.
    """
    return (25 if with_entropy else 12) * vocabulary
