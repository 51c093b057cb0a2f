"""Entropies that the engine did not report: the naive ones, of what was asked for and of nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from igrpo.training.entropies import EntropyMeter
from igrpo.types import Completion, Group, Prompt, Question, Score, Trace
from tests.training.models import gpt2, qwen

CPU = torch.device("cpu")
WRONG = Score(0.0, False, "wrong")
TEMPERATURE = 0.7


def completion(*ids: int, known: bool = False) -> Completion:
    entropies = (9.0,) * len(ids) if known else None
    return Completion(ids, "", (-1.0,) * len(ids), entropies, entropies, "stop", 0)


def group(stage: int, prompt: Sequence[int], *completions: Completion) -> Group:
    return Group(stage, Prompt(tuple(prompt)), completions, (WRONG,) * len(completions), trained=stage == 2)


def traces() -> list[Trace]:
    """Two questions of two stages; rows of many lengths."""
    first = [completion(3, 1, 4), completion(1, 5), completion(9)]
    second = [completion(2, 6, 5, 3, 5, 8, 9), completion(7, 9), completion(3)]
    return [
        Trace(Question("a", "", ""), (group(1, [1, 2], *first), group(2, [1, 2, 3, 1, 4, 2], *second))),
        Trace(Question("b", "", ""), (group(1, [5], completion(4, 4, 4, 4), completion(8)), group(2, [6, 6], completion(1, 2)))),
    ]  # fmt: skip


def meter(completions: int = 8, tokens: int = 4096) -> EntropyMeter:
    return EntropyMeter(completions, TEMPERATURE, chunk=3, tokens_per_microbatch=tokens, pad_id=0)


def naive(model: torch.nn.Module, prompt: Sequence[int], ids: Sequence[int], temperature: float) -> list[float]:
    """By the book, a row alone, in float64: -sum p log p at each position that predicts a token of the completion."""
    logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].double() / temperature
    p = logits.softmax(-1)
    return (-(p * p.log()).sum(-1))[len(prompt) - 1 : -1].tolist()


def completions(of: Sequence[Trace]) -> list[tuple[Prompt, int, Completion]]:
    """Each with its prompt and its place in the group."""
    groups = itertools.chain.from_iterable(trace.groups for trace in of)
    return [(each.prompt, place, c) for each in groups for place, c in enumerate(each.completions)]


@pytest.mark.parametrize("make", [qwen, gpt2])
@pytest.mark.parametrize("tokens", [13, 30, 4096])
@torch.no_grad()
def test_they_are_the_naive_ones(make: type, tokens: int) -> None:
    model = make().eval()
    measured = meter(tokens=tokens).measure(traces(), model, CPU)
    for prompt, _, found in completions(measured):
        assert found.policy_entropies == pytest.approx(naive(model, prompt.token_ids, found.token_ids, 1.0), rel=1e-5)
        expected = naive(model, prompt.token_ids, found.token_ids, TEMPERATURE)
        assert found.sampling_entropies == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_first_of_each_group_are_measured_and_nothing_else_is_touched(count: int) -> None:
    given = traces()
    measured = meter(count).measure(given, qwen(), CPU)
    for (_, place, before), (_, _, after) in zip(completions(given), completions(measured), strict=True):
        if place >= count:
            assert after is before
        else:
            assert after.policy_entropies is not None
            assert after == replace(
                before, policy_entropies=after.policy_entropies, sampling_entropies=after.sampling_entropies
            )
    for before, after in zip(given, measured, strict=True):
        assert after == replace(
            before, groups=tuple(replace(g, completions=h.completions) for g, h in zip(before.groups, after.groups, strict=True))
        )  # fmt: skip


def test_known_ones_and_empty_completions_stay() -> None:
    known, empty, missing = completion(1, 2, known=True), completion(), completion(3)
    given = [Trace(Question("a", "", ""), (group(1, [1], known, empty, missing),))]
    ((found,),) = [trace.groups for trace in meter().measure(given, qwen(), CPU)]
    assert found.completions[0] is known
    assert found.completions[1] is empty
    assert found.completions[2].policy_entropies is not None
    assert meter().measure([], qwen(), CPU) == []
    nothing = [Trace(Question("b", "", ""), ())]
    assert meter().measure(nothing, qwen(), CPU) == nothing


def test_equal_completions_of_different_prompts_are_measured_apart() -> None:
    given = [Trace(Question("a", "", ""), (group(1, [1], completion(3, 4)), group(2, [1, 7, 7], completion(3, 4))))]
    model = qwen()
    (trace,) = meter().measure(given, model, CPU)
    entropies = [each.completions[0].policy_entropies for each in trace.groups]
    assert entropies[0] == pytest.approx(naive(model, [1], [3, 4], 1.0), rel=1e-5)
    assert entropies[1] == pytest.approx(naive(model, [1, 7, 7], [3, 4], 1.0), rel=1e-5)
    assert entropies[0] != entropies[1]


def test_no_gradient_is_made() -> None:
    model = qwen()
    meter().measure(traces(), model, CPU)
    assert all(parameter.grad is None for parameter in model.parameters())
