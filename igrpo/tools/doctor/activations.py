"""Number of bytes that a forward pass saves for the backward pass, for transformers' modules and autograd.

Tested against the tensors that autograd saves (tests/tools/doctor/test_activations.py). On CUDA, attention kernels save
about the same; the estimate for Mamba layers assumes their fused kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.config.schema import RunConfig
from igrpo.tools.doctor.shape import Layer, Shape

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


def layer_bytes(shape: Shape, layer: Layer, widths: Widths, attention: str, row: int) -> float:
    """Return the bytes that one layer saves per token in rows of ``row`` tokens, with its input, without its output."""
    norm = FLOAT32 + widths.residual  # the state in float32, and the scaled result
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
        # the projection, outputs of the convolution and the scan, and the gated norm in float32
        saved += widths.compute * (shape.hidden + 2 * layer.mamba + 2 * layer.mamba_inner)
        saved += FLOAT32 * 2 * layer.mamba_inner
    return saved


def cast_weights(shape: Shape, widths: Widths) -> int:
    """Return the bytes of the copies of the layers' weights that autograd saves under autocast."""
    if not widths.autocast:
        return 0
    return widths.compute * sum(a * b for layer in shape.layers for a, b in layer.linears)


def final_bytes(shape: Shape, widths: Widths) -> int:
    """Return the bytes saved outside of the layers per token: the last norm, and the input of the head."""
    return (FLOAT32 + widths.residual) * shape.hidden + widths.residual * shape.hidden


def chunk_bytes(shape: Shape, *, with_entropy: bool) -> int:
    """Return the peak bytes at the output head per token of a chunk, as measured.

    These are its logits, their log-softmax and a gradient in float32; with an entropy bonus, those of the entropies
    too.
    """
    return (25 if with_entropy else 12) * shape.vocabulary


def _attention(shape: Shape, widths: Widths, attention: str, row: int) -> float:
    compute, queries, keys = widths.compute, shape.queries, shape.keys
    saved: float = compute * 2 * queries + FLOAT32 * shape.heads  # queries, output, sum of the softmax
    if shape.head_norms:
        saved += (FLOAT32 + compute) * (queries + keys)
    if attention == "flash_attention_2":
        return saved + compute * 2 * keys
    saved += compute * 2 * queries  # keys and values, repeated for each query head
    if attention == "eager":
        return saved + shape.heads * row * (compute + FLOAT32)  # the probabilities, and their softmax in float32
    return saved + compute * row  # the mask of a padded row
