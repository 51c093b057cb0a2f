"""Entropies that the engine did not report: the naive ones, of what was asked for and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from igrpo.training.entropies import EntropyMeter
from igrpo.types import Completion, Prompt, Role, Rollout, Sample
from tests.rollouts import RIGHT, WRONG, rollout, samples
from tests.training.models import gpt2, qwen

CPU = torch.device("cpu")
TEMPERATURE = 0.7


def completion(*ids: int, known: bool = False) -> Completion:
    entropies = (9.0,) * len(ids) if known else None
    return Completion(ids, "", (-1.0,) * len(ids), entropies, entropies, "stop", 0)


def made(role: Role, prompt: Sequence[int], *completions: Completion, number: int = 1) -> tuple[Sample, ...]:
    return samples(role, completions, [WRONG] * len(completions), number=number, prompt=Prompt(tuple(prompt)))


def rollouts() -> list[Rollout]:
    """Two questions with drafts and refinements; rows of many lengths."""
    first = made("draft", [1, 2], completion(3, 1, 4), completion(1, 5), completion(9))
    second = made(
        "refinement", [1, 2, 3, 1, 4, 2], completion(2, 6, 5, 3, 5, 8, 9), completion(7, 9), completion(3), number=2
    )
    third = made("draft", [5], completion(4, 4, 4, 4), completion(8))
    fourth = made("refinement", [6, 6], completion(1, 2), number=2)
    return [rollout(first, second, trained=[second]), rollout(third, fourth, trained=[fourth])]


def meter(completions: int = 8, tokens: int = 4096) -> EntropyMeter:
    return EntropyMeter(completions, TEMPERATURE, chunk=3, tokens_per_microbatch=tokens, pad_id=0)


def naive(model: torch.nn.Module, prompt: Sequence[int], ids: Sequence[int], temperature: float) -> list[float]:
    """By the book, a row alone, in float64: -sum p log p at each position that predicts a token of the completion."""
    logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].double() / temperature
    p = logits.softmax(-1)
    return (-(p * p.log()).sum(-1))[len(prompt) - 1 : -1].tolist()


def sampled(of: Sequence[Rollout]) -> list[Sample]:
    return [sample for one in of for sample in one.samples]


@pytest.mark.parametrize("make", [qwen, gpt2])
@pytest.mark.parametrize("tokens", [13, 30, 4096])
@torch.no_grad()
def test_they_are_the_naive_ones(make: type, tokens: int) -> None:
    model = make().eval()
    measured = meter(tokens=tokens).measure(rollouts(), model, CPU)
    for sample in sampled(measured):
        prompt, found = sample.prompt.token_ids, sample.completion
        assert found.policy_entropies == pytest.approx(naive(model, prompt, found.token_ids, 1.0), rel=1e-5)
        assert found.sampling_entropies == pytest.approx(naive(model, prompt, found.token_ids, TEMPERATURE), rel=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_the_first_of_each_round_are_measured(count: int) -> None:
    given = rollouts()
    measured = meter(count).measure(given, qwen(), CPU)
    for before, after in zip(sampled(given), sampled(measured), strict=True):
        found = after.completion
        if before.id[1] >= count:
            assert after is before
        else:
            assert found.policy_entropies is not None
            entropies = {name: getattr(found, name) for name in ("policy_entropies", "sampling_entropies")}
            assert after == replace(before, completion=replace(before.completion, **entropies))


def test_training_groups_have_the_measured_samples() -> None:
    for one in meter().measure(rollouts(), qwen(), CPU):
        assert [group.samples for group in one.groups] == [one.of("refinement")]


def test_known_empty_and_unscored_completions_are_not_measured() -> None:
    completions = [completion(1, 2, known=True), completion(), completion(4), completion(3)]
    answers = samples("answer", completions, [RIGHT, RIGHT, None, WRONG])
    (one,) = meter(3).measure([rollout(answers)], qwen(), CPU)
    assert one.samples[:3] == answers[:3]
    assert one.samples[3].completion.policy_entropies is not None
    assert meter().measure([], qwen(), CPU) == []
    assert meter().measure([rollout()], qwen(), CPU) == [rollout()]


def test_equal_completions_of_two_prompts_are_measured_apart() -> None:
    drafts, refined = made("draft", [1], completion(3, 4)), made("refinement", [1, 7, 7], completion(3, 4), number=2)
    model = qwen()
    (one,) = meter().measure([rollout(drafts, refined)], model, CPU)
    first, second = (sample.completion.policy_entropies for sample in one.samples)
    assert first == pytest.approx(naive(model, [1], [3, 4], 1.0), rel=1e-5)
    assert second == pytest.approx(naive(model, [1, 7, 7], [3, 4], 1.0), rel=1e-5)
    assert first != second


def test_no_gradient_is_made() -> None:
    model = qwen()
    meter().measure(rollouts(), model, CPU)
    assert all(parameter.grad is None for parameter in model.parameters())
