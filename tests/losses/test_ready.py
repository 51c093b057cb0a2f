"""Ready objectives: the values of conf/objective, changed by keywords, called on plain tensors."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import pytest
import torch

from igrpo import losses
from igrpo.losses import LossTensors, Objective, batch_normaliser, ready
from igrpo.settings.importance_weights import ImportanceWeightsConfig
from tests.composed import config

from .batches import random_batch


def make(name: str, **coefficients: Any) -> Objective:
    more = {"constant_divisor": 16.0} if name == "dr_grpo" else {}
    made: Objective = getattr(losses, name)(**more, **coefficients)
    return made


def test_every_file_has_its_function() -> None:
    assert set(ready.names()) <= set(losses.__all__)


@pytest.mark.parametrize("name", ready.names())
def test_the_values_are_those_that_hydra_composes(name: str) -> None:
    composed = config(None, f"objective={name}", "sampling.max_completion_tokens=16").objective
    made = make(name)
    assert made.settings == composed
    assert made.sampler_weights == config(None, "correction=none").correction
    assert made.cross_prompt is None


@pytest.mark.parametrize("name", ready.names())
def test_the_loss_of_a_batch_is_that_of_training(name: str) -> None:
    batch, objective = random_batch(3), make(name, kl_beta=0.1, entropy_bonus=0.01)
    logprobs, entropies = (tensor.clone().requires_grad_() for tensor in (batch.logprobs, batch.entropies))
    assert batch.ref is not None
    output = objective.loss(
        logprobs, batch.advantages, batch.mask, old_logprobs_BT=batch.old, ref_logprobs_BT=batch.ref,
        entropies_BT=entropies,
    )  # fmt: skip
    nothing = torch.zeros(len(batch.mask), dtype=torch.bool)
    tensors = LossTensors(
        batch.logprobs, batch.old, batch.old, batch.advantages, batch.mask, nothing, batch.ref, batch.entropies
    )
    expected = objective(tensors, batch_normaliser(batch.mask), 0.01)
    assert output.loss.item() == expected.loss.item()
    assert output.metrics.finalise() == expected.metrics.finalise()
    output.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad[batch.mask].abs().sum() > 0
    assert logprobs.grad[~batch.mask].abs().sum() == 0


def test_without_older_logprobs_every_ratio_is_1() -> None:
    logprobs = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]], requires_grad=True)
    output = losses.grpo().loss(logprobs, torch.tensor([1.0, -0.5]), torch.tensor([[True, True], [True, False]]))
    output.loss.backward()
    assert output.metrics.finalise()["ratio_mean"] == 1
    # -A / tokens of the row / rows
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.25, -0.25], [0.25, 0.0]]


def test_the_sampler_has_its_weights() -> None:
    weights = ImportanceWeightsConfig(level="token", bound="truncate", low=None, high=2.0)
    objective = losses.grpo(sampler_weights=weights)
    logprobs = torch.full((1, 2), -1.0, requires_grad=True)
    sampler = torch.tensor([[-1.0, -3.0]])  # pi_old / sampler: 1, and e^2, cut to 2
    mask = torch.ones(1, 2, dtype=torch.bool)
    objective.loss(logprobs, torch.tensor([1.0]), mask, sampler_logprobs_BT=sampler).loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.5, -1.0]]


def test_advantages_follow_the_settings() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    deviation = (1 / 3) ** 0.5  # sample standard deviation
    expected = [0.5 / deviation, -0.5 / deviation, -0.5 / deviation, 0.5 / deviation]
    assert losses.grpo().advantages(rewards).tolist() == pytest.approx(expected)
    assert losses.dr_grpo(constant_divisor=8.0).advantages(rewards).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert losses.rloo().advantages(rewards).tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    assert losses.best_of_n().advantages(rewards).tolist() == [1, 0, 0, 0]
    assert losses.best_of_n().advantages(rewards, torch.tensor([False, True, True, True])).tolist() == [0, 0, 0, 1]
    assert losses.grpo(advantage={"scale": "none"}).advantages(rewards).tolist() == [0.5, -0.5, -0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.grpo(clip_hgh=0.3), "grpo: clip_hgh.*clip_high"),
        (lambda: losses.grpo(advantage={"scal": "none"}), "advantage.scal.*advantage.scale"),
        (lambda: losses.gspo(clip_low="wide"), "gspo: clip_low='wide'"),
        (lambda: losses.grpo(clip_high=-1.0), "clip_high=-1"),
        (lambda: losses.dr_grpo(), "constant_divisor=NUMBER"),
        (lambda: ready.objective("grop"), "'grop'.*grpo"),
    ],
)
def test_mistakes_are_named(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("coefficients", "words"),
    [
        ({"kl_beta": 0.1}, "kl_beta=0.1.*ref_logprobs_BT"),
        ({"entropy_bonus": 0.1}, "entropy_bonus=0.1.*entropies_BT"),
        ({"entropy_control": {"target": 0.3}}, "entropy_control.target=0.3"),
    ],
)
def test_missing_tensors_are_named(coefficients: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        losses.grpo(**coefficients).loss(torch.zeros(1, 1), torch.ones(1), torch.ones(1, 1, dtype=torch.bool))


def test_the_example_of_the_docstring_runs() -> None:
    found = doctest.testmod(ready)
    assert found.attempted > 5
    assert not found.failed
