"""The objective against TRL's and verl's own numbers: values and gradients, in float64."""

from typing import Any

import pytest

from igrpo.losses import Normaliser, aggregate, kl_estimate

from .batches import Batch, loss_and_grads, loss_of
from .golden import assert_matches, batch, load

TRL, VERL = load("trl_loss")["cases"], load("verl_policy_loss")["cases"]

TRL_AGGREGATION = {
    "grpo": "sequence_mean",
    "bnpo": "token_mean",
    "dapo": "token_mean",
    "cispo": "token_mean",
    "dr_grpo": "constant",
    "luspo": "constant",  # with divisor 1: the sequence sum
}
VERL_AGGREGATION: dict[str, tuple[str, float | None]] = {
    "token-mean": ("token_mean", None),
    "token-sum": ("constant", 1.0),  # over one 'sequence'
    "seq-mean-token-sum": ("constant", 1.0),
    "seq-mean-token-sum-norm": ("constant", None),  # by the width T
    "seq-mean-token-mean": ("sequence_mean", None),
}


def trl_settings(config: dict[str, Any]) -> dict[str, Any]:
    cispo = config["loss_type"] == "cispo"
    divisors = {"dr_grpo": float(config["max_completion_length"]), "luspo": 1.0}
    return {
        "ratio": config["importance_sampling_level"],
        "surrogate": "detached" if cispo else "clip",
        "clip_low": None if cispo else config["epsilon_low"],
        # TRL's CISPO bound is absolute
        "clip_high": config["epsilon_high"] - 1 if cispo else config["epsilon_high"],
        "kl_beta": config["beta"],
        "kl_estimator": "k3",
        "entropy_bonus": config["entropy_coef"],
        "aggregation": TRL_AGGREGATION[config["loss_type"]],
        "constant_divisor": divisors.get(config["loss_type"]),
    }


def trl_normaliser(config: dict[str, Any], inputs: Batch) -> Normaliser:
    """TRL's denominators: of the accumulation window, which it takes to be micro-batches like this one."""
    window = config["grad_accum_steps"] if config["train_mode"] else 1
    tokens = int(inputs.mask.sum()) * window
    if config["loss_type"] in ("dapo", "cispo"):
        tokens = config["num_items_in_batch"]
        if config["train_mode"]:
            tokens = tokens * window / config["steps_per_generation"]
    return Normaliser(sequences=len(inputs.mask) * window, tokens=tokens)


@pytest.mark.parametrize("case", TRL, ids=lambda case: f"{case['id']}-{case['config']['loss_type']}")
def test_trl(case: dict[str, Any]) -> None:
    config, inputs = case["config"], batch(case["inputs"])
    if not config["use_old_logps"]:  # on-policy
        inputs = inputs.with_(old=inputs.logprobs.clone())
    settings, normaliser = trl_settings(config), trl_normaliser(config, inputs)
    loss, grad_logprobs, grad_entropies = loss_and_grads(inputs, settings, normaliser)
    assert loss == pytest.approx(case["loss_f64"], abs=1e-12)
    assert_matches(grad_logprobs, case["grad_logps_f64"])
    if "grad_entropies_f64" in case:
        assert_matches(grad_entropies, case["grad_entropies_f64"])
    else:
        assert not grad_entropies.any()


@pytest.mark.parametrize("case", TRL, ids=lambda case: f"{case['id']}-{case['config']['loss_type']}")
def test_trl_metrics(case: dict[str, Any]) -> None:
    config, inputs, expected = case["config"], batch(case["inputs"]), case["metrics_f64"]
    if not config["use_old_logps"]:
        inputs = inputs.with_(old=inputs.logprobs.clone())
    numbers = loss_of(inputs, trl_settings(config)).metrics.finalise()
    # TRL counts a row without valid tokens as a sequence that is not clipped.
    rows = (inputs.mask.any(dim=1).sum() / len(inputs.mask)).item()
    share = rows if config["importance_sampling_level"] == "sequence" else 1.0
    if "clip_ratio/low_mean" in expected:
        assert numbers["clip_share_low"] * share == pytest.approx(expected["clip_ratio/low_mean"], abs=1e-6)
        assert numbers["clip_share_high"] * share == pytest.approx(expected["clip_ratio/high_mean"], abs=1e-6)
    if "kl" in expected:
        assert numbers["kl_reference"] == pytest.approx(expected["kl"], abs=1e-6)
    assert {"clip_ratio/low_mean", "kl"} & set(expected) or config["loss_type"] == "cispo"


VERL_SURROGATE = {
    "vanilla": ("token", "clip"),
    "compute_policy_loss": ("token", "clip"),
    "gspo": ("sequence", "clip"),
    "cispo": ("token", "detached"),
    "gpg": ("token", "reinforce"),
}


