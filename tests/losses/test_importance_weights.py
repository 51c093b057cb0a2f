"""Importance weights of the sampler-trainer mismatch: a naive reference, exact enumeration, and what changes nothing."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from igrpo.losses import ImportanceWeights, importance_weights
from igrpo.losses.importance_weights import LOG_LIMIT
from igrpo.settings.importance_weights import ImportanceWeightsConfig

from .batches import Batch, loss_and_grads, loss_of, random_batch
from .golden import assert_matches, batch, load, tensor
from .presets import LOSSES, PRESETS

quick = settings(max_examples=12, deadline=None)

FREE: dict[str, Any] = {"bound": "truncate", "low": None, "high": None}
CHOICES: dict[str, dict[str, Any]] = {
    "none": FREE | {"level": "none"},
    "token_free": FREE | {"level": "token"},
    "token_truncate": {"level": "token", "bound": "truncate", "low": None, "high": 1.3},
    "token_truncate_both": {"level": "token", "bound": "truncate", "low": 0.8, "high": 1.3},
    "token_mask": {"level": "token", "bound": "mask", "low": 0.8, "high": 1.3},
    "token_mask_above": {"level": "token", "bound": "mask", "low": None, "high": 1.3},
    "token_truncate_to_one": {"level": "token", "bound": "truncate", "low": 1.0, "high": 1.0},
    "sequence_free": FREE | {"level": "sequence"},
    "sequence_truncate": {"level": "sequence", "bound": "truncate", "low": None, "high": 1.3},
    "sequence_mask": {"level": "sequence", "bound": "mask", "low": 0.8, "high": 1.3},
}


def weigh(old: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor, **choice: Any) -> ImportanceWeights:
    return importance_weights(old, sampler, mask, ImportanceWeightsConfig(**choice))


def correct(inputs: Batch, choice: dict[str, Any]) -> ImportanceWeights:
    """``ref`` stands in for the sampler."""
    assert inputs.ref is not None
    return weigh(inputs.old, inputs.ref, inputs.mask, **choice)


def bounded(ratio: float, bound: str, low: float | None, high: float | None) -> float:
    below, above = low is not None and ratio < low, high is not None and ratio > high
    if bound == "mask":
        return 0.0 if below or above else ratio
    return low if below and low is not None else high if above and high is not None else ratio


def naive(inputs: Batch, choice: dict[str, Any]) -> tuple[list[list[float]], dict[str, float]]:
    """Weights and metrics with Python floats and loops; products of ratios instead of sums of logs."""
    old, sampler, mask = inputs.old.tolist(), inputs.ref.tolist(), inputs.mask.tolist()
    level, limits = choice["level"], (choice["bound"], choice["low"], choice["high"])
    weights, gaps, units, products = [], [], [], []
    for b, row in enumerate(mask):
        ratios = {t: math.exp(old[b][t]) / math.exp(sampler[b][t]) for t in range(len(row)) if row[t]}
        gaps += [old[b][t] - sampler[b][t] for t in ratios]
        if ratios:
            products.append(math.prod(ratios.values()))
        if level == "sequence":
            units += products[-1:] if ratios else []
            ratios = dict.fromkeys(ratios, math.prod(ratios.values()))
        else:
            units += ratios.values()
        one = {t: 1.0 if level == "none" else bounded(ratio, *limits) for t, ratio in ratios.items()}
        weights.append([one.get(t, 0.0) for t in range(len(row))])
    low, high = (None, None) if level == "none" else (choice["low"], choice["high"])
    return weights, {
        "sampler_logprob_gap_mean": sum(abs(gap) for gap in gaps) / len(gaps),
        "sampler_logprob_gap_max": max(abs(gap) for gap in gaps),
        "sampler_kl_k1": -sum(gaps) / len(gaps),
        "sampler_kl_k3": sum(math.exp(gap) - 1 - gap for gap in gaps) / len(gaps),
        "sampler_ratio_mean": sum(units) / len(units),
        "sampler_ratio_max": max(units),
        "sampler_ess": sum(products) ** 2 / (len(products) * sum(w**2 for w in products)),
        "correction_share_low": sum(low is not None and unit < low for unit in units) / len(units),
        "correction_share_high": sum(high is not None and unit > high for unit in units) / len(units),
    }


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_naive_reference(name: str, seed: int) -> None:
    inputs = random_batch(seed)
    result = correct(inputs, CHOICES[name])
    weights, metrics = naive(inputs, CHOICES[name])
    torch.testing.assert_close(result.weights_BT, torch.tensor(weights, dtype=torch.float64), atol=1e-14, rtol=1e-12)
    assert result.metrics.finalise() == pytest.approx(metrics, abs=1e-13, rel=1e-12)
    if CHOICES[name]["high"] is not None:
        assert metrics["correction_share_high"] > 0, "the bound must act"


def test_two_sequences_by_hand() -> None:
    # ratios 2 and 4, product 8; and 1/2, alone in its row
    old = torch.tensor([[-1.0, -1.0], [-1.0, -9.0]], dtype=torch.float64)
    sampler = old - torch.tensor([[math.log(2), math.log(4)], [math.log(0.5), 5.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])

    def weights(**choice: Any) -> list[list[float]]:
        return weigh(old, sampler, mask, **choice).weights_BT.tolist()

    assert weights(level="token", bound="truncate", low=None, high=3.0) == [
        pytest.approx([2, 3]),
        pytest.approx([0.5, 0]),
    ]
    assert weights(level="token", bound="truncate", low=0.8, high=3.0)[1] == pytest.approx([0.8, 0])
    assert weights(level="token", bound="mask", low=0.8, high=3.0) == [pytest.approx([2, 0]), [0, 0]]
    assert weights(level="sequence", bound="truncate", low=None, high=3.0) == [[3, 3], pytest.approx([0.5, 0])]
    assert weights(level="sequence", bound="mask", low=None, high=3.0) == [[0, 0], pytest.approx([0.5, 0])]
    measured = weigh(old, sampler, mask, level="sequence", bound="mask", low=0.8, high=3.0).metrics
    assert measured.finalise() == pytest.approx({
        "sampler_logprob_gap_mean": (math.log(2) + math.log(4) + math.log(2)) / 3,
        "sampler_logprob_gap_max": math.log(4),
        "sampler_kl_k1": -(math.log(2) + math.log(4) - math.log(2)) / 3,
        "sampler_kl_k3": (2 - 1 - math.log(2) + 4 - 1 - math.log(4) + 0.5 - 1 + math.log(2)) / 3,
        "sampler_ratio_mean": (8 + 0.5) / 2,
        "sampler_ratio_max": 8,
        "sampler_ess": 8.5**2 / (2 * (64 + 0.25)),
        "correction_share_low": 1 / 2,
        "correction_share_high": 1 / 2,
    })  # fmt: skip


TRL = load("trl_importance_correction")


def trls(case: dict[str, Any]) -> ImportanceWeights:
    """The correction of TRL's log-probs with the settings of a case."""
    level, bound = case["mode"].split("_")
    old, sampler, mask = tensor(TRL["old_logps"]), tensor(TRL["sampling_logps"]), tensor(TRL["mask"]).bool()
    return weigh(old, sampler, mask, level=level, bound=bound, low=case["clip_min"], high=case["clip_max"])


