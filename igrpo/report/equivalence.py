"""Detection of conditions that can differ only by chance, since their settings give the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from igrpo.algorithms.base import Algorithm
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.registry import AlgorithmConfig
from igrpo.report.conditions import compared_settings
from igrpo.settings.reward import RewardConfig

_Config = dict[str, Any]

#: Settings of the objective that add no term to the loss. A setting that is not listed here, such as a new coefficient,
#: is taken to add one unless it is 0 or None, so that no two losses are called equal by mistake.
_SURROGATE = {
    *("name", "advantage", "ratio", "surrogate", "clip_low", "clip_high", "aggregation", "constant_divisor"),
    *("kl_estimator", "mask_truncated", "overlong_buffer"),
}

_ALGORITHM: TypeAdapter[AlgorithmConfig] = TypeAdapter(AlgorithmConfig)
_REWARD: TypeAdapter[RewardConfig] = TypeAdapter(RewardConfig)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Equivalence between settings. ``apply`` rewrites equivalent settings to one form; ``reason`` explains why."""

    reason: str
    apply: Callable[[_Config], None]


def identical_by_construction(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """Return the reason why two resolved configurations train identically in expectation; None if they can differ.

    Seeds, and settings that do not affect training (see ``conditions.compared_settings``), are ignored.
    """
    if not _same(first, second, _RULES):
        return None
    needed = [rule.reason for rule in _RULES if not _same(first, second, [r for r in _RULES if r is not rule])]
    return "; ".join(needed) or "the same settings under two names"


def _same(first: Mapping[str, Any], second: Mapping[str, Any], rules: list[_Rule]) -> bool:
    return _form(first, rules) == _form(second, rules)


def _form(config: Mapping[str, Any], rules: list[_Rule]) -> dict[str, str]:
    copy = deepcopy(dict(config))
    for rule in rules:
        rule.apply(copy)
    del copy["objective"]["name"]  # the other settings of the objective define it fully
    return compared_settings(copy)


def _without_drafts(config: _Config) -> None:
    algorithm = _algorithm(config)
    if algorithm is None:
        return
    answers = algorithm.plain_answers(int(config["completions_per_question"]))
    if answers is not None:
        same = GRPO(name="grpo", answers=answers)
        config |= {"algorithm": same.model_dump(), "completions_per_question": answers}


def _one_update(config: _Config) -> None:
    if config["trainer"]["epochs"] * config["trainer"]["minibatches"] == 1:
        config["objective"] |= {"ratio": "any", "surrogate": "any", "clip_low": None, "clip_high": None}


def _inert(config: _Config) -> None:
    objective = config["objective"]
    if objective["kl_beta"] == 0:
        objective["kl_estimator"] = "any"
    if "entropy_control" in objective and not _controls_entropy(objective):
        objective["entropy_control"] = {"target": None}
    if objective["advantage"]["scale"] == "none":
        objective["advantage"] |= {"std": "any", "std_eps": 0.0}
    algorithm = _algorithm(config)
    if algorithm is not None and algorithm.transferring is None:
        config["algorithm"].pop("transfer", None)


def _controls_entropy(objective: _Config) -> bool:
    return objective.get("entropy_control", {}).get("target") is not None


def _has_other_terms(objective: _Config) -> bool:
    """True if the loss may have a term besides the surrogate: any setting that is not in ``_SURROGATE`` is on."""
    others = objective.keys() - _SURROGATE - {"entropy_control"}
    return _controls_entropy(objective) or any(objective[name] for name in others)


def _up_to_a_factor(config: _Config) -> None:
    """Unify settings that only scale the gradient.

    This is valid only if the loss has no term besides the surrogate. The settings of the advantage also need groups of
    one size.
    """
    objective = config["objective"]
    of_one_size = _groups_of_one_size(config)
    if not _has_other_terms(objective):
        if objective["advantage"]["baseline"] != "none" and of_one_size:
            objective["advantage"]["baseline"] = "any"  # leave-one-out: G / (G - 1) times the group mean's advantages
        if objective["aggregation"] == "constant":
            objective["constant_divisor"] = 1.0
        if objective["advantage"]["std_eps"] == 0 and of_one_size:
            objective["advantage"]["std"] = "any"


def learns_from_drafts(config: Mapping[str, Any]) -> bool:
    """True if completions sampled from a prompt with a draft are trained.

    False if the settings cannot be read, for example those of another version.
    """
    algorithm = _algorithm(config)
    return algorithm is not None and algorithm.plan(int(config["completions_per_question"])).learns_from_drafts


def _algorithm(config: Mapping[str, Any]) -> Algorithm | None:
    """Return the algorithm of a run; None if its settings cannot be read, for example those of another version."""
    try:
        return _ALGORITHM.validate_python(config["algorithm"])
    except ValidationError:
        return None


def _groups_of_one_size(config: _Config) -> bool:
    """True if every group has the same number of completions in all steps.

    Otherwise the factors G / (G - 1) differ between groups. This happens where drafts and refinements, or different
    questions, have groups of different sizes, and where the reward may leave completions without a score.
    """
    algorithm = _algorithm(config)
    try:
        reward = _REWARD.validate_python(config["reward"])
    except ValidationError:  # settings written by another version
        return False
    if algorithm is None or not reward.scores_all:
        return False
    return len(algorithm.plan(int(config["completions_per_question"])).group_sizes) == 1


_RULES = [
    _Rule("no draft is ever shown, so that iGRPO trains as GRPO does on as many answers", _without_drafts),
    _Rule(
        "with one update per step the ratio is 1: clipping, surrogate and level of the ratio change no gradient",
        _one_update,
    ),
    _Rule(
        "the gradients differ by a constant factor (leave-one-out baseline, kind of standard deviation, divisor), "
        "which AdamW cancels except for gradient clipping",
        _up_to_a_factor,
    ),
    _Rule("the settings that differ are not used", _inert),  # last, since it removes settings that the other rules read
]
