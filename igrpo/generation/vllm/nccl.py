"""Transfer of the trainer's weights to a server's GPUs by NCCL, tensor by tensor, without a file.

vLLM's own weight transfer sends them. The main process is the only sender; the others help to gather sharded weights.
vLLM must be installed on the trainer's machine too. Needs GPUs on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from igrpo import distributed
from igrpo.generation.vllm.client import VllmClient
from igrpo.models.weights import named_weights


class NcclTransfer:
    """The NCCL group of the main trainer process and the server's workers.

    All trainer processes must create one and call its methods.
    """

    def __init__(
        self, model: Any, client: VllmClient, dtype: torch.dtype, *, workers: int, address: str, timeout_s: float
    ) -> None:
        """Join the group with the server's workers.

        Args:
            dtype: dtype in which weights are sent.
            workers: number of worker processes of the server.
            address: address of this machine, as the server reaches it.
            timeout_s: timeout of each call to the server.
        """
        from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine
        from vllm.utils.network_utils import get_open_port

        class Source(WeightSource):  # type: ignore[misc]
            def __init__(self) -> None:
                # once: this gathers every shard, the only way to get the shapes of merged and sharded weights
                self._metadata = [ParamMeta(name, dtype, tuple(weight.shape)) for name, weight in named_weights(model)]

            def metadata(self) -> list[Any]:
                return self._metadata

            def __iter__(self) -> Iterator[tuple[str, Tensor]]:
                for name, weight in named_weights(model):
                    yield name, weight.to(dtype)

        source = Source()
        self._calls = _Calls(client, timeout_s, [meta.name for meta in source.metadata()])
        info = NCCLTrainerInitInfo(
            master_address=address,
            master_port=distributed.from_main(get_open_port()),
            world_size=workers + 1,
            rank=distributed.rank(),
        )
        self._engine = NCCLTrainerWeightTransferEngine.trainer_init(info, client=self._calls, source=source)

    def send(self, label: str) -> None:
        """Send all weights; the server then answers requests for ``label``.

        Raises:
            LostError, ServerRefusedError: the server did not accept them.
        """
        self._calls.label = label
        self._engine.send_weights()

    def close(self) -> None:
        """Leave the group."""
        self._engine.shutdown()


@dataclass
class _Calls:
    """Client that vLLM's sender uses to call the server, through the routes of the gate in front of it."""

    client: VllmClient
    timeout_s: float
    names: list[str]
    label: str = ""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self.client.call("POST", "/igrpo/transfer/init", {"init_info": init_info}, timeout_s=self.timeout_s)

    def start_weight_update(self) -> None:
        self.client.call("POST", "/igrpo/transfer/start", {}, timeout_s=self.timeout_s)

    def update_weights(self, update_info: Any) -> None:
        self.client.call("POST", "/igrpo/transfer/update", {"update_info": update_info}, timeout_s=self.timeout_s)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        assert weight_version is None, "the label is the version"
        body = {"label": self.label, "names": self.names}
        self.client.call("POST", "/igrpo/transfer/finish", body, timeout_s=self.timeout_s)
