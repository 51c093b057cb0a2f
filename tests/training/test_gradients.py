"""Gradients of several processes are summed, whatever their number, type and size, and clipped as one."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from igrpo.distributed import rank
from igrpo.training import gradients
from igrpo.training.gradients import clip, sum_over_replicas
from tests.gloo import in_processes

SHAPES = [(3, 4), (5,), (2, 2, 2), (7, 3), (1,), (4, 4)]
#: Neighbours of different types, and one alone.
TYPES = [torch.float32, torch.float32, torch.bfloat16, torch.float64, torch.float32, torch.float32]


def gradient(number: int, of_rank: int) -> Tensor | None:
    """That of parameter ``number`` in a process; the second process has none of some, nobody has the last."""
    if number == len(SHAPES) - 1 or (of_rank == 1 and number % 2 == 0):
        return None
    seed = torch.Generator().manual_seed(10 * number + of_rank)
    return torch.randint(-50, 50, SHAPES[number], generator=seed).to(TYPES[number])  # sums are exact


def parameters(of_rank: int) -> list[nn.Parameter]:
    made = [nn.Parameter(torch.ones(shape, dtype=kind)) for shape, kind in zip(SHAPES, TYPES, strict=True)]
    for number, parameter in enumerate(made):
        parameter.grad = gradient(number, of_rank)
    return made


def summed(bucket_bytes: int) -> list[Tensor | None]:
    """The gradients that a process has after ``sum_over_replicas``."""
    gradients.BUCKET_BYTES = bucket_bytes
    mine = parameters(rank())
    sum_over_replicas(mine)
    return [parameter.grad for parameter in mine]


def sharded(largest: float) -> dict[str, Any]:
    """Clipping of gradients of which each process has a part."""
    mesh = init_device_mesh("cpu", (2,))
    mine = [nn.Parameter(distribute_tensor(torch.zeros(shape), mesh, [Shard(0)])) for shape in SHAPES]
    whole = [torch.full(shape, float(number + 1)) for number, shape in enumerate(SHAPES)]
    for parameter, value in zip(mine, whole, strict=True):
        parameter.grad = distribute_tensor(value, mesh, [Shard(0)])
    before = [parameter.grad for parameter in mine]
    sum_over_replicas(mine)  # the backward pass has summed them
    kept = all(a is b.grad for a, b in zip(before, mine, strict=True))
    norm = clip(mine, largest)
    return {"norm": norm, "kept": kept, "clipped": [parameter.grad.full_tensor() for parameter in mine]}


def everything(largest: float) -> tuple[list[list[Tensor | None]], dict[str, Any]]:
    return [summed(1), summed(2**26)], sharded(largest)  # a bucket for each gradient, and one for each type


def test_two_processes_have_the_sum_and_the_norm_of_all(tmp_path: Path) -> None:
    expected = [
        sum((g for g in (gradient(number, 0), gradient(number, 1)) if g is not None), torch.zeros(shape, dtype=kind))
        for number, (shape, kind) in enumerate(zip(SHAPES, TYPES, strict=True))
    ]
    for sums, shards in in_processes(2, tmp_path, everything, 2.0):
        for found in sums:
            for value, right in zip(found, expected, strict=True):
                assert value.dtype == right.dtype
                assert torch.equal(value, right)
        # parameter i has numel(i) gradients of i + 1
        sizes = [torch.Size(shape).numel() for shape in SHAPES]
        norm = sum(size * (i + 1) ** 2 for i, size in enumerate(sizes)) ** 0.5
        assert shards["norm"] == pytest.approx(norm, rel=1e-6)
        assert shards["kept"]
        for i, value in enumerate(shards["clipped"]):
            assert value == pytest.approx(torch.full(SHAPES[i], (i + 1) * 2.0 / norm).numpy(), rel=1e-5)


def test_one_process_keeps_its_gradients() -> None:
    mine = parameters(1)
    before = [parameter.grad for parameter in mine]
    sum_over_replicas(mine)
    assert all(a is b.grad for a, b in zip(before, mine, strict=True))


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))))
def test_buckets_hold_everything_in_order_within_their_size(shapes: list[tuple[int, torch.dtype]]) -> None:
    mine = [nn.Parameter(torch.zeros(size, dtype=kind)) for size, kind in shapes]
    for number, parameter in enumerate(mine):
        parameter.grad = torch.full_like(parameter, number)
    buckets: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "BUCKET_BYTES", 40)
        patch.setattr(gradients, "world", lambda: 2)
        patch.setattr(torch.distributed, "all_reduce", buckets.append)
        sum_over_replicas(mine)
    numbers = [list(map(int, bucket.tolist())) for bucket in buckets]
    assert [*chain(*numbers)] == [number for number, (size, _) in enumerate(shapes) for _ in range(size)]
    for bucket, found in zip(buckets, numbers, strict=True):
        assert {mine[number].dtype for number in found} <= {bucket.dtype}
        assert len(set(found)) == 1 or bucket.nbytes <= 40


@pytest.mark.parametrize(("largest", "factor"), [(1.0, 1 / 13), (100.0, 1.0)])
def test_clipping_scales_to_the_norm_and_tells_the_one_before(largest: float, factor: float) -> None:
    mine = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(3))]
    mine[0].grad, mine[1].grad = torch.tensor([3.0, -4.0]), torch.tensor([[12.0]])  # 9 + 16 + 144 = 13 ** 2
    assert clip(mine, largest) == pytest.approx(13.0)
    assert mine[0].grad.tolist() == pytest.approx([3 * factor, -4 * factor], rel=1e-5)
    assert mine[1].grad.item() == pytest.approx(12 * factor, rel=1e-5)
    assert mine[2].grad is None
