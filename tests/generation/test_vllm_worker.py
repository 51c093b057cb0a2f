"""Fingerprints that vLLM's worker reports of its weights; classes with the names of vLLM's layers replace vLLM."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from igrpo.generation.base import RECEIVED
from igrpo.generation.vllm.worker import WeightWorker, readable_weights
from igrpo.models.weights import fingerprint

LAYERS = "vllm.model_executor.layers"
LABEL = "run-1"


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


class VllmModel(nn.Module):
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

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Copy the tensors into the parameters of these names."""
        own = installed(self)
        with torch.no_grad():
            for name, tensor in weights:
                if name in own:
                    own[name].copy_(tensor.reshape(own[name].shape))


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


def installed(model: VllmModel) -> dict[str, Tensor]:
    """Return the installed weights under the names of a checkpoint, written by hand."""
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


def test_stacked_weights_are_split_as_the_mapping_says() -> None:
    model = VllmModel()
    found = dict(readable_weights(model))
    expected = installed(model)
    assert found.keys() == expected.keys()  # neither what is packed nor what no rows are known of
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


class Worker(WeightWorker):
    """Pass the weights to the model, as vLLM's worker does."""

    def __init__(self, model: VllmModel, *, tensor_parallel: int = 1, engine: int = 0, rank: int = 0) -> None:
        self.model = model
        self.model_runner = SimpleNamespace(get_model=lambda: model)
        self.model_config = SimpleNamespace(dtype=torch.float32)
        self.parallel_config = SimpleNamespace(
            tensor_parallel_size=tensor_parallel, data_parallel_index=engine, rank=rank
        )
        self.device = torch.device("cpu")

    def reload_weights(self, weights_iterator: Iterable[tuple[str, Tensor]]) -> None:
        self.model.load_weights(weights_iterator)


def labels(weights: dict[str, Tensor], end: str = "") -> dict[str, str]:
    return {name: f"float32:{fingerprint(tensor, torch.float32)}{end}" for name, tensor in weights.items()}


def checkpoint(model: VllmModel) -> dict[str, Tensor]:
    """Other values for all that can be read back, one that vLLM has under another name, and one in another shape."""
    torch.manual_seed(1)
    sent = {name: torch.randn_like(tensor) for name, tensor in installed(model).items()}
    return sent | {"layer.A_log": torch.randn(3), "layer.norm.bias": torch.randn(2, 2)}


def transfer(worker: Worker, sent: dict[str, Tensor]) -> None:
    """vLLM's own, in two parts."""
    worker.igrpo_watch()
    items = list(sent.items())
    worker.model.load_weights(items[:3])
    worker.model.load_weights(items[3:])
    worker.igrpo_adopt(list(sent), LABEL)


def load(worker: Worker, sent: dict[str, Tensor]) -> None:
    assert worker.igrpo_load(sent.items()) == len(sent)


@pytest.mark.parametrize("way", [load, transfer])
def test_one_device_reports_installed_weights_else_received(way: Any) -> None:
    worker = Worker(VllmModel())
    sent = checkpoint(worker.model)
    way(worker, sent)
    as_it_came = {name: sent[name] for name in ("layer.A_log", "layer.norm.bias")}
    readable = {name: tensor for name, tensor in sent.items() if name not in as_it_came}
    assert worker.igrpo_fingerprints() == labels(readable) | labels(as_it_came, RECEIVED)
    with torch.no_grad():
        worker.model.layer.in_proj.weight[0, 0] += 1
    changed = worker.igrpo_fingerprints().items() - (labels(readable) | labels(as_it_came, RECEIVED)).items()
    assert [name for name, _ in changed] == ["layer.in_proj.weight"]


@pytest.mark.parametrize("way", [load, transfer])
def test_on_several_devices_it_is_what_came(way: Any) -> None:
    """Each has a part of a tensor, so that a wrong transfer is all that can be told."""
    worker = Worker(VllmModel(), tensor_parallel=2)
    sent = checkpoint(worker.model)
    way(worker, sent)
    assert worker.igrpo_fingerprints() == labels(sent, RECEIVED)
    way(worker, sent | {"layer.up_proj.bias": torch.zeros(3)})
    (changed,) = worker.igrpo_fingerprints().items() - labels(sent, RECEIVED).items()
    assert changed[0] == "layer.up_proj.bias"


def test_a_tensor_that_did_not_come_is_not_told() -> None:
    worker = Worker(VllmModel(), tensor_parallel=2)
    sent = checkpoint(worker.model)
    worker.igrpo_watch()
    worker.model.load_weights([("layer.A_log", sent["layer.A_log"])])
    worker.igrpo_adopt(list(sent), LABEL)
    assert worker.igrpo_fingerprints().keys() == {"layer.A_log"}
    worker.model.load_weights([("layer.A_log", torch.zeros(3))])  # nobody watches any more
    assert worker.igrpo_fingerprints() == labels({"layer.A_log": sent["layer.A_log"]}, RECEIVED)


def from_file(worker: Worker, sent: dict[str, Tensor], folder: Path, label: str = LABEL) -> None:
    path = folder / f"{label}.safetensors"
    save_file(sent, path)
    worker.igrpo_load_file(str(path), label)


def test_workers_of_the_same_weights_report_the_same_digest(tmp_path: Path) -> None:
    """However many share a tensor, and whatever way it came; by name and value, not by order."""
    one = Worker(VllmModel(), engine=1)
    two = Worker(VllmModel(), tensor_parallel=2, engine=3, rank=1)
    assert one.igrpo_report() == {"data_parallel_rank": 1, "worker": 0, "label": None, "digest": None}
    sent = checkpoint(one.model)
    from_file(one, sent, tmp_path)
    transfer(two, dict(reversed(sent.items())))
    digest = one.igrpo_report()["digest"]
    assert one.igrpo_report() == {"data_parallel_rank": 1, "worker": 0, "label": LABEL, "digest": digest}
    assert two.igrpo_report() == {"data_parallel_rank": 3, "worker": 1, "label": LABEL, "digest": digest}
    a, b = "layer.up_proj.weight", "layer.gate_proj.weight"
    others = [sent | {a: sent[a] + 1}, sent | {a: sent[b], b: sent[a]}, {k: v for k, v in sent.items() if k != a}]
    digests = {digest}
    for other in others:
        from_file(one, other, tmp_path)
        digests.add(one.igrpo_report()["digest"])
    assert len(digests) == 1 + len(others)


def test_a_worker_that_failed_has_no_label_and_names_its_rank(tmp_path: Path) -> None:
    worker = Worker(VllmModel(), engine=2)
    from_file(worker, checkpoint(worker.model), tmp_path)
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    with pytest.raises(RuntimeError, match=r"data-parallel rank 2 cannot load .*cut\.safetensors: SafetensorError"):
        worker.igrpo_load_file(str(tmp_path / "cut.safetensors"), "run-2")
    assert (worker.igrpo_report()["label"], worker.igrpo_report()["digest"]) == (None, None)


def test_a_transfer_that_does_not_end_leaves_no_label(tmp_path: Path) -> None:
    worker = Worker(VllmModel())
    from_file(worker, checkpoint(worker.model), tmp_path)
    worker.igrpo_watch()
    assert worker.igrpo_report()["label"] is None
