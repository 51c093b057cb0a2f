"""Conversion of rollouts to plain values: lines of the rollout log, and rows of the table of sampled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from igrpo.runs.strict_json import encode_number
from igrpo.types import Rollout, Sample, Score, TrainingGroup, scored, scores


def rollout_line(step: int, rollout: Rollout) -> dict[str, Any]:
    """Return a line of the rollout log, with everything about one question in one step.

    Log-probs have nine digits, which is exact for float32. Entropies are means over the completion's tokens (nats; null
    if there are none).
    """
    return {
        "step": step,
        "question": asdict(rollout.question),
        "attempt": rollout.attempt,
        "dropped": rollout.dropped,
        "samples": [_sample(sample) for sample in rollout.samples],
        "groups": [_group(group) for group in rollout.groups],
    }


def table_row(rollout: Rollout) -> dict[str, Any]:
    """Return a row of the table of samples: a question's drafts with scores, the draft shown, the last refinements.

    For an algorithm without refinements, ``drafts`` are the answers. If several drafts are refined separately
    (Critique-GRPO), the draft of the last refinement is given, and the refinements of all.
    """
    refined = [samples for samples in rollout.rounds if samples[0].role == "refinement"]
    source = rollout.candidates(refined[-1][0]) if refined else ()
    last = [sample for samples in refined if rollout.candidates(samples[0]) == source for sample in samples]
    shown = rollout.shown(last[-1]) if last else None
    drafts = rollout.of("draft") or rollout.of("answer")
    return {
        "question": rollout.question.problem,
        "gold": rollout.question.answer,
        "drafts": _texts(drafts),
        "draft_scores": _values(drafts),
        "best_draft": None if shown is None else shown.completion.text,
        "refinements": _texts(last),
        "refinement_scores": _values(last),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    prompt, completion = sample.prompt, sample.completion
    return {
        "id": list(sample.id),
        "role": sample.role,
        "context": [list(shown) for shown in sample.context],
        "verified": None if sample.verified is None else asdict(sample.verified),
        "prompt_tokens": len(prompt.token_ids),
        "draft_tokens": prompt.draft_tokens,
        "draft_tokens_cut": prompt.draft_tokens_cut,
        "critique_tokens": prompt.critique_tokens,
        "text": completion.text,
        "token_ids": list(completion.token_ids),
        "logprobs": [encode_number(float(f"{value:.9g}")) for value in completion.logprobs],
        "sampling_entropy": _mean(completion.sampling_entropies),
        "policy_entropy": _mean(completion.policy_entropies),
        "finish_reason": completion.finish_reason,
        "policy_version": completion.policy_version,
        "score": None if sample.score is None else _score(sample.score),
    }


def _group(group: TrainingGroup) -> dict[str, Any]:
    """Convert a training group; ``prompt_tokens`` is null if its samples are trained given their own prompts."""
    return {
        "samples": [list(sample.id) for sample in group.samples],
        "prompt_tokens": None if group.prompt is None else len(group.prompt.token_ids),
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": encode_number(score.value),
        "correct": score.correct,
        "outcome": score.outcome,
        "answer": score.answer,
        "parts": {name: encode_number(value) for name, value in score.parts.items()},
    }


def _mean(values: Sequence[float] | None) -> float | str | None:
    return encode_number(sum(values) / len(values)) if values else None


def _texts(samples: Sequence[Sample]) -> list[str]:
    return [sample.completion.text for sample in scored(samples)]


def _values(samples: Sequence[Sample]) -> list[float | str]:
    return [encode_number(score.value) for score in scores(samples)]
