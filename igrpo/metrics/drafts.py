"""Per-step metrics of the drafts that refinements saw, and of what became of them: transfer and copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from igrpo.metrics.means import put_mean
from igrpo.metrics.similarity import content_tokens, text_similarity
from igrpo.types import ANSWER_ROLES, Rollout, Sample, Score, scored, scores


@dataclass(frozen=True, slots=True)
class _Round:
    """Refinements of one sampling round, the samples that their prompt could show, and the first that it shows.

    Samples without a score are left out.
    """

    candidates: tuple[Sample, ...]
    refinements: tuple[Sample, ...]
    shown: Sample | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Refinement and the draft that its prompt showed, with their scores."""

    draft: Sample
    draft_score: Score
    refinement: Sample
    score: Score


def draft_metrics(rollouts_S: Sequence[Rollout]) -> dict[str, float]:
    """Return the metrics of drafts and refinements; `igrpo.metrics.definitions` defines them. Every round counts."""
    rounds = [one for rollout in rollouts_S for one in _rounds(rollout) if one.candidates and one.refinements]
    pairs = [
        _Pair(one.shown, one.shown.score, refinement, refinement.score)
        for one in rounds
        for refinement in one.refinements
        if one.shown is not None and one.shown.score is not None and refinement.score is not None
    ]
    metrics: dict[str, float] = {}
    put_mean(metrics, "transfer/lift", (_mean(one.refinements) - _mean(one.candidates) for one in rounds))
    _put_transfer(metrics, pairs)
    _put_copies(metrics, pairs)
    _put_drafts(metrics, rounds)
    return metrics


def _rounds(rollout: Rollout) -> list[_Round]:
    return [
        _Round(scored(rollout.candidates(samples[0])), scored(samples), rollout.shown(samples[0]))
        for samples in rollout.rounds
        if samples[0].role == "refinement"
    ]


def _mean(samples: Sequence[Sample]) -> float:
    return fmean(score.value for score in scores(samples))


def _put_transfer(metrics: dict[str, float], pairs: Sequence[_Pair]) -> None:
    for given, verdict in (("right", True), ("wrong", False)):
        after = [pair.score.correct for pair in pairs if pair.draft_score.correct is verdict]
        known = [correct for correct in after if correct is not None]
        put_mean(metrics, f"transfer/right_given_{given}", known)
        if verdict:
            put_mean(metrics, "transfer/wrong_given_right", (not correct for correct in known))


def _put_copies(metrics: dict[str, float], pairs: Sequence[_Pair]) -> None:
    """Store the copy statistics, over all pairs and split by the draft's verdict.

    The answer rate is left out if no score has an answer, as with a reward that extracts none (a judge).
    """
    has_answers = any(pair.draft_score.answer is not None or pair.score.answer is not None for pair in pairs)
    likeness = [text_similarity(pair.draft.completion, pair.refinement.completion) for pair in pairs]
    for end, verdicts in (("", (True, False, None)), ("_given_right", (True,)), ("_given_wrong", (False,))):
        chosen = [(p, like) for p, like in zip(pairs, likeness, strict=True) if p.draft_score.correct in verdicts]
        if has_answers:
            put_mean(metrics, f"copy/answer_rate{end}", (_same_answer(pair) for pair, _ in chosen))
        put_mean(metrics, f"copy/text_similarity{end}", (like for _, like in chosen))
        put_mean(metrics, f"copy/exact_rate{end}", (_same_text(pair) for pair, _ in chosen))


def _same_answer(pair: _Pair) -> bool:
    return pair.draft_score.answer is not None and pair.draft_score.answer == pair.score.answer


def _same_text(pair: _Pair) -> bool:
    return content_tokens(pair.draft.completion) == content_tokens(pair.refinement.completion)


def _put_drafts(metrics: dict[str, float], rounds: Sequence[_Round]) -> None:
    for role in ANSWER_ROLES:
        shown = [one.shown for one in rounds if one.shown is not None and one.shown.role == role]
        put_mean(metrics, f"{role}/reward_shown", (score.value for score in scores(shown)))
    verdicts = [[score.correct for score in scores(one.candidates)] for one in rounds]
    if any(correct is not None for of_round in verdicts for correct in of_round):  # else the share would mean nothing
        put_mean(metrics, "draft/all_failed_share", (True not in of_round for of_round in verdicts))
    put_mean(metrics, "draft/shown_share", (one.shown is not None for one in rounds))
    shown_rounds = [one for one in rounds if one.shown is not None]
    put_mean(metrics, "draft/cut_share", (one.refinements[0].prompt.draft_tokens_cut > 0 for one in shown_rounds))
