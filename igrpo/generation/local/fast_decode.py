"""The choice between the two decode paths of a rollout, and the check that they agree."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from igrpo.generation.local.decode_batch import DecodeBatch
from igrpo.generation.local.decode_paths import FusedDecoder, ModelPath, PathMaker
from igrpo.generation.local.model_structure import UnsupportedModelError, read_decoder
from igrpo.generation.local.prefill import embedding_weight, prefill

log = logging.getLogger(__name__)

#: Largest difference of logits attributed to rounding, relative to the largest logit: in float32, and in 16-bit types.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 0.05
_CHECKED_STEPS = 3


class FastDecode:
    """Chooses the decode path of each rollout: the fast one where the model has it, else the model's own forward."""

    def __init__(self, model: PreTrainedModel, *, enabled: bool, max_packed_bytes: int) -> None:
        """Store the model; its modules are read anew for each rollout.

        Args:
            max_packed_bytes: limit of the packed copies of weights, which exist during a rollout.
        """
        self._model = model
        self._enabled, self._max_packed_bytes = enabled, max_packed_bytes
        self._checked = self._told = False

    @contextmanager
    def rollout(self, batch: DecodeBatch[Any]) -> Iterator[None]:
        """Give ``batch`` the decode path of a rollout, made of the present weights; free their copies on exit.

        Enter this within ``sampling_mode``. The reason for not using the fast path is logged once.
        """
        plain = batch.new_path
        batch.new_path = self._fast_path() or plain
        try:
            yield
        finally:
            batch.new_path = plain

    @torch.no_grad()
    def _fast_path(self) -> PathMaker | None:
        """Return the maker of fast paths; None: the model has none, or is not to use it."""
        if not self._enabled:
            return None
        try:
            decoder = FusedDecoder(read_decoder(self._model), self._max_packed_bytes)
            if not self._checked:
                check_paths(self._model, partial(ModelPath, self._model), decoder.new_path)
                self._checked = True
        except UnsupportedModelError as error:
            if not self._told:
                self._told = True
                log.info("%s decodes by its own forward, not by the fast path: %s", type(self._model).__name__, error)
            return None
        return decoder.new_path


def relative_gap(found: Tensor, expected: Tensor, dtype: torch.dtype) -> float | None:
    """Return the largest difference of logits, relative to the largest; None: no more than rounding in ``dtype``."""
    gap = float((found - expected).abs().max() / expected.abs().max())
    return None if gap <= (_TOLERANCE if dtype == torch.float32 else _HALF_TOLERANCE) else gap


@torch.no_grad()
def check_paths(model: PreTrainedModel, plain: PathMaker, fast: PathMaker) -> None:
    """Decode a few tokens after two short prompts on both paths.

    Raises:
        UnsupportedModelError: the logits differ by more than rounding.
    """
    vocabulary = embedding_weight(model).shape[0]
    prompts = [[(7 * i + 1) % vocabulary for i in range(length)] for length in (5, 2)]
    sources = [0, 0, 1]
    prefix, _ = prefill(model, prompts)
    paths = [make(prefix, len(sources)) for make in (plain, fast)]
    for path in paths:
        path.insert(prefix, sources)
    for step in range(_CHECKED_STEPS):
        tokens_B = torch.tensor([(11 * step + 5 * row + 3) % vocabulary for row in range(len(sources))])
        positions_B = torch.tensor([len(prompts[source]) + step for source in sources])
        expected_BV, found_BV = (path.step(tokens_B, positions_B, len(prompts[0]) + step + 1) for path in paths)
        gap = relative_gap(found_BV, expected_BV, model.dtype)
        if gap is not None:
            raise UnsupportedModelError(f"on a short text its logits differ by {gap:.2g} of the largest")
