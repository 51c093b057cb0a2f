"""Sizes against the models that transformers builds from the same configurations, without weights."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from igrpo.config.composing.folders import choices, shipped
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.models.shape import model_shape
from igrpo.models.tiny_tokenizer import VOCABULARY
from igrpo.tools.doctor.families import shape_from
from igrpo.tools.doctor.shape import UnknownShapeError
from igrpo.tools.doctor.shapes import published, shape_of
from igrpo.training.strategies import decoder_layers
from tests.assembly.parts import write_model
from tests.composed import config as composed

ENTRIES: dict[str, dict[str, Any]] = yaml.safe_load(files("igrpo.tools.doctor").joinpath("shapes.yaml").read_text())[
    "shapes"
]
#: Parameters that the models' publishers and their papers name.
PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768, "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920, "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008, "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": 14_770_033_664,
    "nvidia/Nemotron-H-8B-Base-8K": 8_100_852_736,
}  # fmt: skip


def meta_model(config: dict[str, Any]) -> Any:
    values = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **values))


def count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ENTRIES)
def test_every_listed_shape_is_that_of_the_model(name: str) -> None:
    entry = ENTRIES[name]
    model, shape = meta_model(entry["config"]), published()[entry["models"][0]]
    assert shape.parameters == count(model)
    layers = decoder_layers(model)
    assert [layer.parameters for layer in shape.layers] == [count(layer) for layer in layers]
    for mine, layer in zip(shape.layers, layers, strict=True):
        linears = [module for module in layer.modules() if isinstance(module, torch.nn.Linear)]
        assert sorted(mine.linears) == sorted((linear.in_features, linear.out_features) for linear in linears)
    assert shape.ends == count(model) - sum(count(layer) for layer in layers)
    assert shape.flops == model_shape(model)  # the one that counts a run's operations


def test_the_counts_are_the_published_ones() -> None:
    assert {name: published()[name].parameters for name in PUBLISHED} == PUBLISHED


def test_adapters_are_peft_s() -> None:
    from igrpo.models.lora import add_adapters

    shape = shape_of(composed(None, "model=byte_level", "prompt=boxed").model)
    config = {
        "model_type": "llama", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 384, "vocab_size": 262, "tie_word_embeddings": True,
    }  # fmt: skip
    values = {key: value for key, value in config.items() if key != "model_type"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **values))
    assert count(model) == shape.parameters
    add_adapters(model, rank=3, alpha=6.0, targets="all-linear", seed=0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == shape.adapter_parameters(3)


def test_the_models_that_igrpo_makes() -> None:
    assert shape_of(composed().model).parameters == 337_152
    assert shape_of(composed().model).vocabulary == len(VOCABULARY)
    byte_level = composed(None, "model=byte_level", "prompt=boxed").model
    assert shape_of(byte_level).vocabulary == len(build_byte_level_tokenizer(chat_template=True))


def test_every_model_of_the_hub_that_is_shipped_is_listed() -> None:
    names = [choice.name for choice in choices("model") if choice.name not in {"tiny", "byte_level", "huggingface"}]
    names.remove("smollm2_135m_q4")  # a directory
    assert len(names) == 12
    folder = shipped("conf") / "model"
    common = yaml.safe_load((folder / "huggingface.yaml").read_text())["model"]
    for name in names:
        values = {**common, **yaml.safe_load((folder / f"{name}.yaml").read_text())["model"]}
        assert published()[values["name_or_path"]].parameters > 1e8
        assert (values["trust_remote_code"], values["dtype"], values["attention"]) == (False, "float32", "sdpa")


def test_a_directory_s_own_configuration_counts(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m")
    config = composed(None, "model=huggingface", f"model.name_or_path={directory}", "prompt=boxed")
    from igrpo.models.load import load_policy

    model, _ = load_policy(str(directory), dtype="float32", attention="sdpa")
    assert shape_of(config.model).parameters == count(model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the sizes of this model are not listed here"),
        ("{", "its config.json is broken"),
        (json.dumps({"model_type": "bert"}), "the layers of a 'bert' are not known here"),
        (json.dumps({"model_type": "llama"}), "its config.json has no 'hidden_size'"),
    ],
)
def test_what_cannot_be_known(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    model = composed(None, "model=huggingface", f"model.name_or_path={tmp_path}", "prompt=boxed").model
    with pytest.raises(UnknownShapeError, match=message):
        shape_of(model)


def test_an_unknown_kind_of_layer() -> None:
    config = ENTRIES["nemotron-h-8b-base-8k"]["config"] | {"hybrid_override_pattern": "M-E*"}
    with pytest.raises(UnknownShapeError, match=r"layers of the kind \['E'\]"):
        shape_from(config, "x", verified=True)
