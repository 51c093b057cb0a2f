"""Per-step sample metrics, computed from traces (the trainer adds gradients, ratios, clipping, KL, tokens, seconds).

``METRIC_DOCS`` defines every name. A statistic with an empty denominator (for example, no wrong draft was shown) is
left out of a step, rather than reported as NaN or 0. Verdicts come from ``Score.correct``. None (unknown) is excluded
from the shares of right and wrong answers. Rewards come from ``Score.value``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from igrpo.metrics.judgements import JUDGEMENT_DOCS, judgement_metrics, put_mean
from igrpo.metrics.similarity import content_tokens, text_similarity
from igrpo.types import OUTCOMES, Cohort, Completion, Group, Outcome, Score, Trace

_STAGE_DOCS = {
    "entropy": "nats; entropy of the policy at temperature 1, mean over measured tokens of the stage (paper, Eq. 7)",
    "sampling_entropy": "nats; entropy of the distribution that was sampled from (temperature, top-k, top-p), likewise",
    "reward_mean": "reward; mean over the completions of the stage that have a score (none has: left out)",
    "reward_std": "reward; sample standard deviation (n-1) within a group, mean over the groups of at least two",
    "reward_best": "reward; the best of each group, mean over the groups",
    "reward_shown": "reward; the completions of the stage that the next prompt showed, mean",
    "accuracy": "share; right among the completions whose verdict is known",
    "length_mean": "tokens; completion length with its stop token, mean",
    "length_max": "tokens; the longest completion",
    "truncated_share": "share; completions that the token limit ended",
    "completions": "count; completions sampled in the stage",
}
_COPY_DOCS = {
    "answer_rate": "share; refinements whose extracted answer is that of the draft they saw (no answer: no copy)",
    "text_similarity": "0 to 1; 1 - Levenshtein distance / longer length, on tokens without the stop token (at most "
    "the first 4,096), mean over refinements",
    "exact_rate": "share; refinements that repeat the draft token by token",
}
_COPY_SPLITS = {"": "", "_given_right": ", of right drafts", "_given_wrong": ", of wrong drafts"}

#: One line per metric: unit; definition.
METRIC_DOCS: dict[str, str] = {
    **{f"stage{stage}/{name}": text for stage in (1, 2) for name, text in _STAGE_DOCS.items()},
    **{f"stage{stage}/outcome/{o}": f"share; completions scored '{o}'" for stage in (1, 2) for o in OUTCOMES},
    **{f"reward/outcome/{o}": f"share; completions of stages 1 and 2 scored '{o}'" for o in OUTCOMES},
    "transfer/lift": "reward; mean of the refinements minus mean of the drafts, mean over groups of refinements",
    "transfer/right_given_right": "share; right among the refinements (verdict known) that saw a right draft",
    "transfer/right_given_wrong": "share; right among the refinements (verdict known) that saw a wrong draft",
    "transfer/wrong_given_right": "share; wrong among the refinements (verdict known) that saw a right draft",
    **{f"copy/{n}{end}": text + of for n, text in _COPY_DOCS.items() for end, of in _COPY_SPLITS.items()},
    "groups/zero_variance_share": "share of trained groups of two or more; max - min of the rewards "
    "<= tolerance * max(1, |max|)",
    "groups/all_right_share": "share of trained groups of two or more; every completion is known to be right",
    "groups/all_wrong_share": "share of trained groups of two or more; every completion is known to be wrong",
    "drafts/all_failed_share": "share of questions with refinements; no draft is known to be right",
    "drafts/shown_share": "share of questions with refinements; the refinement prompt showed one",
    "drafts/cut_share": "share of shown drafts; their budget cut the middle out",
    **JUDGEMENT_DOCS,
}


@dataclass(frozen=True, slots=True)
class _Round:
    """A group of drafts and the group of refinements sampled after it."""

    drafts: Group
    refinements: Group

    @property
    def shown(self) -> tuple[Completion, Score] | None:
        """Draft (with its score) that the refinement prompt shows; the first choice if it shows several."""
        if not self.refinements.shown:
            return None
        index = self.refinements.shown[0]
        return self.drafts.completions[index], self.drafts.scores[index]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Refinement and the draft that its prompt showed."""

    draft: Completion
    draft_score: Score
    refinement: Completion
    refinement_score: Score


