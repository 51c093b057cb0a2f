"""Which conditions cannot differ but by chance: their settings give the same gradients, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from igrpo.config.parts.algorithm import AlgorithmConfig
from igrpo.config.parts.reward import RewardConfig
from igrpo.report.conditions import compared_settings, drafts, group_size

_Config = dict[str, Any]

_ALGORITHM: TypeAdapter[AlgorithmConfig] = TypeAdapter(AlgorithmConfig)
_REWARD: TypeAdapter[RewardConfig] = TypeAdapter(RewardConfig)


@dataclass(frozen=True, slots=True)
class _Rule:
    """``apply`` writes one form over all those that give the same gradients; ``reason`` says why they do."""

    reason: str
    apply: Callable[[_Config], None]


def identical_by_construction(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """Why two resolved configurations train alike, as far as the expectation goes; None where they can differ.

    Seeds and settings that only cost (``conditions.compared_settings``) are left out of account.
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
    del copy["objective"]["name"]  # its settings say it all
    return compared_settings(copy)


def _without_drafts(config: _Config) -> None:
    algorithm = config["algorithm"]
    if algorithm["name"] not in {"grpo", "igrpo"}:
        return
    plain = algorithm.get("rounds", 1) == 1 and algorithm.get("train_on", ["refine"]) == ["refine"]
    if drafts(config) == 0 or (algorithm["selection"] == "none" and plain and not algorithm.get("bare_fraction")):
        answers = group_size(config)
        config |= {"algorithm": {"name": "grpo", "answers": answers}, "completions_per_question": answers}


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
    algorithm = config["algorithm"]
    if "internalize" not in algorithm.get("train_on", ["internalize"]):
        algorithm.pop("transfer", None)


def _controls_entropy(objective: _Config) -> bool:
    return objective.get("entropy_control", {}).get("target") is not None


def _up_to_a_factor(config: _Config) -> None:
    """Only where nothing else weighs against the surrogate, and where all groups are of one size as to the baseline."""
    objective = config["objective"]
    of_one_size = _groups_of_one_size(config)
    if objective["kl_beta"] == 0 and objective["entropy_bonus"] == 0 and not _controls_entropy(objective):
        if objective["advantage"]["baseline"] != "none" and of_one_size:
            objective["advantage"]["baseline"] = "any"  # leave-one-out: G / (G - 1) times the group mean's advantages
        if objective["aggregation"] == "constant":
            objective["constant_divisor"] = 1.0
        if objective["advantage"]["std_eps"] == 0 and of_one_size:
            objective["advantage"]["std"] = "any"


def learns_from_drafts(config: Mapping[str, Any]) -> bool:
    """Tell if completions are trained that were sampled from a prompt with a draft, as far as the settings are known:
    those of another version may say nothing certain."""
    try:
        return _ALGORITHM.validate_python(config["algorithm"]).learns_from_drafts
    except ValidationError:
        return False


def _groups_of_one_size(config: _Config) -> bool:
    """Tell if every group has as many completions, in all steps. The factors G / (G - 1) differ from group to group
    where drafts and refinements, or some questions and others, have groups of their own size, and where the reward may
    leave completions without a score."""
    try:
        algorithm = _ALGORITHM.validate_python(config["algorithm"])
        reward = _REWARD.validate_python(config["reward"])
    except ValidationError:  # another version wrote the run, and its settings say nothing certain
        return False
    return reward.scores_all and len(algorithm.cohorts(config["completions_per_question"])) == 1


_RULES = [
    _Rule("no draft is ever shown, so that iGRPO trains as GRPO does on as many answers", _without_drafts),
    _Rule(
        "with one update a step the ratio is 1: clipping, surrogate and level of the ratio change no gradient",
        _one_update,
    ),
    _Rule(
        "the gradients differ by a constant factor (leave-one-out baseline, kind of standard deviation, divisor), "
        "which AdamW takes out but for gradient clipping",
        _up_to_a_factor,
    ),
    _Rule("what differs is not used", _inert),  # the last: it takes settings away that the others read
]
