"""Extension of vLLM's worker process that loads new weights and reports fingerprints of the loaded ones.

The class is mixed into vLLM's own worker (its option ``worker_extension_cls``); its methods are called by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from igrpo.generation.base import RECEIVED
from igrpo.models.weights import fingerprint

#: Value of vLLM's option ``worker_extension_cls``.
WORKER_EXTENSION = "igrpo.generation.vllm.worker.WeightWorker"


@dataclass(frozen=True, slots=True)
class Received:
    """A received tensor: ``dtype:digits`` of the whole tensor, and its shape."""

    label: str
    shape: torch.Size


class WeightWorker:
    """Methods that load and fingerprint weights.

    The prefix ``igrpo_`` keeps the names apart from those of the worker that the class is mixed into.
    """

    # attributes of vLLM's worker
    model_runner: Any
    model_config: Any
    parallel_config: Any
    device: torch.device
    reload_weights: Any
    # what was received at the last sync, by tensor name (None: the tensor did not pass through this class)
    igrpo_received: dict[str, Received | None]
    # name of the weights that were loaded last (None: none, or not completely)
    igrpo_label: str | None = None

    def igrpo_load_file(self, path: str, label: str) -> None:
        """Load the weights of a safetensors file under ``label``, tensor by tensor.

        Raises:
            RuntimeError: the file cannot be loaded; names the data-parallel rank.
        """
        from safetensors import safe_open

        self.igrpo_label = None
        try:
            with safe_open(path, framework="pt") as file:
                self.igrpo_load((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
        except Exception as error:
            rank = self.parallel_config.data_parallel_index
            raise RuntimeError(
                f"data-parallel rank {rank} cannot load {path}: {type(error).__name__}: {error}"
            ) from error
        self.igrpo_label = label

    def igrpo_load(self, weights: Iterable[tuple[str, Tensor]]) -> int:
        """Load weights by their Hugging Face names, copied and cast; returns the number of tensors.

        A tied output head is not among them: it is rebuilt from the input embedding.
        """
        received: dict[str, Received | None] = {}
        self.reload_weights(weights_iterator=self._igrpo_noted(weights, received))
        retie_head(self.model_runner.get_model(), repack=self.device.type == "cpu")
        self.igrpo_received = received
        return len(received)

    def igrpo_watch(self) -> None:
        """Start recording the weights that vLLM's own transfer hands to the model; call before the transfer."""
        model = self.model_runner.get_model()
        noted: dict[str, Received | None] = {}
        take = type(model).load_weights
        model.load_weights = lambda weights: take(model, self._igrpo_noted(weights, noted))
        self.igrpo_received, self.igrpo_label = noted, None

    def igrpo_adopt(self, names: list[str], label: str) -> None:
        """Finish a transfer by vLLM of weights with these names: stop recording, and retie the output head."""
        model = self.model_runner.get_model()
        vars(model).pop("load_weights", None)
        retie_head(model, repack=self.device.type == "cpu")
        self.igrpo_received = {name: self.igrpo_received.get(name) for name in names}
        self.igrpo_label = label

    def igrpo_report(self) -> dict[str, Any]:
        """Return the label of the last weights that were loaded completely, and a digest of all tensors as received.

        ``data_parallel_rank`` is the rank of this worker's engine and ``worker`` the worker's rank in the engine.
        """
        return {
            # data_parallel_rank is 0 in every engine of a dense model; vLLM keeps the rank in this one
            "data_parallel_rank": self.parallel_config.data_parallel_index,
            "worker": self.parallel_config.rank,
            "label": self.igrpo_label,
            "digest": None if self.igrpo_label is None else self._igrpo_digest(),
        }

    def igrpo_fingerprints(self) -> dict[str, str]:
        """Return ``dtype:digits`` by name for the installed weights.

        A tensor that cannot be read back has the fingerprint of the whole tensor as received, which ends in
        ``RECEIVED``. This applies to all tensors on several GPUs, where a worker has only a part of each; to matrices
        on a CPU, where vLLM keeps only a packed form; and to tensors that vLLM keeps under another name or in another
        shape.
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

    def _igrpo_digest(self) -> str:
        received = {name: came.label if came else "-" for name, came in self.igrpo_received.items()}
        text = "\n".join(f"{name} {received[name]}" for name in sorted(received))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _igrpo_label(self, tensor: Tensor) -> str:
        dtype: torch.dtype = self.model_config.dtype
        return f"{str(dtype).removeprefix('torch.')}:{fingerprint(tensor, dtype, self.device)}"


@torch.no_grad()
def retie_head(model: Any, *, repack: bool) -> None:
    """Set a tied output head to the current input embedding.

    vLLM's reload skips the head, since no weight of its name arrives. With ``repack`` the head multiplies by its own
    packed copy, which is rebuilt. Otherwise the head may be a separate tensor, which is overwritten in place.
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
    """Yield the installed tensors that still hold the values of a checkpoint, under the checkpoint's names.

    vLLM stacks some matrices (q, k and v; gate and up), which are split again, and pads the vocabulary. Matrices that
    are stacked in the checkpoint too (the inputs of a Mamba layer) are in no mapping and are yielded whole.
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
                    continue  # unknown assignment of rows to matrices
                for part, piece in zip(parts, pieces, strict=True):
                    yield f"{parent}.{part}.{kind}", piece
            elif isinstance(module, VocabParallelEmbedding):
                yield f"{path}.{kind}", parameter[: module.org_vocab_size]
            else:
                yield f"{path}.{kind}", parameter