def step_metrics(traces_S: Sequence[Trace], *, variance_tolerance: float) -> dict[str, float]:
    """Return the metrics of a step that can be computed from its traces; ``METRIC_DOCS`` defines them.

    Args:
        traces_S: the S traces of one rollout cycle; with several rounds of refinement, each round counts.
        variance_tolerance: rewards of a group count as equal up to this difference, which is relative for rewards
            above 1.

    Raises:
        ValueError: no traces.
    """
    if not traces_S:
        raise ValueError("step_metrics got no traces: a step has at least one question")
    groups = [group for trace in traces_S for group in trace.groups]
    rounds = [_Round(*two) for trace in traces_S for two in _refined(trace) if all(group.completions for group in two)]
    pairs = _pairs(rounds)
    metrics: dict[str, float] = {}
    for stage in (1, 2):
        _put_stage(metrics, stage, [group for group in groups if group.stage == stage], rounds)
    _put_outcomes(metrics, "reward/outcome", [group for group in groups if group.stage != 3])
    put_mean(metrics, "transfer/lift", (fmean(r.refinements.rewards_G) - fmean(r.drafts.rewards_G) for r in rounds))
    _put_transfer(metrics, pairs)
    _put_copies(metrics, pairs)
    _put_groups(metrics, [c for trace in traces_S for c in trace.cohorts if len(c) > 1], variance_tolerance)
    _put_drafts(metrics, rounds)
    return metrics | judgement_metrics(traces_S)


def _refined(trace: Trace) -> Iterator[tuple[Group, Group]]:
    """Yield (drafts, refinements): each group of refinements, and the group from which its prompt may show drafts."""
    for index, group in enumerate(trace.groups):
        drafts = trace.drafts_of(index) if group.stage == 2 else None
        if drafts is not None:
            yield drafts, group


def has_no_variance(rewards_G: Sequence[float], tolerance: float) -> bool:
    """True if max == min up to the tolerance. (An exact test of the std fails for three rewards of 0.1.)"""
    return max(rewards_G) - min(rewards_G) <= tolerance * max(1.0, abs(max(rewards_G)))


def _pairs(rounds: Sequence[_Round]) -> list[_Pair]:
    pairs = []
    for r in rounds:
        if r.shown is not None:
            scored = zip(r.refinements.completions, r.refinements.scores, strict=True)
            pairs += [_Pair(*r.shown, completion, score) for completion, score in scored]
    return pairs


def _put_outcomes(metrics: dict[str, float], prefix: str, groups: Sequence[Group]) -> None:
    found: list[Outcome] = [score.outcome for group in groups for score in group.scores]
    found += ["unscored" for group in groups for _ in group.unscored]
    for outcome in OUTCOMES:
        put_mean(metrics, f"{prefix}/{outcome}", (one == outcome for one in found))


