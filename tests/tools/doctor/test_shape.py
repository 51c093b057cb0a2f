"""Sizes and operations of models, against published counts, hand counts and torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from igrpo.config.composing.folders import choices, shipped
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.models.load import load_policy
from igrpo.models.lora import add_adapters
from igrpo.models.tiny_tokenizer import VOCABULARY
from igrpo.tools.doctor.shape import Shape, UnknownShapeError, named_shape, published, shape_of
from tests.assembly.parts import write_model
from tests.composed import config as composed
from tests.families import make_family

#: Parameters that the models' publishers and their papers name.
PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768, "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920, "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": 14_770_033_664, "nvidia/Nemotron-H-8B-Base-8K": 8_100_852_736,
}  # fmt: skip
NEMOTRON_H = "nvidia/Nemotron-H-8B-Base-8K"
#: Families whose operations a run does not count exactly, with hand counts per token and per pair of tokens. Each has
#: hidden 32, 4 query and 2 key heads of 8, MLPs of 64, 4 layers (`tests.families`).
ATTENTION = 32 * 32 + 2 * 32 * 16 + 32 * 32
FAMILIES = {
    "gemma2": 4 * (ATTENTION + 3 * 32 * 64),
    "cohere": 4 * (ATTENTION + 3 * 32 * 64),
    "mixtral": 4 * (ATTENTION + 32 * 4 + 2 * 3 * 32 * 64),  # the router, and 2 of 4 experts
    "granitemoe": 4 * (ATTENTION + 32 * 4 + 2 * 3 * 32 * 64),
    "starcoder2": 4 * (ATTENTION + 2 * 32 * 64),  # no gate
}


def count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def in_directory(directory: Path, model_type: str, **values: Any) -> Shape:
    AutoConfig.for_model(model_type, **values).save_pretrained(directory)
    return named_shape(str(directory), "model.name_or_path")


def test_listed_models_have_their_published_parameters() -> None:
    found = {name: named_shape(name, "model.name_or_path") for name in PUBLISHED}
    assert {name: shape.parameters for name, shape in found.items()} == PUBLISHED
    for shape in found.values():
        assert shape.parameters == shape.ends + sum(layer.parameters for layer in shape.layers)
        assert shape.ends == shape.embedding + shape.head + shape.hidden  # and the last norm


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != NEMOTRON_H])
def test_operations_are_those_that_a_run_counts(name: str) -> None:
    shape = named_shape(name, "model.name_or_path")
    assert shape.flops == shape.budget_flops


def test_operations_of_a_hybrid_model_by_hand() -> None:
    """Of Nemotron-H: 24 Mamba-2 layers, 24 MLPs without a gate, 4 of attention (32 query and 8 key heads of 128)."""
    shape = named_shape(NEMOTRON_H, "model.name_or_path")
    mamba = 4_096 * (2 * 8_192 + 2 * 8 * 128 + 128) + 8_192 * 4_096
    attention = 2 * 4_096 * 4_096 + 2 * 4_096 * 1_024
    assert shape.flops.layers == 24 * mamba + 24 * 2 * 4_096 * 21_504 + 4 * attention
    assert shape.flops.attention == 4 * 2 * 4_096
    assert shape.budget_flops.layers == pytest.approx(shape.flops.layers, rel=1e-3)  # counted by parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_of_transformers_is_measured(family: str, tmp_path: Path) -> None:
    model = make_family(family)
    model.config.save_pretrained(tmp_path)
    shape = named_shape(str(tmp_path), "model.name_or_path")
    assert shape.parameters == count(model)
    assert (shape.flops.layers, shape.flops.attention, shape.flops.head) == (FAMILIES[family], 4 * 2 * 32, 40 * 32)
    assert shape.key_heads == 2


def test_gpt_neox_and_qwen3_moe_are_measured(tmp_path: Path) -> None:
    common = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 40}
    neox = in_directory(tmp_path / "neox", "gpt_neox", **common, intermediate_size=128)
    assert neox.flops.layers == 3 * (4 * 32 * 32 + 2 * 32 * 128)
    assert neox.cached == 3 * 2 * 32
    experts = in_directory(
        tmp_path / "moe", "qwen3_moe", **common, num_key_value_heads=2, head_dim=8, num_experts=8,
        num_experts_per_tok=2, moe_intermediate_size=16, intermediate_size=64, mlp_only_layers=[0],
    )  # fmt: skip
    # a dense layer, and two layers with a router over 8 experts, of which 2 are used
    assert experts.flops.layers == 3 * ATTENTION + 3 * 32 * 64 + 2 * (32 * 8 + 2 * 3 * 32 * 16)
    assert experts.cached == 3 * 2 * 2 * 8


def test_adapters_have_as_many_parameters_as_peft_adds() -> None:
    shape = shape_of(composed(None, "model=byte_level", "prompt=boxed").model)
    config = AutoConfig.for_model(
        "llama", hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=384, vocab_size=262, tie_word_embeddings=True,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    assert count(model) == shape.parameters
    add_adapters(model, rank=3, alpha=6.0, targets="all-linear", seed=0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == shape.adapter_parameters(3)


def test_models_made_by_igrpo_have_their_tokenizers_vocabulary() -> None:
    assert shape_of(composed().model).parameters == 337_152
    assert shape_of(composed().model).vocabulary == len(VOCABULARY)
    byte_level = composed(None, "model=byte_level", "prompt=boxed").model
    assert shape_of(byte_level).vocabulary == len(build_byte_level_tokenizer(chat_template=True))


def test_every_shipped_model_of_the_hub_is_listed() -> None:
    names = [choice.name for choice in choices("model") if choice.name not in {"tiny", "byte_level", "huggingface"}]
    names.remove("smollm2_135m_q4")  # a directory
    assert len(names) == 12
    folder = shipped("conf") / "model"
    common = yaml.safe_load((folder / "huggingface.yaml").read_text())["model"]
    for name in names:
        values = {**common, **yaml.safe_load((folder / f"{name}.yaml").read_text())["model"]}
        assert values["name_or_path"] in published()
        assert (values["trust_remote_code"], values["dtype"], values["attention"]) == (False, "float32", "sdpa")


def test_the_configuration_in_a_directory_counts(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m")
    config = composed(None, "model=huggingface", f"model.name_or_path={directory}", "prompt=boxed")
    model, _ = load_policy(str(directory), dtype="float32", attention="sdpa")
    assert shape_of(config.model).parameters == count(model)


def test_measuring_uses_no_memory_for_weights(tmp_path: Path) -> None:
    """A model of a trillion parameters."""
    shape = in_directory(
        tmp_path, "llama", hidden_size=65_536, num_hidden_layers=20, num_attention_heads=512, vocab_size=40,
        intermediate_size=4 * 65_536,
    )  # fmt: skip
    assert shape.parameters > 1e12


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (None, "not listed here"),
        ("{", "config.json is broken"),
        (json.dumps({"model_type": "clip"}), "a 'clip' cannot be measured"),
        (json.dumps({"model_type": "nonsense"}), "transformers does not know it"),
        (json.dumps({"model_type": "recurrent_gemma", "num_hidden_layers": 3}), "returns no cache"),
    ],
)
def test_a_model_that_cannot_be_measured_is_named(tmp_path: Path, text: str | None, phrase: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    model = composed(None, "model=huggingface", f"model.name_or_path={tmp_path}", "prompt=boxed").model
    with pytest.raises(UnknownShapeError, match=r"^model\.name_or_path=") as raised:
        shape_of(model)
    assert phrase in str(raised.value)
