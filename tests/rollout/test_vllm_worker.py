"""What vLLM's worker says of the weights that it has, without vLLM: classes of its names stand in for its layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from igrpo.rollout.vllm.worker import readable_weights

LAYERS = "vllm.model_executor.layers"


class Stacked(nn.Linear):
    """vLLM's ``MergedColumnParallelLinear``."""

    def __init__(self, inputs: int, output_sizes: Sequence[int]) -> None:
        super().__init__(inputs, sum(output_sizes))
        self.output_sizes = list(output_sizes)


class Padded(nn.Embedding):
    """vLLM's ``VocabParallelEmbedding``."""

    def __init__(self, vocabulary: int, padded: int, width: int) -> None:
        super().__init__(padded, width)
        self.org_vocab_size = vocabulary


class Engine(nn.Module):
    """A model as vLLM builds it, of one layer, tied or not; what its mapping lacks is stacked in the checkpoint."""

    packed_modules_mapping: ClassVar = {
        "gate_up_proj": ["gate_proj", "up_proj"],
        "own_proj": ["own_proj"],
        "odd_proj": ["a", "b"],
    }

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(tie_word_embeddings=False)
        self.embed = Padded(5, 8, 4)
        layer = self.layer = nn.Module()
        layer.gate_up_proj, layer.in_proj = Stacked(4, (3, 3)), Stacked(4, (2, 2, 1))
        layer.own_proj, layer.odd_proj = Stacked(4, (3, 3)), Stacked(4, (1, 1, 1))
        layer.norm, layer.packed = nn.LayerNorm(4), nn.ParameterList([torch.empty(0)])


@pytest.fixture(autouse=True)
def _layers_of_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        f"{LAYERS}.linear": {"MergedColumnParallelLinear": Stacked, "QKVParallelLinear": Stacked},
        f"{LAYERS}.vocab_parallel_embedding": {"VocabParallelEmbedding": Padded},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("vllm", "vllm.model_executor", LAYERS):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


def installed(model: Engine) -> dict[str, Tensor]:
    """By hand, under the names of a checkpoint."""
    layer: Any = model.layer
    gate_up = layer.gate_up_proj
    return {
        "embed.weight": model.embed.weight[:5],
        "layer.gate_proj.weight": gate_up.weight[:3], "layer.up_proj.weight": gate_up.weight[3:],
        "layer.gate_proj.bias": gate_up.bias[:3], "layer.up_proj.bias": gate_up.bias[3:],
        "layer.in_proj.weight": layer.in_proj.weight, "layer.in_proj.bias": layer.in_proj.bias,
        "layer.own_proj.weight": layer.own_proj.weight, "layer.own_proj.bias": layer.own_proj.bias,
        "layer.norm.weight": layer.norm.weight, "layer.norm.bias": layer.norm.bias,
    }  # fmt: skip


def test_what_is_stacked_is_taken_apart_as_the_mapping_says_and_whole_without_one() -> None:
    model = Engine()
    found = dict(readable_weights(model))
    expected = installed(model)
    assert found.keys() == expected.keys()  # neither what is packed nor what no rows are known of
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