def _put_stage(metrics: dict[str, float], stage: int, groups: Sequence[Group], rounds: Sequence[_Round]) -> None:
    completions = [completion for group in groups for completion in group.completions + group.unscored]
    scores = [score for group in groups for score in group.scores]
    if not completions:
        return
    at = f"stage{stage}"
    lengths = [len(completion.token_ids) for completion in completions]
    put_mean(metrics, f"{at}/entropy", (h for c in completions for h in c.policy_entropies or ()))
    put_mean(metrics, f"{at}/sampling_entropy", (h for c in completions for h in c.sampling_entropies or ()))
    put_mean(metrics, f"{at}/reward_mean", (score.value for score in scores))
    put_mean(metrics, f"{at}/reward_std", (stdev(g.rewards_G) for g in groups if len(g.scores) > 1))
    put_mean(metrics, f"{at}/reward_best", (max(group.rewards_G) for group in groups if group.scores))
    put_mean(metrics, f"{at}/reward_shown", (r.shown[1].value for r in rounds if r.shown and r.drafts.stage == stage))
    put_mean(metrics, f"{at}/accuracy", (score.correct for score in scores if score.correct is not None))
    put_mean(metrics, f"{at}/length_mean", lengths)
    metrics[f"{at}/length_max"] = float(max(lengths))
    put_mean(metrics, f"{at}/truncated_share", (completion.truncated for completion in completions))
    metrics[f"{at}/completions"] = float(len(completions))
    _put_outcomes(metrics, f"{at}/outcome", groups)


def _put_transfer(metrics: dict[str, float], pairs: Sequence[_Pair]) -> None:
    for given, verdict in (("right", True), ("wrong", False)):
        after = [p.refinement_score.correct for p in pairs if p.draft_score.correct is verdict]
        known = [correct for correct in after if correct is not None]
        put_mean(metrics, f"transfer/right_given_{given}", known)
        if verdict:
            put_mean(metrics, "transfer/wrong_given_right", (not correct for correct in known))


def _put_copies(metrics: dict[str, float], pairs: Sequence[_Pair]) -> None:
    """Store the copy statistics, over all pairs and split by the draft's verdict.

    The answer rate is left out if no score has an answer, as with a reward that extracts none (a judge).
    """
    has_answers = any(p.draft_score.answer is not None or p.refinement_score.answer is not None for p in pairs)
    likeness = [text_similarity(p.draft, p.refinement) for p in pairs]
    for end, verdicts in (("", (True, False, None)), ("_given_right", (True,)), ("_given_wrong", (False,))):
        chosen = [(p, like) for p, like in zip(pairs, likeness, strict=True) if p.draft_score.correct in verdicts]
        if has_answers:
            put_mean(metrics, f"copy/answer_rate{end}", (_same_answer(p) for p, _ in chosen))
        put_mean(metrics, f"copy/text_similarity{end}", (like for _, like in chosen))
        exact = (content_tokens(p.draft) == content_tokens(p.refinement) for p, _ in chosen)
        put_mean(metrics, f"copy/exact_rate{end}", exact)


def _same_answer(pair: _Pair) -> bool:
    return pair.draft_score.answer is not None and pair.draft_score.answer == pair.refinement_score.answer


def _put_groups(metrics: dict[str, float], cohorts: Sequence[Cohort], tolerance: float) -> None:
    trained = [[lesson.score for lesson in cohort] for cohort in cohorts]
    same = (has_no_variance([score.value for score in scores], tolerance) for scores in trained)
    put_mean(metrics, "groups/zero_variance_share", same)
    if _any_verdict(trained):
        put_mean(metrics, "groups/all_right_share", (all(s.correct is True for s in scores) for scores in trained))
        put_mean(metrics, "groups/all_wrong_share", (all(s.correct is False for s in scores) for scores in trained))


def _put_drafts(metrics: dict[str, float], rounds: Sequence[_Round]) -> None:
    if _any_verdict([r.drafts.scores for r in rounds]):
        failed = (all(score.correct is not True for score in r.drafts.scores) for r in rounds)
        put_mean(metrics, "drafts/all_failed_share", failed)
    put_mean(metrics, "drafts/shown_share", (r.shown is not None for r in rounds))
    put_mean(metrics, "drafts/cut_share", (r.refinements.prompt.draft_tokens_cut > 0 for r in rounds if r.shown))


def _any_verdict(groups: Sequence[Sequence[Score]]) -> bool:
    """True if there is at least one verdict. Without any, an 'all failed' share would be meaningless."""
    return any(score.correct is not None for scores in groups for score in scores)
