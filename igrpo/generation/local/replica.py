"""The local engine on a copy of the policy, for trainers whose own weights are sharded."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from igrpo.generation.local.engine import LocalEngine
from igrpo.models.weights import whole


class ReplicaEngine(LocalEngine):
    """Samples from a full copy of the weights in each process, which ``sync_weights`` updates.

    It needs the memory that sharding saves, so it is meant for models that fit on one device, and for tests.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_batch_rows: int,
        device: torch.device,
        fast_decode: bool = True,
        max_packed_mib: int = 2048,
        prefix_caching: bool = False,
    ) -> None:
        self._source = model
        replica = copy.deepcopy(model).to(device)
        replica.requires_grad_(requires_grad=False)
        super().__init__(
            replica,
            tokenizer,
            max_batch_rows=max_batch_rows,
            fast_decode=fast_decode,
            max_packed_mib=max_packed_mib,
            prefix_caching=prefix_caching,
        )

    @torch.no_grad()
    def sync_weights(self, version: int) -> None:
        """Gather the weights into the copy. Every process must call this."""
        super().sync_weights(version)
        pairs = zip(self._source.named_parameters(), self._model.named_parameters(), strict=True)
        for (name, theirs), (copied, mine) in pairs:
            assert name == copied, f"{name} is not {copied}"
            mine.copy_(whole(theirs.detach()))