def verl_aggregation(mode: str, inputs: Batch) -> tuple[str, float | None, Normaliser]:
    """verl's denominators: of rows that have a valid token."""
    aggregation, divisor = VERL_AGGREGATION[mode]
    if mode == "seq-mean-token-sum-norm":
        divisor = float(inputs.mask.shape[1])
    sequences = 1 if mode == "token-sum" else int(inputs.mask.any(dim=1).sum())
    return aggregation, divisor, Normaliser(sequences=sequences, tokens=int(inputs.mask.sum()))


@pytest.mark.parametrize("case", VERL, ids=lambda case: f"{case['loss']}-{case['loss_agg_mode']}-{case['inputs']}")
def test_verl(case: dict[str, Any]) -> None:
    inputs = batch(case["inputs"])
    if case["rollout_is_weights"] is not None:
        # A positive weight of the token's loss is a weight of its advantage.
        assert case["rollout_is_weights"] == "exp(old_logps-ref_logps).clamp(max=2)"
        weights = (inputs.old - inputs.ref).exp().clamp(max=2)
        inputs = inputs.with_(advantages=inputs.advantages.unsqueeze(1) * weights)
    ratio, surrogate = VERL_SURROGATE[case["loss"]]
    aggregation, divisor, normaliser = verl_aggregation(case["loss_agg_mode"], inputs)
    settings = {
        "ratio": ratio,
        "surrogate": surrogate,
        "clip_low": case["config"]["clip_ratio_low"],
        "clip_high": case["config"]["clip_ratio_high"],
        "kl_beta": 0.0,
        "kl_estimator": "k3",
        "entropy_bonus": 0.0,
        "aggregation": aggregation,
        "constant_divisor": divisor,
    }
    loss, grad, _ = loss_and_grads(inputs, settings, normaliser)
    # verl divides a row's sum by its length + 1e-8
    atol = 1e-7 if aggregation == "sequence_mean" else 1e-12
    assert loss == pytest.approx(case["loss_f64"], abs=atol)
    if "grad_logps_f64" in case:
        assert_matches(grad, case["grad_logps_f64"], atol)
    if "actor/pg_clipfrac" in case["metrics"] and ratio == "token":
        numbers = loss_of(inputs, settings).metrics.finalise()
        clipped = numbers["clip_share_low"] + numbers["clip_share_high"]
        assert clipped == pytest.approx(case["metrics"]["actor/pg_clipfrac"], abs=1e-6)


@pytest.mark.parametrize("case", load("verl_agg_loss")["cases"], ids=lambda case: case["loss_agg_mode"])
def test_verl_aggregation(case: dict[str, Any]) -> None:
    inputs, kwargs = batch(case["inputs"]), case["kwargs"]
    aggregation, divisor, normaliser = verl_aggregation(case["loss_agg_mode"], inputs)
    divisor = float(kwargs.get("loss_scale_factor", divisor or 0)) or None
    ranks = kwargs.get("dp_size", 1)
    if case["loss_agg_mode"] != "token-sum":
        normaliser = Normaliser(
            sequences=kwargs.get("global_batch_size", normaliser.sequences),
            tokens=kwargs.get("batch_num_tokens", normaliser.tokens),
        )
    # Over ranks whose gradients are averaged: the mean count of a rank.
    normaliser = Normaliser(normaliser.sequences / ranks, normaliser.tokens / ranks)
    values = inputs.logprobs.clone().requires_grad_()
    loss = aggregate(
        values, inputs.mask, aggregation=aggregation, constant_divisor=divisor, normaliser=normaliser
    )  # fmt: skip
    loss.backward()
    atol = 1e-7 if aggregation == "sequence_mean" else 1e-12
    assert loss.item() == pytest.approx(case["loss_f64"], abs=atol)
    assert values.grad is not None
    assert_matches(values.grad, case["grad_f64"], atol)


@pytest.mark.parametrize("case", load("verl_kl")["cases"], ids=lambda case: f"{case['kind']}-{case['inputs']}")
def test_verl_kl(case: dict[str, Any]) -> None:
    inputs = batch(case["inputs"])
    estimator = {"kl": "k1", "mse": "k2", "low_var_kl": "k3"}.get(case["kind"], case["kind"])
    logprobs = inputs.logprobs.clone().requires_grad_()
    values = kl_estimate(logprobs, inputs.ref, estimator)
    assert_matches(values.detach(), case["value_f64"])
    (values * inputs.mask).sum().backward()
    assert logprobs.grad is not None
    assert_matches(logprobs.grad, case["grad_f64"])


def test_number_of_golden_cases() -> None:
    """A case that gets lost is noticed. What is left out, and why, stands in tests/golden/README.md."""
    counts = {name: len(load(name)["cases"]) for name in ("trl_loss", "verl_policy_loss", "verl_agg_loss", "verl_kl")}
    assert counts == {"trl_loss": 113, "verl_policy_loss": 105, "verl_agg_loss": 33, "verl_kl": 18}
