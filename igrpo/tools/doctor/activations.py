"""What a forward pass keeps for the backward pass, byte by byte, as transformers' modules and autograd do it.

Checked against the tensors that autograd really saves (tests/tools/doctor/test_activations.py). On CUDA the attention
kernels keep about the same; Mamba layers are estimated as their fused kernels would have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.config.schema import RunConfig
from igrpo.tools.doctor.shape import Layer, Shape

FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes of a number, and what autocast adds.

    Attributes:
        weight: of the weights that the optimizer changes, of their gradients and moments.
        compute: of matrix products.
        residual: of the hidden states between layers.
        autocast: each linear layer makes its own bfloat16 copy of its input and of its weight.
    """

    weight: int
    compute: int
    residual: int
    autocast: bool


def widths_of(config: RunConfig) -> Widths:
    """As ``model.dtype``, ``trainer.precision`` and ``trainer.strategy`` have it (fsdp2 casts whole layers)."""
    weight = weight_bytes(config)
    if weight == 2:
        return Widths(2, 2, 2, autocast=False)
    if config.trainer.precision == "fp32":
        return Widths(FLOAT32, FLOAT32, FLOAT32, autocast=False)
    if config.trainer.strategy == "fsdp2":
        return Widths(FLOAT32, 2, 2, autocast=False)
    return Widths(FLOAT32, 2, FLOAT32, autocast=True)


def weight_bytes(config: RunConfig) -> int:
    """Of one number of the trained weights."""
    return 2 if config.model.name == "huggingface" and config.model.dtype == "bfloat16" else FLOAT32


def layer_bytes(shape: Shape, layer: Layer, widths: Widths, attention: str, row: int) -> float:
    """Saved by one layer for one token of a row of ``row`` tokens; its input is counted, its output is not."""
    norm = FLOAT32 + widths.residual  # the state in float32, and what it is after scaling
    saved: float = layer.norms * (norm * shape.hidden + FLOAT32)
    if layer.attention:
        copies = 3 if widths.autocast else 1
        saved += copies * widths.compute * shape.hidden
        saved += _attention(shape, widths, attention, row)
    if layer.mlp:
        copies = 2 if widths.autocast and layer.gated else 1
        saved += copies * widths.compute * shape.hidden
        saved += (4 if layer.gated else 2) * widths.compute * layer.mlp
    if layer.mamba:
        # the projection, what leaves the convolution, the scan's output, and the gated norm in float32
        saved += widths.compute * (shape.hidden + 2 * layer.mamba + 2 * layer.mamba_inner)
        saved += FLOAT32 * 2 * layer.mamba_inner
    return saved


def cast_weights(shape: Shape, widths: Widths) -> int:
    """Copies of the layers' weights that autograd keeps beside the activations, under autocast."""
    if not widths.autocast:
        return 0
    return widths.compute * sum(a * b for layer in shape.layers for a, b in layer.linears)


def final_bytes(shape: Shape, widths: Widths) -> int:
    """Saved outside of the layers for one token: the last norm, and the states that go into the head."""
    return (FLOAT32 + widths.residual) * shape.hidden + widths.residual * shape.hidden


def chunk_bytes(shape: Shape, *, with_entropy: bool) -> int:
    """At the output head's peak for one token of a chunk, as measured: in float32 its logits, their log-softmax and a
    gradient; with an entropy bonus those of the entropies, too."""
    return (25 if with_entropy else 12) * shape.vocabulary


def _attention(shape: Shape, widths: Widths, attention: str, row: int) -> float:
    compute, queries, keys = widths.compute, shape.queries, shape.keys
    saved: float = compute * 2 * queries + FLOAT32 * shape.heads  # queries, output, the softmax's sum
    if shape.head_norms:
        saved += (FLOAT32 + compute) * (queries + keys)
    if attention == "flash_attention_2":
        return saved + compute * 2 * keys
    saved += compute * 2 * queries  # keys and values, repeated for each query head
    if attention == "eager":
        return saved + shape.heads * row * (compute + FLOAT32)  # the probabilities, and their softmax in float32
    return saved + compute * row  # the mask over a padded row
