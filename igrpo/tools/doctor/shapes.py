"""Look-up of the sizes of a run's model, without its weights and without network access."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from igrpo.models.files import no_directory
from igrpo.settings.model import ByteLevelModelConfig, ModelConfig, TinyModelConfig
from igrpo.tools.doctor.families import shape_from
from igrpo.tools.doctor.shape import Shape, UnknownShapeError

#: Vocabulary sizes of the models that igrpo creates itself.
_TINY_VOCABULARY, _BYTE_VOCABULARY = 40, 262


def shape_of(model: ModelConfig) -> Shape:
    """Return the sizes of a run's model.

    Raises:
        UnknownShapeError: the model is a GGUF file, is neither listed here nor a local directory, or is of an unknown
            family.
    """
    if isinstance(model, TinyModelConfig):
        return _own(model, "qwen2", _TINY_VOCABULARY, 512)
    if isinstance(model, ByteLevelModelConfig):
        return _own(model, "llama", _BYTE_VOCABULARY, 4096)
    if model.gguf_file is not None:
        raise UnknownShapeError(
            f"model.gguf_file={model.gguf_file}: the sizes of a model in GGUF are not read here; give the model "
            "that it was made from, by model.name_or_path"
        )
    return named_shape(model.name_or_path, "model.name_or_path")


def named_shape(name: str, setting: str) -> Shape:
    """Return the sizes of the model that ``setting`` names: a local directory, or a listed name on the hub.

    Raises:
        UnknownShapeError: see ``shape_of``.
    """
    file = Path(name).expanduser() / "config.json"
    if file.is_file():
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UnknownShapeError(f"{setting}={name}: its config.json is broken: {error}") from None
        return shape_from(values, name, verified=True)
    listed = published().get(name)
    if listed is None:
        raise UnknownShapeError(
            f"{setting}={name}: the sizes of this model are not listed here, and {no_directory(name)}; give its "
            "directory (a config.json is enough)"
        )
    return listed


@cache
def published() -> dict[str, Shape]:
    """Return the sizes of the models in shapes.yaml, by their names on the hub."""
    text = files("igrpo.tools.doctor").joinpath("shapes.yaml").read_text(encoding="utf-8")
    return {
        model: shape_from(entry["config"], model, verified=entry["read"] == "quoted")
        for entry in yaml.safe_load(text)["shapes"].values()
        for model in entry["models"]
    }


def _own(model: TinyModelConfig | ByteLevelModelConfig, family: str, vocabulary: int, positions: int) -> Shape:
    config = {
        "model_type": family,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.heads,
        "intermediate_size": model.mlp,
        "vocab_size": vocabulary,
        "tie_word_embeddings": True,
        "max_position_embeddings": positions,
    }
    return shape_from(config, f"model={model.name}", verified=True)