@pytest.mark.parametrize("case", TRL["cases"], ids=lambda case: f"{case['mode']}-{case['clip_min']}-{case['clip_max']}")
def test_trls_weights(case: dict[str, Any]) -> None:
    mask, weights = tensor(TRL["mask"]).bool(), trls(case).weights_BT
    expected = tensor(case["importance_sampling_ratio_f32"]).expand_as(weights)  # one a row, for a sequence
    torch.testing.assert_close(weights[mask], expected[mask], atol=0, rtol=2e-6)
    assert not weights[~mask].any()


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_both_bounds_act_in_trls_cases(mode: str) -> None:
    measured = [trls(case).metrics for case in TRL["cases"] if case["mode"] == mode]
    assert len(measured) == 4
    for acted in ([one.low for one in measured], [one.high for one in measured]):
        assert any(0 < count < one.units for count, one in zip(acted, measured, strict=True))


VERL_WEIGHTED = [
    case
    for case in load("verl_policy_loss")["cases"]
    if case["rollout_is_weights"] and (case["loss"], case["loss_agg_mode"]) == ("vanilla", "token-mean")
]


@pytest.mark.parametrize("case", VERL_WEIGHTED, ids=lambda case: case["inputs"])
def test_verls_truncated_weights(case: dict[str, Any]) -> None:
    """The loss that verl computes with min(exp(old - sampler), 2): its weights are ours, and enter at the same place."""
    choice = {"level": "token", "bound": "truncate", "low": None, "high": 2.0}
    keys = LOSSES["dapo"] | {f"clip_{side}": case["config"][f"clip_ratio_{side}"] for side in ("low", "high")}
    loss, grad = weighted(batch(case["inputs"]), choice, keys)
    assert loss == pytest.approx(case["loss_f64"], abs=1e-12)
    assert_matches(grad, case["grad_logps_f64"])


