"""Gradients in several processes: summed over replicas, clipped over shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from igrpo.distributed import world
from igrpo.models.weights import is_sharded, whole

BUCKET_BYTES = 2**26


def sum_over_replicas(parameters: Sequence[nn.Parameter]) -> None:
    """Replace the gradients of replicas by their sum, once per optimizer step and not once per micro-batch.

    Does nothing in a single process or with sharded weights, whose gradients are summed in the backward pass.
    """
    if world() == 1 or is_sharded(parameters):
        return
    for parameter in parameters:
        if parameter.grad is None:  # this process had no row, but others had
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, summed in zip(bucket, torch.split(flat, [gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def clip(parameters: Sequence[nn.Parameter], largest: float) -> float:
    """Clip the gradients to the norm ``largest``, and return the norm before clipping, over all shards."""
    return float(whole(torch.nn.utils.clip_grad_norm_(parameters, largest)))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket
