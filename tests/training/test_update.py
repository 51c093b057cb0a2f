"""The optimizer step: against a naive reference, and against everything that must not change it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.distributed.tensor import DTensor
from torch.utils.flop_counter import FlopCounterMode

from igrpo.losses import Objective
from igrpo.models.flops import Work, model_shape, row_work
from igrpo.settings.importance_weights import CrossPromptConfig
from igrpo.training.batching import collate, split_rows
from igrpo.training.forward import PolicyForward, check_head
from igrpo.training.packing import packs_rows
from igrpo.training.rows import Row, normaliser, question_rows
from igrpo.training.update import NonFiniteError, Updater, UpdateResult
from igrpo.types import Completion, Prompt, Rollout, Score
from tests.rollouts import rollout, samples
from tests.training.models import (
    ADVANTAGE,
    IMITATION,
    NO_WEIGHTS,
    gemma_with_softcap,
    gpt2,
    objective,
    phi_with_head_bias,
    qwen,
    rows,
    trainer,
)


class Gradients(torch.optim.SGD):
    """Remembers the gradients of every step (of shards, this process's) and leaves the weights alone (lr 0)."""

    def __init__(self, model: Any, lr: float = 0.0) -> None:
        super().__init__(model.parameters(), lr=lr)
        self.seen: list[torch.Tensor] = []

    def step(self, closure: Any = None) -> None:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        local = [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
        self.seen.append(torch.cat([g.flatten() for g in local]).clone())
        super().step(closure)


def update(
    model: Any, questions: Sequence[Sequence[Row]], *, policy: Any = None, lr: float = 0.0, temperature: float = 1.0, reference: Any = None,
    objective_changes: dict[str, Any] | None = None, correction: dict[str, Any] | None = None, transfer: dict[str, Any] | None = None, **changes: Any,
) -> tuple[Gradients, UpdateResult]:  # fmt: skip
    goal, settings = objective(**(objective_changes or {})), trainer(**changes)
    optimizer = Gradients(model, lr)
    updater = Updater(
        policy=model if policy is None else policy,
        reference=reference,
        objective=Objective(
            goal,
            NO_WEIGHTS.model_copy(update=correction),
            None
            if transfer is None
            else TypeAdapter(CrossPromptConfig).validate_python({"method": "truncate"} | transfer),
        ),
        trainer=settings,
        forward=PolicyForward(temperature, settings.head_chunk),
        backward=lambda loss: loss.backward(),
        shape=model_shape(model),
        pad_id=0,
        packed=packs_rows(model, settings),
        device=torch.device("cpu"),
    )
    return optimizer, updater.run(questions, optimizer, goal.entropy_bonus)


def naive_gradient(model: Any, flat: Sequence[Row], temperature: float = 1.0) -> torch.Tensor:
    """GRPO at ratio 1 by the book: one row at a time, full logits; mean over tokens, then over rows."""
    model = copy.deepcopy(model)
    loss = torch.zeros((), dtype=torch.float64)
    for row in flat:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        logprobs = (model(input_ids=ids).logits[0] / temperature).log_softmax(-1)
        start = len(row.prompt_ids)
        taken = [logprobs[start - 1 + t, token] for t, token in enumerate(row.completion_ids)]
        loss = loss - row.advantage * torch.stack(taken).mean() / len(flat)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal up to what padding moves inside the models (norms and rotary tables are float32 there)."""
    assert float((a - b).norm()) <= 1e-6 * float(b.norm())
    assert float(b.norm()) > 1e-3


@pytest.mark.parametrize("make", [qwen, gpt2, gemma_with_softcap, phi_with_head_bias])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_gradient_is_the_naive_one(make: Any, temperature: float) -> None:
    # advantages and sampler log-probs are float32 in a batch: these values are exact in it
    model, flat = make(), rows()
    optimizer, result = update(model, [flat[:3], flat[3:]], temperature=temperature)
    close(optimizer.seen[0], naive_gradient(model, flat, temperature))
    assert result.metrics["train/ratio_mean"] == 1.0
    assert result.metrics["train/gradient_norm"] == pytest.approx(float(optimizer.seen[0].norm()), rel=1e-6)
    assert result.trained_tokens == sum(row.length for row in flat)


@pytest.mark.parametrize("budget", [22, 40, 64, 4096])
@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_micro_batches_do_not_change_the_gradient(budget: int, aggregation: str) -> None:
    model, flat = qwen(), rows(count=8)
    changes: dict[str, Any] = {"aggregation": aggregation, "kl_beta": 0.1, "entropy_bonus": 0.01}
    whole, result = update(model, [flat], reference=qwen(1), objective_changes=changes)
    parts, split = update(
        model, [flat[::-1]], reference=qwen(1), objective_changes=changes, tokens_per_microbatch=budget
    )
    close(parts.seen[0], whole.seen[0])
    assert split.metrics == pytest.approx(result.metrics, rel=1e-5)


def test_gradients_leave_their_memory_to_the_next_rollout() -> None:
    model = qwen()
    optimizer, _ = update(model, [rows()], lr=0.1)
    assert optimizer.seen
    assert all(parameter.grad is None for parameter in model.parameters())


def test_rows_without_advantage_count_only_in_the_denominators() -> None:
    model, flat = qwen(), rows(count=4)
    flat = [
        flat[0],
        flat[1],
        *(Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, 0.0, valid=True) for r in flat[2:]),
    ]
    optimizer, result = update(model, [flat])
    close(optimizer.seen[0], naive_gradient(model, flat))
    assert result.trained_tokens == flat[0].length + flat[1].length


def test_nothing_to_learn_takes_no_step() -> None:
    flat = [Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, 0.0, valid=True) for r in rows()]
    optimizer, result = update(qwen(), [flat])
    assert optimizer.seen == []
    assert result.metrics["train/gradient_norm"] == 0.0


def test_masked_rows_have_no_gradient_and_count_as_sequences() -> None:
    model, flat = qwen(), rows(count=4)
    masked = [*flat[:3], Row(flat[3].prompt_ids, flat[3].completion_ids, flat[3].sampler_logprobs, 5.0, valid=False)]
    optimizer, _ = update(model, [masked])
    close(optimizer.seen[0] * 4, naive_gradient(model, flat[:3]) * 3)


@pytest.mark.parametrize("kl_beta", [0.0, 0.1])
def test_what_is_masked_is_not_counted_as_trained(kl_beta: float) -> None:
    """``mask_truncated``: the row keeps its advantage and its place, and its tokens cost nothing."""
    flat = [replace(row, valid=i % 3 != 1) for i, row in enumerate(rows())]
    reference = qwen(1) if kl_beta else None
    _, result = update(qwen(), [flat], reference=reference, objective_changes={"kl_beta": kl_beta})
    valid = [row for row in flat if row.valid]
    assert 0 < len(valid) < len(flat)
    assert result.trained_tokens == sum(row.length for row in valid)
    assert result.flops == (4 if kl_beta else 3) * model_shape(qwen()).flops(work_of(valid))


def test_several_updates_keep_the_old_policy_and_move_the_ratio() -> None:
    model, flat = qwen(), rows()
    optimizer, result = update(model, [flat[:3], flat[3:]], lr=0.5, epochs=2, minibatches=2)
    assert len(optimizer.seen) == 4
    assert result.metrics["train/ratio_mean"] != 1.0
    assert result.metrics["train/kl_old"] > 0
    # the first minibatch of the first epoch is on-policy: question 0 alone, GRPO at ratio 1
    close(optimizer.seen[0], naive_gradient(qwen(), flat[:3]))


@pytest.mark.parametrize(
    ("questions", "minibatches", "blocks"),
    [
        (4, 2, [(0, 1), (2, 3)]),
        (5, 2, [(0, 1, 2), (3, 4)]),
        (6, 3, [(0, 1), (2, 3), (4, 5)]),
        (3, 3, [(0,), (1,), (2,)]),
    ],
)
def test_a_minibatch_has_neighbouring_questions(
    questions: int, minibatches: int, blocks: list[tuple[int, ...]]
) -> None:
    model, asked = qwen(), [rows(seed, count=2) for seed in range(questions)]
    optimizer, _ = update(model, asked, minibatches=minibatches, epochs=2)  # the weights stay: every ratio is 1
    assert len(optimizer.seen) == 2 * minibatches
    for gradient, block in zip(optimizer.seen, [*blocks, *blocks], strict=True):
        close(gradient, naive_gradient(model, [row for i in block for row in asked[i]]))


def test_the_clipped_share_counts_updates_above_the_limit() -> None:
    asked = [rows(seed, count=2) for seed in range(4)]
    norms = [float(naive_gradient(qwen(), one).norm()) for one in asked]
    for limit in [0.5 * min(norms), *(norm * 1.001 for norm in sorted(norms))]:
        optimizer, result = update(qwen(), asked, minibatches=4, clip_norm=limit)
        clipped = sum(norm > limit for norm in norms)
        assert result.metrics["train/gradient_clipped_share"] == clipped / 4
        assert result.metrics["train/gradient_norm"] == pytest.approx(sum(norms) / 4, rel=1e-5)  # before clipping
        assert [float(seen.norm()) for seen in optimizer.seen] == pytest.approx(
            [min(n, limit) for n in norms], rel=1e-4
        )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_minibatch_without_gradient_keeps_the_others_metrics(order: tuple[int, int]) -> None:
    live = rows(count=2)
    still = [Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, 0.0, valid=True) for r in rows(1, count=2)]
    questions = [(live, still)[i] for i in order]
    _, alone = update(qwen(), [live])
    _, both = update(qwen(), questions, minibatches=2)
    assert both.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"] / 2)  # mean over two updates
    assert both.metrics["train/ratio_mean"] == 1.0


def test_a_skipped_update_leaves_no_trace_in_the_metrics() -> None:
    good = rows(count=2)
    bad = [Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, float("inf"), valid=True) for r in rows(1, count=2)]
    _, alone = update(qwen(), [good])
    _, both = update(qwen(), [good, bad], minibatches=2, on_nonfinite="skip")
    assert both.skipped == 1
    assert both.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"])
    assert both.metrics["train/gradient_norm"] == pytest.approx(alone.metrics["train/gradient_norm"])


def test_the_sampler_gap_is_measured_on_completion_tokens() -> None:
    model = qwen().float()
    row = rows(count=1)[0]
    batch = collate([row], 0)
    with torch.no_grad():
        true = PolicyForward(1.0, 8)(model, batch).logprobs_BT[0].tolist()
    shifted = Row(row.prompt_ids, row.completion_ids, tuple(x + 0.25 for x in true), 1.0, valid=True)
    _, result = update(model, [[shifted]])
    assert result.metrics["train/sampler_logprob_gap_mean"] == pytest.approx(0.25, abs=1e-5)
    assert result.metrics["train/sampler_logprob_gap_max"] == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize(
    ("correction", "weight"),
    [
        ({"level": "token", "bound": "truncate", "high": 1.5}, lambda w, row: w.clamp(max=1.5)),
        ({"level": "token", "bound": "mask", "low": 0.6, "high": 2.0}, lambda w, row: w * ((w >= 0.6) & (w <= 2.0))),
        ({"level": "sequence", "bound": "truncate", "high": 1.2}, lambda w, row: w.prod().clamp(max=1.2).expand_as(w)),
    ],
    ids=["token truncate", "token mask", "sequence truncate"],
)
@pytest.mark.parametrize("budget", [4096, 30])
def test_the_correction_weighs_each_tokens_gradient(correction: dict[str, Any], weight: Any, budget: int) -> None:
    model = qwen()
    flat, sampled = [], torch.Generator().manual_seed(3)
    for row in rows():
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        with torch.no_grad():
            old = model(input_ids=ids).logits[0].log_softmax(-1)
        start, size = len(row.prompt_ids), len(row.completion_ids)
        true = old[range(start - 1, start + size - 1), list(row.completion_ids)]
        off = (true.float() + torch.randn(size, generator=sampled) * 0.5).tolist()
        flat.append(Row(row.prompt_ids, row.completion_ids, tuple(off), row.advantage, valid=True))
    loss = torch.zeros((), dtype=torch.float64)
    for row in flat:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        start, size = len(row.prompt_ids), len(row.completion_ids)
        logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
        taken = logprobs[range(start - 1, start + size - 1), list(row.completion_ids)]
        ratio = (taken.detach() - torch.tensor(row.sampler_logprobs, dtype=torch.float32).double()).exp()
        loss = loss - row.advantage * (weight(ratio, row) * taken).mean() / len(flat)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    given = {"low": None} | correction
    optimizer, result = update(model, [[row] for row in flat], correction=given, tokens_per_microbatch=budget)
    close(optimizer.seen[0], expected)
    assert result.metrics["train/correction_share_high"] > 0
    plain, _ = update(model, [[row] for row in flat])
    assert float((plain.seen[0] - expected).norm()) > 0.01 * float(expected.norm())  # uncorrected is another gradient


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("budget", [4096, 30])
def test_rows_of_another_prompt_are_weighed_by_a_capped_ratio(level: str, budget: int) -> None:
    model, cap = qwen(), 0.9
    flat = [replace(row, cross_prompt=i % 2 == 0) for i, row in enumerate(rows())]
    loss, capped, units = torch.zeros((), dtype=torch.float64), 0, 0
    for row in flat:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        start, size = len(row.prompt_ids), len(row.completion_ids)
        logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
        taken = logprobs[range(start - 1, start + size - 1), list(row.completion_ids)]
        # pi_old(o | trained prompt) / pi_old(o | sampled prompt); the denominator is what the sampler reported
        ratio = (taken.detach() - torch.tensor(row.sampler_logprobs, dtype=torch.float32).double()).exp()
        ratio = ratio if level == "token" else ratio.prod().expand_as(ratio)
        weight = ratio.clamp(max=cap) if row.cross_prompt else torch.ones_like(ratio)
        capped += int((ratio > cap).sum()) if row.cross_prompt else 0
        units += size if row.cross_prompt else 0
        loss = loss - row.advantage * (weight * taken).mean() / len(flat)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    optimizer, result = update(
        model, [[row] for row in flat], transfer={"level": level, "cap": cap}, tokens_per_microbatch=budget
    )
    close(optimizer.seen[0], expected)
    if level == "token":
        assert result.metrics["transferred/capped_share"] == pytest.approx(capped / units)
    assert result.metrics["transferred/logprob_gap_mean"] > 0
    plain, _ = update(model, [[replace(row, cross_prompt=False)] for row in flat])
    assert float((plain.seen[0] - expected).norm()) > 0.01 * float(expected.norm())
    own = [row for row in flat if not row.cross_prompt]
    _, alone = update(model, [[row] for row in own])
    assert result.metrics["train/sampler_kl_k3"] == pytest.approx(alone.metrics["train/sampler_kl_k3"])  # not mixed up


@pytest.mark.parametrize("budget", [4096, 30])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_rows_of_another_prompt_may_be_shaped(budget: int, temperature: float) -> None:
    """A * p / (p + gamma), the gradient through p (Critique-GRPO); rows of the prompt itself stay GRPO's at ratio 1."""
    model, gamma = qwen(), 0.1
    flat = [replace(row, cross_prompt=i % 2 == 0) for i, row in enumerate(rows())]
    loss = torch.zeros((), dtype=torch.float64)
    for row in flat:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        start, size = len(row.prompt_ids), len(row.completion_ids)
        p = (model(input_ids=ids).logits[0] / temperature).softmax(-1)
        p = p[range(start - 1, start + size - 1), list(row.completion_ids)]
        term = p / (p + gamma) if row.cross_prompt else p / p.detach()
        loss = loss - row.advantage * term.mean() / len(flat)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    shape = {"method": "shape", "gamma": gamma}
    optimizer, result = update(
        model, [[row] for row in flat], transfer=shape, tokens_per_microbatch=budget, temperature=temperature
    )
    close(optimizer.seen[0], expected)
    assert result.metrics["transferred/logprob_gap_mean"] > 0
    assert result.metrics["transferred/capped_share"] == 0  # there is no cap
    # what the sampler said of a shaped row, given its other prompt, weighs nothing
    other = [
        replace(r, sampler_logprobs=tuple(x - 1 for x in r.sampler_logprobs)) if r.cross_prompt else r for r in flat
    ]
    again, _ = update(
        model, [[row] for row in other], transfer=shape, tokens_per_microbatch=budget, temperature=temperature
    )
    assert torch.equal(again.seen[0], optimizer.seen[0])


def test_rows_of_another_prompt_need_settings() -> None:
    with pytest.raises(AssertionError, match="another prompt"):
        update(qwen(), [[replace(row, cross_prompt=True) for row in rows()]])


def test_a_non_finite_step_keeps_the_weights_and_stops_or_counts() -> None:
    bad = [Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, float("inf"), valid=True) for r in rows(count=2)]
    model = qwen()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NonFiniteError, match=r"the loss is (nan|-?inf)"):
        update(model, [bad], lr=0.1)
    _, result = update(model, [bad], lr=0.1, on_nonfinite="skip")
    assert result.skipped == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_stops_though_the_loss_is(factor: float) -> None:
    """A backward pass may overflow where the forward pass did not."""
    model, flat = qwen(), rows(count=2)
    model.lm_head.weight.register_hook(lambda gradient: gradient * factor)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NonFiniteError, match=r"^the loss is -?\d+\.\d.* and the gradient's norm (inf|nan)$"):
        update(model, [flat], lr=0.1)
    optimizer, result = update(model, [flat], lr=0.1, on_nonfinite="skip")
    assert (result.skipped, optimizer.seen) == (1, [])
    assert "train/gradient_norm" not in result.metrics
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_split_rows_respects_the_budget_and_keeps_every_row() -> None:
    flat = rows(count=20)
    parts = split_rows(flat, 50)
    assert sorted(id(row) for part in parts for row in part) == sorted(id(row) for row in flat)
    assert all(len(part) * max(row.length for row in part) <= 50 for part in parts)
    assert [len(part) for part in split_rows(flat, 5)] == [1] * 20, "longer rows are passes of their own"


def completion(tokens: tuple[int, ...], *, truncated: bool = False) -> Completion:
    values = (-1.0,) * len(tokens)
    return Completion(tokens, "", values, values, values, "length" if truncated else "stop", 0)


def test_question_rows_give_refinements_their_refinement_prompt() -> None:
    scores = tuple(Score(value, value == 1.0, "right" if value else "wrong") for value in (1.0, 0.0))
    drafts = samples("draft", (completion((2,)), completion((3,))), scores)
    made_of = (completion((4, 5)), completion((6,), truncated=True))
    refined = samples("refinement", made_of, scores, number=2, prompt=Prompt((1, 9, 2)), shows=drafts[:1])
    made = question_rows(rollout(drafts, refined, trained=[refined]), ADVANTAGE, mask_truncated=True)
    # mean 0.5, sample std sqrt(((0.5)^2 + (0.5)^2) / 1) = 0.7071; (1 - 0.5) / 0.7071 = 0.7071
    assert [row.prompt_ids for row in made] == [(1, 9, 2)] * 2
    assert [row.completion_ids for row in made] == [(4, 5), (6,)]
    assert [row.advantage for row in made] == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert [row.valid for row in made] == [True, False]
    assert normaliser(made).sequences == 2
    assert normaliser(made).tokens == 2


def scored(*scores: tuple[float, bool | None]) -> Rollout:
    """One trained group whose completions are the tokens 3, 4, ... twice, with these values and verdicts."""
    completions = tuple(completion((3 + i, 3 + i)) for i in range(len(scores)))
    made = tuple(Score(value, correct, "right" if correct else "wrong") for value, correct in scores)
    answers = samples("answer", completions, made, prompt=Prompt((1, 2)))
    return rollout(answers, trained=[answers])


@pytest.mark.parametrize(
    ("scores", "weights"),
    [
        ([(0.0, False), (1.0, True), (1.0, True)], [0, 1, 0]),  # the first of equals
        ([(1.0, True), (1.0, True)], [1, 0]),  # no variance: trained on all the same
        ([(0.0, False), (0.0, False)], [0, 0]),  # nothing right: nothing is imitated
        ([(1.5, False), (1.0, True), (0.5, True)], [0, 1, 0]),  # a wrong one is never imitated, whatever its reward
        ([(1.0, True), (2.0, True)], [0, 1]),  # right and well formatted beats right; the weight is still 1
        ([(0.2, None), (0.7, None), (-1.0, None)], [0, 1, 0]),  # no verdicts: the best of the positive rewards
        ([(0.0, None), (-1.0, None)], [0, 0]),
    ],
)
def test_best_of_n_imitates_the_best_right_completion(
    scores: list[tuple[float, bool | None]], weights: list[float]
) -> None:
    made = question_rows(scored(*scores), IMITATION, mask_truncated=False)
    assert [row.advantage for row in made] == weights


def cross_entropy(model: Any, chosen: Sequence[Row]) -> torch.Tensor:
    """The gradient of supervised fine-tuning on the chosen completions: mean over tokens, then over completions."""
    model = copy.deepcopy(model)
    loss = torch.zeros((), dtype=torch.float64)
    for row in chosen:
        labels = torch.tensor([[*[-100] * len(row.prompt_ids), *row.completion_ids]])
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        loss = loss + model(input_ids=ids, labels=labels).loss / len(chosen)  # transformers' own cross-entropy
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_best_of_n_has_the_gradient_of_cross_entropy() -> None:
    rollouts = [
        scored((0.0, False), (1.0, True), (0.0, False)),
        scored((1.0, True), (1.0, True), (1.0, True)),
        scored((0.0, False), (0.0, False), (0.0, False)),
    ]
    questions = [question_rows(one, IMITATION, mask_truncated=False) for one in rollouts]
    model = qwen()
    changes = {"advantage": IMITATION, "surrogate": "reinforce", "clip_low": None, "clip_high": None}
    optimizer, result = update(model, questions, objective_changes=changes)
    chosen = [questions[0][1], questions[1][0]]
    # two of nine sampled completions are chosen, and the denominator is nine
    close(optimizer.seen[0] * 9 / 2, cross_entropy(model, chosen))
    assert result.trained_tokens == sum(row.length for row in chosen)


