"""Per-step metrics of what is trained: by role for the alarms, in total for a comparison of algorithms, and by group.

A sample is trained if it is in a training group, as an answer to its own prompt or to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from igrpo.losses.advantages import has_variance
from igrpo.metrics.means import put_mean
from igrpo.rewards.math.last_step import answer_differs
from igrpo.types import ANSWER_ROLES, ROLES, Role, Rollout, Sample, Score, scores

DIFFERS = "answers/differ_from_last_step_share"


def trained_samples(rollout: Rollout) -> list[Sample]:
    """Return the samples of a question that are trained, each once, in sampling order."""
    trained = rollout.trained_ids
    return [sample for sample in rollout.samples if sample.id in trained]


def trained_metrics(rollouts_S: Sequence[Rollout]) -> dict[str, float]:
    """Return the reward and entropy of the samples that are trained, without those of dropped questions.

    The reward is that of the samples that answer the question. A verification is not among them.
    """
    metrics: dict[str, float] = {}
    samples = [sample for rollout in rollouts_S if rollout.dropped is None for sample in trained_samples(rollout)]
    answers = [sample for sample in samples if sample.role in ANSWER_ROLES]
    put_mean(metrics, "train/reward", (score.value for score in scores(answers)))
    put_mean(metrics, "train/entropy", (h for sample in samples for h in sample.completion.policy_entropies or ()))
    return metrics


def group_metrics(rollouts_S: Sequence[Rollout], *, tolerance: float) -> dict[str, float]:
    """Return the shares of training groups of two or more samples without variance, all right and all wrong."""
    metrics: dict[str, float] = {}
    groups = [group.scores_G for rollout in rollouts_S for group in rollout.groups if len(group.samples) > 1]
    put_mean(metrics, "groups/zero_variance_share", (not scores_vary(scores_G, tolerance) for scores_G in groups))
    if any(score.correct is not None for scores_G in groups for score in scores_G):
        put_mean(metrics, "groups/all_right_share", (_all(scores_G, correct=True) for scores_G in groups))
        put_mean(metrics, "groups/all_wrong_share", (_all(scores_G, correct=False) for scores_G in groups))
    return metrics


def scores_vary(scores_G: Sequence[Score], tolerance: float) -> bool:
    """True if the values of the scores have variance, by the test that decides about advantages."""
    values_G = torch.tensor([score.value for score in scores_G], dtype=torch.float64)
    return bool(has_variance(values_G, tolerance))


def _all(scores_G: Sequence[Score], *, correct: bool) -> bool:
    return all(score.correct is correct for score in scores_G)


@dataclass(frozen=True, slots=True)
class TrainedRole:
    """Metrics of the trained samples of one role in one step (None: not measured)."""

    share: float
    reward: float | None
    entropy: float | None
    length: float | None
    differs: float | None


def trained_role_metrics(rollouts_S: Sequence[Rollout]) -> dict[str, float]:
    """Return the metrics of trained samples by role, ``trained/ROLE/NAME``, and ``DIFFERS`` of all of them.

    Samples of questions that dynamic sampling dropped are included. Means are over one role, so that a step with
    refinements and a step without them remain comparable.
    """
    metrics: dict[str, float] = {}
    trained_S = [trained_samples(rollout) for rollout in rollouts_S]
    all_differ: list[bool] = []
    for role in ROLES:
        of_role_S = [[sample for sample in trained if sample.role == role] for trained in trained_S]
        samples = [sample for of_role in of_role_S for sample in of_role]
        if not samples:
            continue
        completions = [sample.completion for sample in samples]
        # None: there are no two numbers to compare in this completion
        differ = [differs for c in completions if (differs := answer_differs(c.text)) is not None]
        at = f"trained/{role}"
        metrics[f"{at}/questions_share"] = fmean(bool(of_role) for of_role in of_role_S)
        put_mean(metrics, f"{at}/reward_mean", (score.value for score in scores(samples)))
        put_mean(metrics, f"{at}/entropy", (h for c in completions for h in c.policy_entropies or ()))
        put_mean(metrics, f"{at}/length_mean", (len(c.token_ids) for c in completions))
        put_mean(metrics, f"{at}/differ_from_last_step_share", differ)
        all_differ += differ
    put_mean(metrics, DIFFERS, all_differ)
    return metrics


def read_trained_roles(metrics: Mapping[str, float]) -> dict[Role, TrainedRole]:
    """Return the metrics by role, read from a line of metrics.jsonl."""
    return {
        role: TrainedRole(
            share,
            metrics.get(f"trained/{role}/reward_mean"),
            metrics.get(f"trained/{role}/entropy"),
            metrics.get(f"trained/{role}/length_mean"),
            metrics.get(f"trained/{role}/differ_from_last_step_share"),
        )
        for role in ROLES
        if (share := metrics.get(f"trained/{role}/questions_share")) is not None
    }
