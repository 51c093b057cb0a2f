"""Per-step metrics of judgements (stage 3): critiques, and verifications of earlier answers.

A judgement is not an answer and is excluded from the statistics of stages 1 and 2. As in `igrpo.metrics.samples`, a
statistic with an empty denominator is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from igrpo.types import Completion, Group, Score, Trace

_EACH = {
    "entropy": "nats; entropy of the policy at temperature 1, mean over measured tokens",
    "length_mean": "tokens; length with its stop token, mean",
    "truncated_share": "share; ended by the token limit",
    "completions": "count; sampled in the step",
}

JUDGEMENT_DOCS: dict[str, str] = {
    **{f"critique/{name}": f"{text}, of critiques" for name, text in _EACH.items()},
    "critique/asked_share": "share of questions; no first answer was known to be right, so that critiques were asked",
    "critique/right_share": "share; right among the refinements after a critique (verdict known)",
    "critique/kept_right_share": "share; right among those of them that are trained (verdict known)",
    **{f"verify/{name}": f"{text}, of verifications" for name, text in _EACH.items()},
    "verify/accuracy": "share; verifications whose verdict about the earlier answer is right",
    "verify/accuracy_given_right": "share; likewise, where the earlier answer is right",
    "verify/accuracy_given_wrong": "share; likewise, where it is wrong",
    "verify/said_right_share": "share; verdicts that call the answer right, among those that can be read",
    "verify/unparsable_share": "share; verifications without a verdict that can be read (they are no right verdict)",
    "verify/right_share": "share of verified answers; right, by the reward's word when they were sampled",
    "verify/asked_share": "share of questions; an earlier answer was verified beside them (the buffer was not empty)",
}


def judgement_metrics(traces_S: Sequence[Trace]) -> dict[str, float]:
    """Return the metrics defined in ``JUDGEMENT_DOCS``; empty for algorithms without judgements."""
    groups = [group for trace in traces_S for group in trace.groups if group.stage == 3]
    verified = [group for group in groups if group.verified is not None]
    criticised = [trace for trace in traces_S if any(g.stage == 3 and g.verified is None for g in trace.groups)]
    metrics: dict[str, float] = {}
    if criticised:
        _put_each(metrics, "critique", [c for group in groups if group.verified is None for c in group.unscored])
        metrics["critique/asked_share"] = len(criticised) / len(traces_S)
        refined = [s for trace in criticised for group in trace.groups if group.stage == 2 for s in group.scores]
        kept = [one.score for trace in criticised for cohort in trace.lessons for one in cohort if one.transferred]
        put_mean(metrics, "critique/right_share", (s.correct for s in refined if s.correct is not None))
        put_mean(metrics, "critique/kept_right_share", (s.correct for s in kept if s.correct is not None))
    if verified:
        _put_each(metrics, "verify", [completion for group in verified for completion in group.completions])
        metrics["verify/asked_share"] = sum(_verifies(trace) for trace in traces_S) / len(traces_S)
        _put_verdicts(metrics, verified)
    return metrics


def _put_verdicts(metrics: dict[str, float], groups: Sequence[Group]) -> None:
    scored: list[tuple[bool, Score]] = []
    for group in groups:
        assert group.verified is not None
        scored += [(group.verified.correct, score) for score in group.scores]
    put_mean(metrics, "verify/accuracy", (score.correct is True for _, score in scored))
    for name, truth in (("right", True), ("wrong", False)):
        given = (score.correct is True for correct, score in scored if correct is truth)
        put_mean(metrics, f"verify/accuracy_given_{name}", given)
    said = [score.answer for _, score in scored if score.answer is not None]
    put_mean(metrics, "verify/said_right_share", (word == "right" for word in said))
    put_mean(metrics, "verify/unparsable_share", (score.outcome == "unparsable" for _, score in scored))
    put_mean(metrics, "verify/right_share", (g.verified is not None and g.verified.correct for g in groups))


def _put_each(metrics: dict[str, float], at: str, completions: Sequence[Completion]) -> None:
    put_mean(metrics, f"{at}/entropy", (h for c in completions for h in c.policy_entropies or ()))
    put_mean(metrics, f"{at}/length_mean", (len(c.token_ids) for c in completions))
    put_mean(metrics, f"{at}/truncated_share", (c.truncated for c in completions))
    metrics[f"{at}/completions"] = float(len(completions))


def put_mean(metrics: dict[str, float], name: str, values: Iterable[float]) -> None:
    """Store the mean of the values under ``name``. Store nothing if there are no values."""
    listed = list(values)
    if listed:
        metrics[name] = fmean(listed)


def _verifies(trace: Trace) -> bool:
    return any(group.verified is not None for group in trace.groups)
