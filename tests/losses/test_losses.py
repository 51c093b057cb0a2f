"""The objective against the naive reference, the paper's gradient and finite differences."""

import math
from typing import get_args

import pytest
import torch

from igrpo.losses import RATIOS, SURROGATES, aggregate, batch_normaliser
from igrpo.settings.objective import Ratio, Surrogate

from . import reference
from .batches import Batch, loss_and_grads, loss_of, random_batch
from .presets import LOSSES, PRESETS

EXTRAS = {
    "plain": {},
    "k1": {"kl_beta": 0.1, "kl_estimator": "k1"},
    "k2": {"kl_beta": 0.1, "kl_estimator": "k2"},
    "k3": {"kl_beta": 0.1, "kl_estimator": "k3"},
    "entropy": {"entropy_bonus": 0.05, "kl_beta": 0.02},
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_naive_reference(name: str, extra: str, seed: int) -> None:
    batch, settings = random_batch(seed), LOSSES[name] | EXTRAS[extra]
    expected = reference.policy_loss(
        batch.logprobs.tolist(),
        batch.old.tolist(),
        batch.advantages.tolist(),
        batch.mask.tolist(),
        ref_logprobs=batch.ref.tolist(),
        entropies=batch.entropies.tolist(),
        **settings,
    )
    loss, grad_logprobs, grad_entropies = loss_and_grads(batch, settings)
    assert loss == pytest.approx(expected.loss, abs=1e-13)
    exact = torch.tensor(expected.grad_logprobs, dtype=torch.float64)
    torch.testing.assert_close(grad_logprobs, exact, atol=1e-14, rtol=1e-12)
    exact = torch.tensor(expected.grad_entropies, dtype=torch.float64)
    torch.testing.assert_close(grad_entropies, exact, atol=1e-15, rtol=1e-12)


def test_gradient_is_the_papers() -> None:
    """iGRPO, Eq. 22-29: grad J = 1/G sum_j 1/|o_j| sum_t [I A r + beta (rho - 1)] grad ln pi, and the loss is -J."""
    batch, eps, beta = random_batch(7, rows=12, length=6), 0.2, 0.04
    _, grad, _ = loss_and_grads(batch, LOSSES["grpo"] | {"kl_beta": beta, "clip_low": eps, "clip_high": eps})
    branches = set()
    for j in range(12):
        length = int(batch.mask[j].sum())
        for t in range(6):
            if not batch.mask[j, t]:
                assert grad[j, t] == 0
                continue
            advantage = batch.advantages[j].item()
            r = math.exp(batch.logprobs[j, t] - batch.old[j, t])
            rho = math.exp(batch.ref[j, t] - batch.logprobs[j, t])
            unclipped = not ((advantage > 0 and r > 1 + eps) or (advantage < 0 and r < 1 - eps))
            branches.add((unclipped, advantage > 0))
            expected = (unclipped * advantage * r + beta * (rho - 1)) / (12 * length)
            assert -grad[j, t].item() == pytest.approx(expected, abs=1e-15)
    assert len(branches) == 4, "the batch must reach both branches on both sides"


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean", "constant"])
@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_gradcheck(ratio: str, aggregation: str, name: str) -> None:
    # Surrogates whose gradient is that of their value; the detached weight's is not, by design.
    batch = random_batch(3, rows=3, length=4)
    settings = LOSSES[name] | {
        "ratio": ratio,
        "aggregation": aggregation,
        "constant_divisor": 4.0,
        "kl_beta": 0.3,
        "entropy_bonus": 0.2,
    }

    def loss(logprobs: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        return loss_of(batch.with_(logprobs=logprobs, entropies=entropies), settings).loss

    inputs = (batch.logprobs.clone().requires_grad_(), batch.entropies.clone().requires_grad_())
    # At the sequence level the ratio's gradient is the token's own (GSPO-token): with one advantage a completion it
    # is the derivative of the value only where all tokens weigh the same, as they do in every aggregation.
    assert torch.autograd.gradcheck(loss, inputs)


def test_one_token_by_hand() -> None:
    # r = 1.5, A = 2, high = 0.28: min(3, 2.56) = 2.56, clipped. A = -2: min(-3, -2.56) = -3, not clipped.
    old = torch.full((2, 1), -1.0, dtype=torch.float64)
    logprobs = old + math.log(1.5)
    batch = Batch(logprobs, old, old, old, torch.tensor([2.0, -2.0], dtype=torch.float64), torch.ones(2, 1).bool())
    loss, grad, _ = loss_and_grads(batch, LOSSES["dapo"])
    assert loss == pytest.approx((-2.56 + 3) / 2, abs=1e-15)
    assert grad.flatten().tolist() == pytest.approx([0, 3 / 2], abs=1e-15)


def test_cispo_keeps_the_gradient_of_a_clipped_token() -> None:
    old = torch.full((1, 1), -1.0, dtype=torch.float64)
    batch = Batch(old + 1.0, old, old, old, torch.ones(1, dtype=torch.float64), torch.ones(1, 1).bool())
    assert loss_and_grads(batch, LOSSES["dapo"])[1].item() == 0
    assert loss_and_grads(batch, LOSSES["cispo"])[1].item() == pytest.approx(-1.28, abs=1e-15)
    # No lower bound: a ratio of exp(-3) is the weight itself; with one, the bound.
    batch = batch.with_(logprobs=old - 3.0)
    assert loss_and_grads(batch, LOSSES["cispo"])[1].item() == pytest.approx(-math.exp(-3), abs=1e-15)
    assert loss_and_grads(batch, LOSSES["cispo"] | {"clip_low": 0.2})[1].item() == pytest.approx(-0.8, abs=1e-15)


def test_gspo_token_with_an_advantage_a_token() -> None:
    """GSPO, Eq. 13-14: each token has the sequence's ratio, and its own advantage in value and gradient."""
    batch = random_batch(5, rows=1, length=3, sigma=0.05).with_(
        mask=torch.ones(1, 3).bool(), advantages=torch.tensor([[1.0, -0.5, 2.0]], dtype=torch.float64)
    )
    s = math.exp((batch.logprobs - batch.old).mean().item())
    loss, grad, _ = loss_and_grads(batch, LOSSES["gspo"] | {"clip_low": 0.5, "clip_high": 0.5})
    assert loss == pytest.approx(-s * (1.0 - 0.5 + 2.0) / 3, abs=1e-14)
    assert grad[0].tolist() == pytest.approx([-s / 3, s * 0.5 / 3, -s * 2 / 3], abs=1e-14)


def test_metrics_by_hand() -> None:
    #          r = 1.5, 0.5 | 1.5, 0.5 (masked) ; advantages +1 | -1
    log = math.log
    old = torch.full((2, 2), -2.0, dtype=torch.float64)
    logprobs = old + torch.tensor([[log(1.5), log(0.5)], [log(1.5), log(0.5)]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])
    batch = Batch(logprobs, old, logprobs - log(2), old, torch.tensor([1.0, -1.0], dtype=torch.float64), mask)
    numbers = loss_of(batch, LOSSES["grpo"]).metrics.finalise()
    assert numbers == pytest.approx(
        {
            "loss": -((1.2 + 0.5) / 2 - 1.5) / 2,
            "ratio_mean": (1.5 + 0.5 + 1.5) / 3,
            "ratio_max": 1.5,
            "clip_share_low": 0.0,  # r = 0.5 has A > 0: nothing to clip
            "clip_share_high": 1 / 3,
            "kl_old": ((0.5 - log(1.5)) * 2 + (-0.5 - log(0.5))) / 3,
            "kl_reference": 0.5 - 1 - log(0.5),
        },
        abs=1e-12,
    )
    flipped = batch.with_(advantages=-batch.advantages)
    numbers = loss_of(flipped, LOSSES["grpo"]).metrics.finalise()
    assert (numbers["clip_share_low"], numbers["clip_share_high"]) == pytest.approx((1 / 3, 1 / 3))
    # The sequence's ratio: sqrt(0.75) and 1.5, both clipped at 0.1 when their advantages are -1 and +1.
    numbers = loss_of(flipped, LOSSES["gspo"] | {"clip_low": 0.1}).metrics.finalise()
    assert numbers["ratio_mean"] == pytest.approx((math.sqrt(0.75) + 1.5) / 2)
    assert numbers["kl_old"] == pytest.approx(((0.5 - log(1.5)) * 2 + (-0.5 - log(0.5))) / 3)  # of tokens all the same
    assert (numbers["clip_share_low"], numbers["clip_share_high"]) == pytest.approx((0.5, 0.5))
    # A masked token's ratio, 1 in the computation, is no maximum.
    lower = batch.with_(logprobs=old + log(0.25))
    assert loss_of(lower, LOSSES["grpo"]).metrics.finalise()["ratio_max"] == pytest.approx(0.25)
    # A detached weight is cut on either side of the advantage; REINFORCE has nothing to cut.
    assert loss_of(batch, LOSSES["cispo"]).metrics.finalise()["clip_share_high"] == pytest.approx(2 / 3)
    assert loss_of(batch, LOSSES["rloo"]).metrics.finalise()["clip_share_high"] == 0


def test_metrics_of_what_was_not_measured_are_left_out() -> None:
    batch = random_batch(0)
    output = loss_of(batch.with_(mask=torch.zeros_like(batch.mask)), LOSSES["grpo"])
    assert output.metrics.finalise() == {"loss": 0.0}
    assert "kl_reference" not in loss_of(batch.with_(ref=None), LOSSES["grpo"]).metrics.finalise()


@pytest.mark.parametrize(
    ("changes", "missing"), [({"kl_beta": 0.1}, "reference"), ({"entropy_bonus": 0.1}, "entropies")]
)
def test_a_term_without_its_tensor_is_a_mistake(changes: dict[str, float], missing: str) -> None:
    with pytest.raises(AssertionError, match=missing):
        loss_of(random_batch(0).with_(ref=None, entropies=None), changes)


@pytest.mark.parametrize("divisor", [None, 0.0])
def test_a_constant_divisor_is_positive(divisor: float | None) -> None:
    batch = random_batch(0)
    normaliser = batch_normaliser(batch.mask)
    with pytest.raises(ValueError, match=f"positive constant_divisor, not {divisor}"):
        aggregate(batch.logprobs, batch.mask, aggregation="constant", constant_divisor=divisor, normaliser=normaliser)


def test_every_setting_value_has_its_function() -> None:
    assert SURROGATES.keys() == set(get_args(Surrogate))
    assert RATIOS.keys() == set(get_args(Ratio))
