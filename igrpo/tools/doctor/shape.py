"""Sizes of a run's model, measured without its weights and without network access."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from igrpo.models.files import no_directory
from igrpo.models.flops import ModelShape, model_shape
from igrpo.settings.model import ByteLevelModelConfig, ModelConfig, TinyModelConfig

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

    from igrpo.tools.doctor.fake_model import FakeModel

#: Bytes per number of the recurrent states, which stay float32.
_STATE = 4

#: Measured models, by name and configuration.
_SHAPES: dict[tuple[str, str], Shape] = {}


class UnknownShapeError(ValueError):
    """Error for a model whose sizes are unknown; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Repeated layer, the unit of sharding and checkpointing.

    Attributes:
        parameters: number of parameters of the whole layer.
        linears: (inputs, outputs) of each linear layer, to which LoRA adds adapters.
    """

    parameters: int
    linears: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Sizes of a decoder.

    Attributes:
        name: name shown on the page.
        hidden, vocabulary: widths.
        heads, key_heads: number of query heads and of key heads per layer (0: no attention).
        layers: layers from first to last.
        parameters: number of all parameters; tied ones count once.
        embedding, head: parameters of the embedding and the output head (head 0: tied to the embedding).
        cached: numbers per token in the keys and values of all layers.
        state_bytes: bytes per sequence of recurrent states, which do not depend on its length.
        positions: maximum sequence length (None: no limit is declared).
        window: number of tokens that layers with a sliding window attend to (None: no such layers).
        flops: multiply-adds (`igrpo.models.flops`).
        budget_flops: multiply-adds that a run counts in ``budget/flops``.
        verified: True if the values were read from the model's own configuration, not taken from another model.
        model: the model, to measure its activations.
    """

    name: str
    hidden: int
    vocabulary: int
    heads: int
    key_heads: int
    layers: tuple[Layer, ...]
    parameters: int
    embedding: int
    head: int
    cached: int
    state_bytes: int
    positions: int | None
    window: int | None
    flops: ModelShape
    budget_flops: ModelShape
    verified: bool
    model: FakeModel

    @property
    def ends(self) -> int:
        """Number of parameters outside of the layers: embedding, head, last norm."""
        return self.parameters - sum(layer.parameters for layer in self.layers)

    def adapter_parameters(self, rank: int) -> int:
        """Return the number of parameters in LoRA's A and B for every linear layer except the head."""
        return rank * sum(inputs + outputs for layer in self.layers for inputs, outputs in layer.linears)


def shape_of(model: ModelConfig) -> Shape:
    """Return the sizes of a run's model.

    Raises:
        UnknownShapeError: the model is a GGUF file, is neither listed nor on this machine, or cannot be measured.
    """
    if isinstance(model, TinyModelConfig):
        from igrpo.models.tiny import TinyShape, tiny_config

        tiny = tiny_config(TinyShape(model.hidden, model.layers, model.heads, model.mlp))
        return _measured(tiny, "model=tiny")
    if isinstance(model, ByteLevelModelConfig):
        from igrpo.models.byte_level import ByteLevelShape, build_byte_level_tokenizer, byte_level_config

        shape = ByteLevelShape(hidden=model.hidden, layers=model.layers, heads=model.heads, mlp=model.mlp)
        tokenizer = build_byte_level_tokenizer(chat_template=model.chat_template)
        return _measured(byte_level_config(shape, tokenizer), "model=byte_level")
    if model.gguf_file is not None:
        raise UnknownShapeError(
            f"model.gguf_file={model.gguf_file}: the sizes of a model in GGUF are not read here; give the model "
            "that it was made from, by model.name_or_path"
        )
    return named_shape(model.name_or_path, "model.name_or_path", trust_remote_code=model.trust_remote_code)


