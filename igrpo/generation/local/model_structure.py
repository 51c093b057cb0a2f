"""The modules of a Llama-like decoder, for a decode step that does not go through the model's own forward.

Llama, Mistral, Qwen2 and Qwen3 of transformers have one structure: RMS norms before attention and MLP, rotary
positions, grouped-query attention with optional biases and head norms, and a gated SiLU MLP. A model is taken only if
its modules are exactly these; what they do not show (a factor in the configuration) the caller checks on numbers.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import SiLUActivation

from igrpo.generation.local.windows import layer_windows

#: Packages of transformers whose decoders have this structure.
_FAMILIES: Final = ("llama", "mistral", "qwen2", "qwen3")
_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
_NORM_SUFFIX: Final = "RMSNorm"


class UnsupportedModelError(ValueError):
    """A model is not built of the known modules; the message says what differs."""


@dataclass(frozen=True, slots=True)
class Norm:
    """An RMS norm: its weight, [size], and the epsilon under the root."""

    weight: Tensor
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """The modules of one decoder layer. ``query_norm`` and ``key_norm`` are over the head dimension (Qwen3)."""

    before_attention: Norm
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    query_norm: Norm | None
    key_norm: Norm | None
    before_mlp: Norm
    gate: nn.Linear
    up: nn.Linear
    down: nn.Linear


@dataclass(frozen=True, slots=True)
class Decoder:
    """The modules of a causal language model, and the shape of its heads; ``rotary`` gives cosines and sines."""

    embedding: Tensor
    rotary: nn.Module
    layers: tuple[Layer, ...]
    norm: Norm
    head: nn.Linear
    heads: int
    key_heads: int
    head_dim: int
    scaling: float


def read_decoder(model: PreTrainedModel) -> Decoder:
    """Return the modules of ``model``.

    Raises:
        UnsupportedModelError: the model has another structure, adapters, quantised or sharded weights, hooks, a sliding
            window, an unusual dtype or device.
    """
    _check_modules(model)
    if any(layer_windows(model).values()):
        raise UnsupportedModelError("its attention has a sliding window")
    _check_children(model, {"model", "lm_head"})
    body: Any = model.model
    _check_children(body, {"embed_tokens", "layers", "norm", "rotary_emb"})
    _check_type(body.embed_tokens, nn.Embedding)
    layers = tuple(_read_layer(layer) for layer in body.layers)
    attention = body.layers[0].self_attn
    query, key = layers[0].query, layers[0].key
    head_dim = int(attention.head_dim)
    return Decoder(
        embedding=body.embed_tokens.weight,
        rotary=body.rotary_emb,
        layers=layers,
        norm=_read_norm(body.norm),
        head=_linear(model.lm_head),
        heads=query.out_features // head_dim,
        key_heads=key.out_features // head_dim,
        head_dim=head_dim,
        scaling=float(attention.scaling),
    )


def _check_modules(model: PreTrainedModel) -> None:
    package = type(model).__module__.split(".")
    if package[:2] != ["transformers", "models"] or package[2] not in _FAMILIES:
        raise UnsupportedModelError(f"its class is none of transformers' families {', '.join(_FAMILIES)}")
    if model.dtype not in _DTYPES or model.device.type != "cpu":
        raise UnsupportedModelError(f"its weights are {model.dtype} on {model.device.type}")
    if torch.is_autocast_enabled("cpu"):
        raise UnsupportedModelError("it runs under autocast")
    for name, parameter in model.named_parameters():
        if type(parameter) is not nn.Parameter or type(parameter.data) is not Tensor or parameter.dtype != model.dtype:
            raise UnsupportedModelError(f"{name} is a {type(parameter.data).__name__} of {parameter.dtype}")
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            raise UnsupportedModelError(f"the forward of {name or 'the model'} has a hook")


def _read_layer(layer: Any) -> Layer:
    _check_children(layer, {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"})
    attention, mlp = layer.self_attn, layer.mlp
    _check_children(attention, {"q_proj", "k_proj", "v_proj", "o_proj"}, optional={"q_norm", "k_norm"})
    _check_children(mlp, {"gate_proj", "up_proj", "down_proj", "act_fn"})
    _check_type(mlp.act_fn, SiLUActivation, nn.SiLU)
    return Layer(
        before_attention=_read_norm(layer.input_layernorm),
        query=_linear(attention.q_proj),
        key=_linear(attention.k_proj),
        value=_linear(attention.v_proj),
        output=_linear(attention.o_proj),
        query_norm=_read_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
        key_norm=_read_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
        before_mlp=_read_norm(layer.post_attention_layernorm),
        gate=_linear(mlp.gate_proj),
        up=_linear(mlp.up_proj),
        down=_linear(mlp.down_proj),
    )


def _read_norm(module: Any) -> Norm:
    if not type(module).__name__.endswith(_NORM_SUFFIX) or [name for name, _ in module.named_parameters()] != [
        "weight"
    ]:
        raise UnsupportedModelError(f"it has a {type(module).__name__}")
    return Norm(module.weight, float(module.variance_epsilon))


def _linear(module: nn.Module) -> nn.Linear:
    _check_type(module, nn.Linear)
    assert isinstance(module, nn.Linear)
    return module


def _check_type(module: nn.Module, *types: type[nn.Module]) -> None:
    if type(module) not in types:
        raise UnsupportedModelError(f"it has a {type(module).__name__} in place of a {types[0].__name__}")


def _check_children(module: nn.Module, needed: Set[str], optional: Set[str] = frozenset()) -> None:
    names = {name for name, _ in module.named_children()}
    own = [name for name, _ in module.named_parameters(recurse=False)]
    if own or not needed <= names <= needed | optional:
        raise UnsupportedModelError(f"its {type(module).__name__} has the parts {sorted([*names, *own])}")
