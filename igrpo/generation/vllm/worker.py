"""What vLLM's worker process does for us: it takes new weights, and says which ones it has.

The class is mixed into vLLM's own worker (its option ``worker_extension_cls``); its methods are called by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from igrpo.generation.base import RECEIVED
from igrpo.models.weights import fingerprint

#: For vLLM's option.
WORKER_EXTENSION = "igrpo.generation.vllm.worker.WeightWorker"


@dataclass(frozen=True, slots=True)
class Received:
    """A whole tensor, as it came: ``dtype:digits``, and its shape."""

    label: str
    shape: torch.Size


class WeightWorker:
    """``igrpo_`` keeps the names apart from those of the worker that it is mixed into."""

    # vLLM's worker has these
    model_runner: Any
    model_config: Any
    parallel_config: Any
    device: torch.device
    reload_weights: Any
    # by name, of the last weights that were sent: what came (None: they came by another way than those seen here)
    igrpo_received: dict[str, Received | None]

    def igrpo_load_file(self, path: str) -> int:
        """Take the weights of a safetensors file, tensor by tensor; returns their number."""
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return self.igrpo_load((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118

    def igrpo_load(self, weights: Iterable[tuple[str, Tensor]]) -> int:
        """Take weights by their Hugging Face names, copied and cast; returns their number.

        A tied output head is not among them: it is made anew from the input embedding.
        """
        received: dict[str, Received | None] = {}
        self.reload_weights(weights_iterator=self._igrpo_noted(weights, received))
        retie_head(self.model_runner.get_model(), repack=self.device.type == "cpu")
        self.igrpo_received = received
        return len(received)

    def igrpo_watch(self) -> None:
        """Before vLLM's own transfer brings weights: from here on note what it hands to the model."""
        model = self.model_runner.get_model()
        noted: dict[str, Received | None] = {}
        take = type(model).load_weights
        model.load_weights = lambda weights: take(model, self._igrpo_noted(weights, noted))
        self.igrpo_received = noted

    def igrpo_adopt(self, names: list[str]) -> None:
        """After vLLM's own transfer has brought weights of these names: what ``igrpo_load`` does at its end."""
        model = self.model_runner.get_model()
        vars(model).pop("load_weights", None)
        retie_head(model, repack=self.device.type == "cpu")
        self.igrpo_received = {name: self.igrpo_received.get(name) for name in names}

    def igrpo_fingerprints(self) -> dict[str, str]:
        """``dtype:digits`` by name, of the weights that are installed.

        Where these cannot be read back it is what was received, whole, and ends in ``RECEIVED``: on several GPUs,
        where a worker has but a part of each tensor, on a CPU, where vLLM keeps matrices in packed form alone, and of
        what it keeps under another name or in another shape.
        """
        labels = {name: came.label + RECEIVED for name, came in self.igrpo_received.items() if came is not None}
        if self.parallel_config.tensor_parallel_size == 1:
            for name, tensor in readable_weights(self.model_runner.get_model()):
                if name not in self.igrpo_received:
                    continue
                came = self.igrpo_received[name]
                if came is None or came.shape == tensor.shape:
                    labels[name] = self._igrpo_label(tensor)
        return labels

    def _igrpo_noted(
        self, weights: Iterable[tuple[str, Tensor]], received: dict[str, Received | None]
    ) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in weights:
            received[name] = Received(self._igrpo_label(tensor), tensor.shape)
            yield name, tensor

    def _igrpo_label(self, tensor: Tensor) -> str:
        dtype: torch.dtype = self.model_config.dtype
        return f"{str(dtype).removeprefix('torch.')}:{fingerprint(tensor, dtype, self.device)}"


@torch.no_grad()
def retie_head(model: Any, *, repack: bool) -> None:
    """Make a tied output head what the input embedding is now.

    vLLM's reload does not look at it, since no weight of its name arrives. With ``repack`` the head multiplies by a
    packed copy of its own, which is made again; else it may be a tensor apart, which is overwritten in place.
    """
    if not model.config.tie_word_embeddings:
        return
    head, embedding = model.lm_head, model.model.embed_tokens
    if repack:
        head.weight = embedding.weight
        head.quant_method.process_weights_after_loading(head)
    elif head.weight.data_ptr() != embedding.weight.data_ptr():
        head.weight.copy_(embedding.weight)


def readable_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The installed tensors that still have the values of a checkpoint, under its names.

    vLLM stacks some matrices (q, k and v; gate and up), which are taken apart again, and pads the vocabulary. What a
    checkpoint has stacked, too (the inputs of a Mamba layer), is in no mapping and is read whole.
    """
    from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    stacked: Mapping[str, Sequence[str]] = getattr(model, "packed_modules_mapping", {})
    for path, module in model.named_modules():
        parent, _, name = path.rpartition(".")
        for kind, parameter in module.named_parameters(recurse=False):
            if parameter.numel() == 0:
                continue  # packed
            if isinstance(module, MergedColumnParallelLinear | QKVParallelLinear):
                parts = stacked.get(name, [name])
                pieces = parameter.split(module.output_sizes) if len(parts) > 1 else (parameter,)
                if len(parts) != len(pieces):
                    continue  # which rows are whose is not known
                for part, piece in zip(parts, pieces, strict=True):
                    yield f"{parent}.{part}.{kind}", piece
            elif isinstance(module, VocabParallelEmbedding):
                yield f"{path}.{kind}", parameter[: module.org_vocab_size]
            else:
                yield f"{path}.{kind}", parameter