def test_a_family_that_rescales_its_logits_is_refused() -> None:
    check_head(qwen())
    check_head(gemma_with_softcap())
    check_head(phi_with_head_bias())
    model = qwen()
    original = model.forward

    def rescaled(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.logits = output.logits * 0.5
        return output

    model.forward = rescaled
    with pytest.raises(ValueError, match="changes its logits after the output head"):
        check_head(model)


def work_of(flat: Sequence[Row]) -> Work:
    return sum((row_work(len(row.prompt_ids), len(row.completion_ids)) for row in flat), Work())


@pytest.mark.parametrize(("changes", "passes"), [({}, 3), ({"epochs": 2}, 1 + 2 * 3), ({"minibatches": 2}, 1 + 3)])
@pytest.mark.parametrize("budget", [22, 64, 4096])
def test_flops_count_every_pass_whatever_the_micro_batches(changes: dict[str, int], passes: int, budget: int) -> None:
    """Forward and backward are 3; several updates need the old log-probs first: one more, once; KL: 1 in each epoch."""
    model, flat = qwen(), rows(count=8)
    once = model_shape(model).flops(work_of(flat))
    _, result = update(model, [flat[:4], flat[4:]], tokens_per_microbatch=budget, **changes)
    assert result.flops == passes * once
    settings: dict[str, Any] = {"objective_changes": {"kl_beta": 0.1}, "tokens_per_microbatch": budget, **changes}
    _, result = update(model, [flat[:4], flat[4:]], reference=qwen(1), **settings)
    assert result.flops == (passes + changes.get("epochs", 1)) * once


def test_rows_without_a_gradient_cost_nothing() -> None:
    model, flat = qwen(), rows(count=4)
    still = [Row(r.prompt_ids, r.completion_ids, r.sampler_logprobs, 0.0, valid=True) for r in flat[2:]]
    _, result = update(model, [[*flat[:2], *still]])
    assert result.flops == 3 * model_shape(model).flops(work_of(flat[:2]))
    assert update(model, [still])[1].flops == 0


@pytest.mark.parametrize("reference", [None, 1])
def test_flops_are_what_torch_counts(reference: int | None) -> None:
    """Rows of one length: no padding; one chunk of logits: none is made twice. What torch counts beyond ours are the
    scores that the causal mask hides."""
    model, other = qwen(), None if reference is None else qwen(reference)
    for each in (model, other):
        if each is not None:
            each.set_attn_implementation("eager")  # torch counts no fused attention on the CPU
    flat = [Row((1, 2, 3, 4, 5), (6, 7, 8), (-1.0,) * 3, (-1.0) ** i, valid=True) for i in range(4)]
    changes = {"kl_beta": 0.1 if reference else 0.0}
    with FlopCounterMode(display=False) as counter:
        _, result = update(model, [flat], reference=other, objective_changes=changes, epochs=2, head_chunk=64)
    masked = model_shape(model).flops(Work(0, 4 * (8 * 8 - 8 * 9 // 2), 0))
    passes = 1 + 2 * (3 + (reference is not None))
    assert counter.get_total_flops() == result.flops + passes * masked
