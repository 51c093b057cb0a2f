"""Policy shaping against a naive reference in plain floats, finite differences, and what it must leave alone."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from igrpo.losses import policy_shaping
from igrpo.settings.importance_weights import PolicyShapingConfig

from . import reference
from .batches import Batch, loss_of, random_batch
from .presets import LOSSES, PRESETS

SHAPED = torch.tensor([True, True, False, True, False, False])


def shaped_loss(batch: Batch, settings: dict[str, Any], gamma: float, shaped: torch.Tensor = SHAPED) -> Any:
    return loss_of(batch, settings, cross_prompt_B=shaped, shaping=PolicyShapingConfig(method="shape", gamma=gamma))


def naive(batch: Batch, settings: dict[str, Any], gamma: float) -> tuple[float, list[list[float]]]:
    """The reference with a shaped row's own term: value A p / (p + gamma), slope A gamma p / (p + gamma)^2."""
    plain = reference.policy_loss(
        batch.logprobs.tolist(), batch.old.tolist(), [0.0 if s else a for a, s in zip(batch.advantages.tolist(), SHAPED.tolist(), strict=True)],
        batch.mask.tolist(), ref_logprobs=batch.ref.tolist(), entropies=batch.entropies.tolist(), **settings,
    )  # fmt: skip
    loss, grad = plain.loss, [list(row) for row in plain.grad_logprobs]
    rows, tokens = len(grad), int(batch.mask.sum())
    for b in range(rows):
        valid = [t for t in range(len(grad[b])) if batch.mask[b, t]]
        divisor = {
            "sequence_mean": len(valid) * rows,
            "token_mean": tokens,
            "constant": rows * (settings["constant_divisor"] or 0.0),
        }[settings["aggregation"]]
        for t in valid if SHAPED[b] else ():
            p, advantage = math.exp(batch.logprobs[b, t].item()), batch.advantages[b].item()
            loss -= advantage * p / (p + gamma) / divisor
            grad[b][t] -= advantage * gamma * p / (p + gamma) ** 2 / divisor
    return loss, grad


@pytest.mark.parametrize("gamma", [0.1, 0.5])
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("extra", [{}, {"kl_beta": 0.1, "entropy_bonus": 0.05}], ids=["plain", "KL and entropy"])
def test_equals_the_naive_reference(name: str, gamma: float, extra: dict[str, Any]) -> None:
    batch, settings = random_batch(3), LOSSES[name] | extra
    leaf = batch.logprobs.clone().requires_grad_()
    loss = shaped_loss(batch.with_(logprobs=leaf), settings, gamma).loss
    expected_loss, expected_grad = naive(batch, settings, gamma)
    assert loss.item() == pytest.approx(expected_loss, abs=1e-13)
    (grad,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(grad, torch.tensor(expected_grad, dtype=torch.float64), atol=1e-14, rtol=1e-12)


def test_gradcheck() -> None:
    batch = random_batch(5, rows=6, length=3)

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = shaped_loss(batch.with_(logprobs=logprobs), LOSSES["dr_grpo"], 0.1).loss
        return value

    assert torch.autograd.gradcheck(loss, (batch.logprobs.clone().requires_grad_(),))


def test_the_gradient_is_largest_where_the_probability_is_gamma() -> None:
    logprobs = torch.tensor([[0.001, 0.1, 0.999]], dtype=torch.float64).log().requires_grad_()
    value = policy_shaping(logprobs, 0.1)
    assert value[0].tolist() == pytest.approx([0.001 / 0.101, 0.5, 0.999 / 1.099])
    (grad,) = torch.autograd.grad(value.sum(), logprobs)
    assert grad[0].tolist() == pytest.approx([0.1 * 0.001 / 0.101**2, 0.25, 0.1 * 0.999 / 1.099**2])


def test_shaping_leaves_other_rows_and_is_not_clipped() -> None:
    batch = random_batch(1)
    plain = loss_of(batch, LOSSES["grpo"])
    none = shaped_loss(batch, LOSSES["grpo"], 0.1, torch.zeros(6, dtype=torch.bool))
    assert torch.equal(plain.loss, none.loss)
    metrics = plain.metrics.finalise()
    assert metrics["clip_share_low"] + metrics["clip_share_high"] > 0
    every = shaped_loss(batch, LOSSES["grpo"], 0.1, torch.ones(6, dtype=torch.bool)).metrics.finalise()
    assert (every["clip_share_low"], every["clip_share_high"]) == (0, 0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_a_gamma_that_makes_no_sense_is_named(gamma: float) -> None:
    with pytest.raises(ValidationError, match="gamma"):
        PolicyShapingConfig(method="shape", gamma=gamma)
