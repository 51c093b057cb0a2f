"""Per-step metrics of the samples of each role: entropies, rewards, lengths, outcomes; critiques and verifications."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import stdev

from igrpo.metrics.means import put_mean
from igrpo.types import ANSWER_ROLES, OUTCOMES, ROLES, Outcome, Role, Rollout, Sample, scored, scores


def role_metrics(rollouts_S: Sequence[Rollout]) -> dict[str, float]:
    """Return the metrics of all roles that were sampled; `igrpo.metrics.definitions` defines them."""
    metrics: dict[str, float] = {}
    for role in ROLES:
        _put_role(metrics, role, rollouts_S)
    _put_outcomes(metrics, "reward/outcome", [s for rollout in rollouts_S for s in rollout.of(*ANSWER_ROLES)])
    _put_critiques(metrics, rollouts_S)
    _put_verifications(metrics, rollouts_S)
    return metrics


def _put_role(metrics: dict[str, float], role: Role, rollouts_S: Sequence[Rollout]) -> None:
    rounds = [samples for rollout in rollouts_S for samples in rollout.rounds if samples[0].role == role]
    samples = [sample for of_round in rounds for sample in of_round]
    if not samples:
        return
    completions = [sample.completion for sample in samples]
    rewards = [[score.value for score in scores(of_round)] for of_round in rounds]
    lengths = [len(completion.token_ids) for completion in completions]
    put_mean(metrics, f"{role}/entropy", (h for c in completions for h in c.policy_entropies or ()))
    put_mean(metrics, f"{role}/sampling_entropy", (h for c in completions for h in c.sampling_entropies or ()))
    put_mean(metrics, f"{role}/reward_mean", (reward for of_round in rewards for reward in of_round))
    put_mean(metrics, f"{role}/reward_std", (stdev(of_round) for of_round in rewards if len(of_round) > 1))
    put_mean(metrics, f"{role}/reward_best", (max(of_round) for of_round in rewards if of_round))
    put_mean(metrics, f"{role}/accuracy", _verdicts(samples))
    put_mean(metrics, f"{role}/length_mean", lengths)
    metrics[f"{role}/length_max"] = float(max(lengths))
    put_mean(metrics, f"{role}/truncated_share", (completion.truncated for completion in completions))
    metrics[f"{role}/completions"] = float(len(completions))
    if role in ANSWER_ROLES:
        _put_outcomes(metrics, f"{role}/outcome", samples)


def _put_outcomes(metrics: dict[str, float], prefix: str, samples: Sequence[Sample]) -> None:
    found: list[Outcome] = ["unscored" if sample.score is None else sample.score.outcome for sample in samples]
    for outcome in OUTCOMES:
        put_mean(metrics, f"{prefix}/{outcome}", (one == outcome for one in found))


def _put_critiques(metrics: dict[str, float], rollouts_S: Sequence[Rollout]) -> None:
    criticised = [rollout for rollout in rollouts_S if rollout.of("critique")]
    if not criticised:
        return
    metrics["critique/asked_share"] = len(criticised) / len(rollouts_S)
    refined = [(sample, rollout.trained_ids) for rollout in criticised for sample in rollout.of("refinement")]
    put_mean(metrics, "critique/right_share", _verdicts(sample for sample, _ in refined))
    put_mean(metrics, "critique/kept_right_share", _verdicts(sample for sample, ids in refined if sample.id in ids))


def _put_verifications(metrics: dict[str, float], rollouts_S: Sequence[Rollout]) -> None:
    verifying = [rollout for rollout in rollouts_S if rollout.of("verification")]
    if not verifying:
        return
    metrics["verification/asked_share"] = len(verifying) / len(rollouts_S)
    truths = [rollout.of("verification")[0].verified for rollout in verifying]
    put_mean(metrics, "verification/right_share", (truth.correct for truth in truths if truth is not None))
    samples = [sample for rollout in verifying for sample in scored(rollout.of("verification"))]
    for name, truth in (("right", True), ("wrong", False)):
        given = [sample for sample in samples if sample.verified is not None and sample.verified.correct is truth]
        put_mean(metrics, f"verification/accuracy_given_{name}", _verdicts(given))
    said = [score.answer for score in scores(samples) if score.answer is not None]
    put_mean(metrics, "verification/said_right_share", (word == "right" for word in said))
    put_mean(metrics, "verification/unparsable_share", (score.outcome == "unparsable" for score in scores(samples)))


def _verdicts(samples: Iterable[Sample]) -> list[bool]:
    """Return the known verdicts of the samples."""
    return [score.correct for score in scores(samples) if score.correct is not None]
