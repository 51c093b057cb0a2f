"""Sizes of decoders, computed from Hugging Face configurations, for each known model family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from igrpo.models.flops import ModelShape, known_shape, unknown_shape
from igrpo.tools.doctor.shape import Layer, Shape, UnknownShapeError

#: Families with Llama's layout (q, k, v and o, a gated MLP): True if q, k and v have biases.
_QKV_BIAS = {"llama": False, "mistral": False, "qwen2": True, "qwen3": False}
#: Families that normalise the queries and keys of each head.
_HEAD_NORMS = {"qwen3"}


def shape_from(config: Mapping[str, Any], name: str, *, verified: bool) -> Shape:
    """Compute the sizes of a decoder from the values of its Hugging Face configuration.

    Raises:
        UnknownShapeError: the model family is unknown, or a value is missing.
    """
    try:
        if config["model_type"] == "nemotron_h":
            return _nemotron_h(config, name, verified=verified)
        if config["model_type"] in _QKV_BIAS:
            return _dense(config, name, verified=verified)
    except KeyError as error:
        raise UnknownShapeError(f"model.name_or_path={name}: its config.json has no {error}") from None
    known = ", ".join([*_QKV_BIAS, "nemotron_h"])
    raise UnknownShapeError(
        f"model.name_or_path={name}: the layers of a '{config['model_type']}' are not known here (known: {known})"
    )


def _dense(config: Mapping[str, Any], name: str, *, verified: bool) -> Shape:
    hidden, heads, mlp = config["hidden_size"], config["num_attention_heads"], config["intermediate_size"]
    key_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    queries, keys = heads * head_dim, key_heads * head_dim
    family = config["model_type"]
    head_norms = family in _HEAD_NORMS
    attention = ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden))
    linears = (*attention, (hidden, mlp), (hidden, mlp), (mlp, hidden))
    biases = queries + 2 * keys if _QKV_BIAS[family] else 0
    parameters = sum(a * b for a, b in linears) + biases + 2 * hidden + (2 * head_dim if head_norms else 0)
    layer = Layer(parameters, linears, norms=2, attention=True, mlp=mlp, gated=True)
    counted = known_shape({**config, "num_key_value_heads": key_heads, "sliding_window": None})
    assert counted is not None, "every family here is known there"
    return _shape(
        config,
        name,
        layers=(layer,) * config["num_hidden_layers"],
        head_dim=head_dim,
        key_heads=key_heads,
        head_norms=head_norms,
        state_bytes=0,
        flops=counted,
        verified=verified,
    )


def _nemotron_h(config: Mapping[str, Any], name: str, *, verified: bool) -> Shape:
    """Compute the sizes of a Nemotron-H. Its layers are of one kind each: M: Mamba-2; -: ungated MLP; *: attention."""
    hidden, mlp, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    inner = config["mamba_num_heads"] * config["mamba_head_dim"]
    mixed = inner + 2 * config["n_groups"] * config["ssm_state_size"]  # input width of the convolution
    projected = inner + mixed + config["mamba_num_heads"]
    convolution = mixed * config["conv_kernel"] + mixed
    scan = 3 * config["mamba_num_heads"] + inner  # A, D, the bias of dt, and the gated norm
    kinds = {
        "M": ((hidden, projected), (inner, hidden)),
        "-": ((hidden, mlp), (mlp, hidden)),
        "*": ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)),
    }
    made = {
        kind: Layer(
            sum(a * b for a, b in linears) + hidden + (convolution + scan if kind == "M" else 0),
            linears,
            norms=1,
            attention=kind == "*",
            mlp=mlp if kind == "-" else 0,
            mamba=projected if kind == "M" else 0,
            mamba_inner=inner if kind == "M" else 0,
        )
        for kind, linears in kinds.items()
    }
    pattern = _pattern(config)
    unknown = set(pattern) - set(made)
    if unknown:
        raise UnknownShapeError(f"model.name_or_path={name}: layers of the kind {sorted(unknown)} are not known here")
    layers = tuple(made[kind] for kind in pattern)
    state = 4 * (inner * config["ssm_state_size"] + mixed * (config["conv_kernel"] - 1))
    counted = unknown_shape(sum(layer.parameters for layer in layers) + hidden, hidden * config["vocab_size"])
    states = state * pattern.count("M")
    return _shape(
        config,
        name,
        layers=layers,
        head_dim=head_dim,
        key_heads=config["num_key_value_heads"],
        head_norms=False,
        state_bytes=states,
        flops=counted,
        verified=verified,
    )


def _pattern(config: Mapping[str, Any]) -> str:
    """Return one letter per layer, from either of the two formats that transformers uses."""
    if "hybrid_override_pattern" in config:
        return str(config["hybrid_override_pattern"])
    names = {"linear_attention": "M", "mamba": "M", "mlp": "-", "full_attention": "*", "attention": "*", "moe": "E"}
    return "".join(names[kind] for kind in config["layers_block_type"])


def _shape(
    config: Mapping[str, Any],
    name: str,
    *,
    layers: tuple[Layer, ...],
    head_dim: int,
    key_heads: int,
    head_norms: bool,
    state_bytes: int,
    flops: ModelShape,
    verified: bool,
) -> Shape:
    table = config["hidden_size"] * config["vocab_size"]
    return Shape(
        name=name,
        hidden=config["hidden_size"],
        vocabulary=config["vocab_size"],
        heads=config["num_attention_heads"],
        key_heads=key_heads,
        head_dim=head_dim,
        head_norms=head_norms,
        layers=layers,
        embedding=table,
        head=0 if config.get("tie_word_embeddings", False) else table,
        state_bytes=state_bytes,
        positions=config.get("max_position_embeddings"),
        flops=flops,
        verified=verified,
    )