def named_shape(name: str, setting: str, *, trust_remote_code: bool = False) -> Shape:
    """Return the sizes of the model that ``setting`` names: a directory, a listed name, or a name in the hub's cache.

    Raises:
        UnknownShapeError: see ``shape_of``.
    """
    from igrpo.models.tokenizer import first_line

    try:
        config, verified = _config(name, trust_remote_code=trust_remote_code)
    except OSError as error:
        if (Path(name).expanduser() / "config.json").is_file():
            raise UnknownShapeError(f"{setting}={name}: its config.json is broken: {first_line(error)}") from None
        raise UnknownShapeError(
            f"{setting}={name}: the sizes of this model are not listed here, and {no_directory(name)}; give its "
            "directory (a config.json is enough)"
        ) from None
    except (ValueError, ImportError) as error:
        raise UnknownShapeError(f"{setting}={name}: transformers does not know it: {first_line(error)}") from None
    try:
        return _measured(config, name, verified=verified, trust_remote_code=trust_remote_code)
    except Exception as error:  # the code of any model family
        raise UnknownShapeError(
            f"{setting}={name}: a '{config.model_type}' cannot be measured without its weights: {first_line(error)}"
        ) from error


def _config(name: str, *, trust_remote_code: bool) -> tuple[PretrainedConfig, bool]:
    """Return the configuration of a model, and True unless it is that of another model.

    Raises:
        OSError: it is neither listed nor on this machine, or its file is broken.
    """
    from transformers import AutoConfig

    directory, listed = Path(name).expanduser(), published().get(name)
    if listed is not None and not directory.is_dir():
        return AutoConfig.for_model(**listed["config"]), listed["read"] == "quoted"
    if directory.is_dir() and not (directory / "config.json").is_file():
        raise FileNotFoundError(directory / "config.json")
    source = str(directory) if directory.is_dir() else name  # a name may be in the hub's cache
    return AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=trust_remote_code), True


@cache
def published() -> dict[str, dict[str, Any]]:
    """Return the entries of shapes.yaml by the models' names on the hub."""
    text = files("igrpo.tools.doctor").joinpath("shapes.yaml").read_text(encoding="utf-8")
    return {model: entry for entry in yaml.safe_load(text)["shapes"].values() for model in entry["models"]}


def _measured(config: PretrainedConfig, name: str, *, verified: bool = True, trust_remote_code: bool = False) -> Shape:
    key = (name, config.to_json_string())
    if key not in _SHAPES:
        _SHAPES[key] = _measure(config, name, verified=verified, trust_remote_code=trust_remote_code)
    return _SHAPES[key]


def _measure(config: PretrainedConfig, name: str, *, verified: bool, trust_remote_code: bool) -> Shape:
    from igrpo.tools.doctor.fake_model import FakeModel

    fake = FakeModel(config, trust_remote_code=trust_remote_code)
    embedding, head = fake.model.get_input_embeddings().weight, fake.model.get_output_embeddings().weight
    cached, states = fake.cached_numbers()
    sizes = config.get_text_config(decoder=True)
    heads = getattr(sizes, "num_attention_heads", 0)
    return Shape(
        name=name,
        hidden=embedding.shape[1],
        vocabulary=head.shape[0],
        heads=heads,
        key_heads=getattr(sizes, "num_key_value_heads", None) or heads,
        layers=tuple(Layer(_count(layer), _linears(layer)) for layer in fake.layers),
        parameters=_count(fake.model),
        embedding=embedding.numel(),
        head=0 if head is embedding else head.numel(),
        cached=cached,
        state_bytes=_STATE * states,
        positions=getattr(sizes, "max_position_embeddings", None),
        window=getattr(sizes, "sliding_window", None),
        flops=fake.count_operations(),
        budget_flops=model_shape(fake.model),
        verified=verified,
        model=fake,
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _linears(layer: nn.Module) -> tuple[tuple[int, int], ...]:
    from torch import nn

    return tuple((m.in_features, m.out_features) for m in layer.modules() if isinstance(m, nn.Linear))