def weighted(inputs: Batch, choice: dict[str, Any], keys: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """The loss and its gradient with weights; ``ref`` is both the reference and the sampler."""
    return loss_and_grads(inputs, keys, sampler=inputs.ref, weights=ImportanceWeightsConfig(**choice))[:2]


@pytest.mark.parametrize("name", PRESETS)
def test_weights_multiply_the_surrogate_alone(name: str) -> None:
    """Weights of w are advantages of w A; with a KL term and a bonus, these stay what they are."""
    inputs, keys = random_batch(3), LOSSES[name]
    weights = correct(inputs, CHOICES["token_mask"]).weights_BT
    scaled = inputs.with_(advantages=inputs.advantages.unsqueeze(1) * weights)
    for extra in ({}, {"kl_beta": 0.3, "entropy_bonus": 0.2}):
        loss, grad = weighted(inputs, CHOICES["token_mask"], keys | extra)
        expected = loss_and_grads(scaled, keys | extra)
        assert loss == pytest.approx(expected[0], abs=1e-14)
        torch.testing.assert_close(grad, expected[1], atol=1e-15, rtol=1e-12)
    # weights of zero (all ratios are above this bound) leave exactly the KL term and the bonus
    nothing = {"level": "token", "bound": "mask", "low": None, "high": 1e-9}
    rest = weighted(inputs, nothing, keys | {"kl_beta": 0.3, "entropy_bonus": 0.2})
    silent = loss_and_grads(
        inputs.with_(advantages=0 * inputs.advantages), keys | {"kl_beta": 0.3, "entropy_bonus": 0.2}
    )
    assert rest[0] == pytest.approx(silent[0], abs=1e-15)
    assert torch.equal(rest[1], silent[1])


@pytest.mark.parametrize("name", PRESETS)
def test_weights_of_one_change_no_bit(name: str) -> None:
    inputs = random_batch(5)
    ones = {"level": "token", "bound": "truncate", "low": 1.0, "high": 1.0}
    assert torch.equal(correct(inputs, ones).weights_BT, inputs.mask.double())
    bare, same = weighted(inputs, CHOICES["none"], LOSSES[name]), weighted(inputs, ones, LOSSES[name])
    assert bare[0] == same[0]
    assert torch.equal(bare[1], same[1])


def test_only_the_trained_policy_has_a_gradient() -> None:
    inputs = random_batch(6)
    leaves = {name: getattr(inputs, name).clone().requires_grad_() for name in ("logprobs", "old", "ref", "advantages")}
    sampler = inputs.old.clone().requires_grad_()
    weights = ImportanceWeightsConfig(**CHOICES["sequence_truncate"])
    loss = loss_of(inputs.with_(**leaves), LOSSES["grpo"] | {"kl_beta": 0.1}, sampler=sampler, weights=weights).loss
    loss.backward()
    assert leaves.pop("logprobs").grad.any()
    assert all(leaf.grad is None for leaf in (*leaves.values(), sampler))


@pytest.mark.parametrize("name", CHOICES)
def test_equal_logprobs_weigh_one(name: str) -> None:
    inputs = random_batch(8)
    inputs = inputs.with_(ref=inputs.old.clone())
    result = correct(inputs, CHOICES[name])
    assert torch.equal(result.weights_BT, inputs.mask.double())
    assert result.metrics.finalise() == {
        "sampler_logprob_gap_mean": 0, "sampler_logprob_gap_max": 0, "sampler_kl_k1": 0, "sampler_kl_k3": 0,
        "sampler_ratio_mean": pytest.approx(1, abs=1e-15), "sampler_ratio_max": 1, "sampler_ess": 1,
        "correction_share_low": 0, "correction_share_high": 0,
    }  # fmt: skip


# --- exact enumeration: a policy over {stop, 1, 2} that writes at most three tokens ---------------------------------

STOP, LONGEST = 0, 3


def sequences() -> list[tuple[int, ...]]:
    found = []
    for length in range(1, LONGEST + 1):
        for tokens in itertools.product(range(3), repeat=length):
            ended = tokens[-1] == STOP or length == LONGEST
            if ended and STOP not in tokens[:-1]:
                found.append(tokens)
    return found


def policy(seed: int) -> dict[tuple[int, ...], list[float]]:
    """Log-probs of the next token after each prefix."""
    generator = torch.Generator().manual_seed(seed)
    prefixes = {tokens[:t] for tokens in sequences() for t in range(len(tokens))}
    return {
        prefix: torch.randn(3, generator=generator, dtype=torch.float64).log_softmax(-1).tolist()
        for prefix in sorted(prefixes)
    }


def enumerated(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """For every sequence: log-probs of two policies, the mask, its probability under the sampler and under the other."""
    old, sampler, rows = policy(seed), policy(seed + 100), sequences()

    def table(model: dict[tuple[int, ...], list[float]]) -> torch.Tensor:
        padded = [[model[row[:t]][row[t]] if t < len(row) else -7.0 for t in range(LONGEST)] for row in rows]
        return torch.tensor(padded, dtype=torch.float64)

    mask = torch.tensor([[t < len(row) for t in range(LONGEST)] for row in rows])
    old_BT, sampler_BT = table(old), table(sampler)
    masses = [torch.where(mask, values, 0.0).sum(-1).exp() for values in (sampler_BT, old_BT)]
    assert [mass.sum().item() for mass in masses] == pytest.approx([1, 1], abs=1e-12)
    return old_BT, sampler_BT, mask, masses[0], masses[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_sequence_weight_is_unbiased(seed: int) -> None:
    """E_sampler[w f] = E_old[f], for any f; bounds bias it downwards for f >= 0, as does leaving the weight out."""
    old, sampler, mask, sampler_mass, old_mass = enumerated(seed)
    f = torch.rand(len(mask), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    truth = (old_mass * f).sum().item()

    def estimate(**choice: Any) -> float:
        weights = weigh(old, sampler, mask, **choice).weights_BT[:, 0]
        return (sampler_mass * weights * f).sum().item()

    assert estimate(level="sequence", **FREE) == pytest.approx(truth, abs=1e-13)
    truncated = [estimate(level="sequence", bound="truncate", low=None, high=high) for high in (1.0, 1.5, 2.0, 1e6)]
    assert truncated == sorted(truncated)
    assert truncated[0] < truth - 1e-3
    assert truncated[-1] == pytest.approx(truth, abs=1e-13)
    for high in (1.0, 1.5, 2.0):  # what truncation caps, masking drops
        masked = estimate(level="sequence", bound="mask", low=None, high=high)
        assert masked <= estimate(level="sequence", bound="truncate", low=None, high=high)
    raised = estimate(level="sequence", bound="truncate", low=1.0, high=None)
    assert raised > truth + 1e-3, "a lower bound lifts weights"
    assert abs(estimate(level="none", **FREE) - truth) > 1e-3


def test_weights_make_the_samplers_gradient_the_on_policy_one() -> None:
    """Expected REINFORCE gradient: sampled from mu and weighted = sampled from pi_old. Unweighted it is another one."""
    old, sampler, mask, sampler_mass, old_mass = enumerated(0)
    rewards = torch.rand(len(mask), generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    inputs = Batch(old, old, sampler, old.abs(), rewards, mask)

    def gradient(mass: torch.Tensor, level: str) -> torch.Tensor:
        return weighted(inputs.with_(advantages=rewards * mass), FREE | {"level": level}, LOSSES["rloo"])[1]

    truth = gradient(old_mass, "none")
    torch.testing.assert_close(gradient(sampler_mass, "sequence"), truth, atol=1e-14, rtol=1e-12)
    assert (gradient(sampler_mass, "none") - truth).norm() > 0.1 * truth.norm()
    token = gradient(sampler_mass, "token")
    assert (token - truth).norm() > 1e-3 * truth.norm(), "the token's weight alone leaves the prefix's bias"


@pytest.mark.parametrize("seed", range(3))
def test_the_estimators_of_the_kl(seed: int) -> None:
    """Their expectation over a one-token policy is KL(sampler || old), and E[ratio] is 1."""
    generator = torch.Generator().manual_seed(seed)
    old, sampler = torch.randn(2, 4, 1, generator=generator, dtype=torch.float64).log_softmax(1)
    truth = (sampler.exp() * (sampler - old)).sum().item()
    totals = dict.fromkeys(("sampler_kl_k1", "sampler_kl_k3", "sampler_ratio_mean"), 0.0)
    for token, probability in enumerate(sampler.exp().flatten().tolist()):
        rows = (old[[token]], sampler[[token]], torch.ones(1, 1, dtype=torch.bool))
        measured = weigh(*rows, **CHOICES["none"]).metrics.finalise()
        totals = {name: total + probability * measured[name] for name, total in totals.items()}
    assert totals == pytest.approx({"sampler_kl_k1": truth, "sampler_kl_k3": truth, "sampler_ratio_mean": 1}, abs=1e-13)


# --- invariances and extremes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHOICES)
@given(seed=st.integers(0, 999), data=st.data())
@quick
def test_micro_batches_add_up(name: str, seed: int, data: st.DataObject) -> None:
    inputs, choice = random_batch(seed), CHOICES[name]
    order = data.draw(st.permutations(range(6)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5))))
    whole = correct(inputs, choice)
    total = None
    for start, end in itertools.pairwise([0, *cuts, 6]):
        part = correct(inputs.select(order[start:end]), choice)
        assert torch.equal(part.weights_BT, whole.weights_BT[order[start:end]])
        total = part.metrics if total is None else total + part.metrics
    assert total is not None
    assert total.finalise() == pytest.approx(whole.metrics.finalise(), abs=1e-13, rel=1e-12)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("junk", [9.9, torch.nan, -torch.inf])
def test_masked_positions_never_contribute(name: str, junk: float) -> None:
    inputs, choice = random_batch(2), CHOICES[name]
    dirty = inputs.with_(old=inputs.old.masked_fill(~inputs.mask, junk), ref=inputs.ref.masked_fill(~inputs.mask, junk))
    clean, result = correct(inputs, choice), correct(dirty, choice)
    assert torch.equal(result.weights_BT, clean.weights_BT)
    assert result.metrics.finalise() == clean.metrics.finalise()


@pytest.mark.parametrize("gap", [30.0, 1e4, math.inf])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_huge_ratio_is_bounded_and_counted(level: str, gap: float) -> None:
    """A sampler's -inf is such a ratio. Bounds are judged on the true one; only the exponential is cut."""
    old = torch.tensor([[-1.0, -1.0]])
    sampler = torch.tensor([[-1.0 - gap, -1.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)

    def run(bound: str, high: float | None) -> ImportanceWeights:
        return weigh(old, sampler, mask, level=level, bound=bound, low=None, high=high)

    others = 1.0 if level == "token" else 2.0
    assert run("truncate", 2.0).weights_BT.tolist() == [[2.0, others]]
    assert run("mask", 2.0).weights_BT.tolist() == [[0.0, 1.0 if level == "token" else 0.0]]
    assert run("mask", math.exp(25)).weights_BT[0, 0] == 0, "e^25 is above the cut: the bound must still be seen"
    measured = run("truncate", None)
    assert measured.weights_BT[0, 0].item() == pytest.approx(math.exp(LOG_LIMIT), rel=1e-6)
    numbers = run("mask", 2.0).metrics.finalise()
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["sampler_logprob_gap_max"] == LOG_LIMIT
    assert numbers["correction_share_high"] == (0.5 if level == "token" else 1.0)


def test_a_vanishing_ratio_and_a_broken_engine() -> None:
    old, mask = torch.tensor([[-800.0]]), torch.ones(1, 1, dtype=torch.bool)
    tiny = weigh(old, torch.tensor([[-1.0]]), mask, level="token", bound="mask", low=1e-30, high=2.0)
    assert tiny.weights_BT.item() == 0
    assert tiny.metrics.finalise()["correction_share_low"] == 1
    for old_value, sampler_value in ((-torch.inf, -torch.inf), (-1.0, torch.nan)):
        rows = torch.tensor([[old_value]]), torch.tensor([[sampler_value]])
        for name in ("token_truncate", "token_mask", "sequence_mask"):
            assert weigh(*rows, mask, **CHOICES[name]).weights_BT.isnan().all()


def test_no_token_at_all() -> None:
    inputs = random_batch(1)
    nothing = correct(inputs.with_(mask=torch.zeros_like(inputs.mask)), CHOICES["sequence_mask"])
    assert not nothing.weights_BT.any()
    assert nothing.metrics.finalise() == {}
    full = correct(inputs, CHOICES["token_mask"]).metrics
    assert (full + nothing.metrics).finalise() == full.finalise()


def test_weights_keep_the_dtype_and_sums_are_float64() -> None:
    inputs = random_batch(4)
    result = weigh(inputs.old.float(), inputs.ref.float(), inputs.mask, **CHOICES["token_mask"])
    assert result.weights_BT.dtype == torch.float32
    assert result.metrics.gap_sum.dtype == result.metrics.tokens.dtype == torch.float64


@pytest.mark.parametrize("bound", ["low", "high"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_bound_is_a_positive_ratio(bound: str, value: float) -> None:
    with pytest.raises(ValidationError, match=bound):
        ImportanceWeightsConfig(**CHOICES["token_mask"] | {bound: value})
