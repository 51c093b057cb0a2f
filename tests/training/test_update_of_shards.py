"""An update over sharded weights: passes that a process makes because others do change no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from igrpo.distributed import rank, share, world
from igrpo.training.batching import collate
from igrpo.training.rows import DUMMY_ROW, Row
from igrpo.training.strategies import shard
from tests.gloo import in_processes
from tests.training.models import qwen, rows
from tests.training.test_update import update

#: Questions whose rows make several micro-batches, and one of a single row; two processes have unequal shares.
QUESTIONS: list[list[Row]] = [rows(0, count=6), rows(1, count=1), rows(2, count=4)]


def gradient(kl_beta: float, entropy_bonus: float) -> tuple[dict[str, Tensor], dict[str, float], int]:
    """Of all questions: by parameter, with the step's measurements and this process's tokens."""
    model, reference = qwen(), qwen(1) if kl_beta else None
    policy: Any = model
    if world() > 1:
        mesh = init_device_mesh("cpu", (world(),))
        policy = shard(model, mesh, precision="fp32")
        reference = shard(reference, mesh, precision="fp32") if reference is not None else None
    changes = {"kl_beta": kl_beta, "entropy_bonus": entropy_bonus}
    _, result = update(
        model, share(QUESTIONS), policy=policy, reference=reference, objective_changes=changes, tokens_per_microbatch=24
    )
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = {name: (value.full_tensor() if world() > 1 else value).detach() for name, value in grads.items()}
    return found, result.metrics, result.trained_tokens


@pytest.mark.parametrize(("kl_beta", "entropy_bonus"), [(0.1, 0.0), (0.0, 0.01)])
def test_a_pass_that_fills_up_adds_nothing(kl_beta: float, entropy_bonus: float, tmp_path: Path) -> None:
    whole, measured, tokens = gradient(kl_beta, entropy_bonus)
    both = in_processes(2, tmp_path, gradient, kl_beta, entropy_bonus)
    for found, metrics, _ in both:
        assert found.keys() == whole.keys()
        for name, value in whole.items():
            assert torch.allclose(found[name], value, rtol=1e-6, atol=1e-9), name
        assert metrics == pytest.approx(measured, rel=1e-6, abs=1e-9)
    assert sum(mine for _, _, mine in both) == tokens, "a pass that fills up trains no token"


def test_a_row_that_fills_up_has_no_token_that_counts() -> None:
    assert rank() == 0
    batch = collate([DUMMY_ROW], 0)
    assert not batch.mask_BT.any()
    assert batch.advantages_B.tolist() == [0.0]
