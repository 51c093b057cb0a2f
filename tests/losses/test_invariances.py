"""What must change nothing: the split into micro-batches, padding, order, the clip at ratio 1, masked values."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from igrpo.losses import Normaliser, batch_normaliser, group_advantages

from .batches import Batch, loss_and_grads, loss_of, random_batch
from .presets import ADVANTAGES, LOSSES, PRESETS

FULL = {name: keys | {"kl_beta": 0.1, "entropy_bonus": 0.05} for name, keys in LOSSES.items()}
quick = settings(max_examples=12, deadline=None)


def assert_same(actual: tuple[Any, ...], expected: tuple[Any, ...], atol: float = 1e-14) -> None:
    assert actual[0] == pytest.approx(expected[0], abs=1e-13)
    for left, right in zip(actual[1:], expected[1:], strict=True):
        torch.testing.assert_close(left, right, atol=atol, rtol=1e-12)


@pytest.mark.parametrize("name", PRESETS)
@given(seed=st.integers(0, 999), data=st.data())
@quick
def test_micro_batches_add_up(name: str, seed: int, data: st.DataObject) -> None:
    batch, keys = random_batch(seed), FULL[name]
    order = data.draw(st.permutations(range(6)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5))))
    pieces = [order[start:end] for start, end in zip([0, *cuts], [*cuts, 6], strict=True)]
    normaliser = sum((batch_normaliser(batch.mask[rows]) for rows in pieces), start=Normaliser(0, 0))
    assert normaliser == batch_normaliser(batch.mask)

    loss, grad_logprobs, grad_entropies = 0.0, torch.zeros_like(batch.mask).double(), torch.zeros(6, 7).double()
    metrics = None
    for rows in pieces:
        piece = batch.select(rows)
        part = loss_and_grads(piece, keys, normaliser)
        loss += part[0]
        grad_logprobs[rows], grad_entropies[rows] = part[1], part[2]
        measured = loss_of(piece, keys, normaliser).metrics
        metrics = measured if metrics is None else metrics + measured
    assert_same((loss, grad_logprobs, grad_entropies), loss_and_grads(batch, keys))
    assert metrics is not None
    assert metrics.finalise() == pytest.approx(loss_of(batch, keys).metrics.finalise(), abs=1e-12)


@pytest.mark.parametrize("name", PRESETS)
@given(seed=st.integers(0, 999), padding=st.integers(1, 4), junk=st.sampled_from([0.0, 9.9, torch.nan, -torch.inf]))
@quick
def test_padding_changes_nothing(name: str, seed: int, padding: int, junk: float) -> None:
    batch, keys = random_batch(seed), FULL[name]
    tail = torch.full((6, padding), junk, dtype=torch.float64)

    def widen(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values.masked_fill(~batch.mask, junk), tail], dim=1)

    wide = Batch(
        *(widen(values) for values in (batch.logprobs, batch.old, batch.ref, batch.entropies)),
        batch.advantages,
        torch.cat([batch.mask, torch.zeros_like(tail).bool()], dim=1),
    )
    loss, *grads = loss_and_grads(wide, keys)
    assert all(not grad[:, 7:].any() for grad in grads), "padding has no gradient"
    assert_same((loss, *(grad[:, :7] for grad in grads)), loss_and_grads(batch, keys))
    narrow, padded = loss_of(batch, keys).metrics.finalise(), loss_of(wide, keys).metrics.finalise()
    assert padded == pytest.approx(narrow, abs=1e-12)


@pytest.mark.parametrize("name", PRESETS)
@given(seed=st.integers(0, 999), order=st.permutations(range(6)))
@quick
def test_order_of_completions_changes_nothing(name: str, seed: int, order: list[int]) -> None:
    batch, keys = random_batch(seed), FULL[name]
    loss, *grads = loss_and_grads(batch, keys)
    assert_same(loss_and_grads(batch.select(order), keys), (loss, *(grad[order] for grad in grads)))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("rewards", [[0.1] * 3, [0.1 + 0.2, 0.3, 0.3], [1.0] * 3, [1 / 3] * 3])
def test_zero_variance_gives_exactly_zero_gradient(name: str, rewards: list[float]) -> None:
    advantages = group_advantages(torch.tensor(rewards, dtype=torch.float64), **ADVANTAGES[name])
    batch = random_batch(1, rows=3).with_(advantages=advantages)
    _, grad, _ = loss_and_grads(batch, LOSSES[name])
    assert not grad.any()
    # Only at beta = 0: the KL term pulls on such a group too.
    assert loss_and_grads(batch, LOSSES[name] | {"kl_beta": 0.1})[1].any()


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "gspo", "cispo"])
@given(seed=st.integers(0, 999), low=st.floats(0, 2, exclude_min=True), high=st.floats(0, 2, exclude_min=True))
@quick
def test_at_ratio_one_the_clip_is_inert(name: str, seed: int, low: float, high: float) -> None:
    batch = random_batch(seed)
    batch = batch.with_(old=batch.logprobs.clone())
    clipped = loss_and_grads(batch, LOSSES[name] | {"clip_low": low, "clip_high": high})
    unclipped = loss_and_grads(batch, LOSSES[name] | {"clip_low": None, "clip_high": None})
    assert clipped[0] == unclipped[0]
    assert torch.equal(clipped[1], unclipped[1])
    # The gradient is A * grad ln pi, as REINFORCE has it.
    reinforce = loss_and_grads(batch, LOSSES[name] | {"surrogate": "reinforce"})
    torch.testing.assert_close(clipped[1], reinforce[1], atol=1e-15, rtol=1e-13)


@given(seed=st.integers(0, 999))
@quick
def test_objectives_that_are_one_at_ratio_one(seed: int) -> None:
    """Identical by construction with one update a batch: GSPO and GRPO; CISPO and DAPO; RLOO is G / (G - 1) mean-only."""
    batch = random_batch(seed)
    batch = batch.with_(old=batch.logprobs.clone())
    grads = {name: loss_and_grads(batch, LOSSES[name])[1] for name in PRESETS}
    torch.testing.assert_close(grads["gspo"], grads["grpo"], atol=1e-15, rtol=1e-12)
    torch.testing.assert_close(grads["cispo"], grads["dapo"], atol=1e-15, rtol=1e-12)
    rewards = batch.entropies[0]
    rloo = batch.with_(advantages=group_advantages(rewards[:6], **ADVANTAGES["rloo"]))
    mean_only = batch.with_(advantages=group_advantages(rewards[:6], **ADVANTAGES["dr_grpo"]))
    torch.testing.assert_close(
        loss_and_grads(rloo, LOSSES["rloo"])[1], loss_and_grads(mean_only, LOSSES["rloo"])[1] * 6 / 5,
        atol=1e-15, rtol=1e-12,
    )  # fmt: skip


def test_an_advantage_a_token_equals_one_a_completion() -> None:
    batch = random_batch(2)
    by_token = batch.with_(advantages=batch.advantages.unsqueeze(1).repeat(1, 7))
    for name in PRESETS:
        assert_same(loss_and_grads(by_token, FULL[name]), loss_and_grads(batch, FULL[name]))
        same = loss_of(by_token, FULL[name]).metrics.finalise()
        assert same == pytest.approx(loss_of(batch, FULL[name]).metrics.finalise(), abs=1e-12)


def test_what_counts_in_the_denominators() -> None:
    """A masked truncated completion stays a sequence and leaves the tokens; a group without variance stays in both."""
    batch = random_batch(4).with_(mask=torch.ones(6, 7).bool())
    masked = batch.mask.clone()
    masked[3] = False
    assert batch_normaliser(masked) == Normaliser(sequences=6, tokens=35)
    truncated = batch.with_(mask=masked)
    rest = batch.select([0, 1, 2, 4, 5])
    for name, factor in (("grpo", 5 / 6), ("dr_grpo", 5 / 6), ("rloo", 5 / 6), ("gspo", 5 / 6), ("dapo", 1.0)):
        loss, grad, _ = loss_and_grads(truncated, LOSSES[name])
        expected = loss_and_grads(rest, LOSSES[name])
        assert loss == pytest.approx(expected[0] * factor, abs=1e-14)
        torch.testing.assert_close(grad[[0, 1, 2, 4, 5]], expected[1] * factor, atol=1e-15, rtol=1e-12)
        assert not grad[3].any()
    silent = batch.with_(advantages=batch.advantages * torch.tensor([1, 1, 1, 0, 1, 1]))
    for name, factor in (("grpo", 5 / 6), ("dapo", 5 / 6)):
        loss, grad, _ = loss_and_grads(silent, LOSSES[name])
        assert loss == pytest.approx(loss_and_grads(rest, LOSSES[name])[0] * factor, abs=1e-14)


@pytest.mark.parametrize("name", PRESETS)
def test_no_valid_token_at_all(name: str) -> None:
    batch = random_batch(0)
    loss, *grads = loss_and_grads(batch.with_(mask=torch.zeros_like(batch.mask)), FULL[name])
    assert loss == 0
    assert not any(grad.any() for grad in grads)


def test_infinite_old_logprob_of_a_valid_token_is_seen() -> None:
    batch = random_batch(0)
    old = batch.old.clone()
    old[0, 0] = -torch.inf
    assert not torch.isfinite(loss_of(batch.with_(old=old), LOSSES["cispo"] | {"clip_high": None}).loss)
