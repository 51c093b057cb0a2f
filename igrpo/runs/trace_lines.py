"""Conversion of traces to plain values: lines of the rollout log, and rows of the table of sampled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from igrpo.runs.strict_json import encode_number
from igrpo.types import Completion, Group, Lesson, Question, Score, Trace


def trace_line(step: int, trace: Trace) -> dict[str, Any]:
    """Return a line of the rollout log, with everything about one question in one step.

    Log-probs have nine digits, which is exact for float32. Entropies are means over the completion's tokens (nats; null
    if there are none).
    """
    return {
        "step": step,
        "question": _question(trace.question),
        "attempt": trace.attempt,
        "dropped": trace.dropped,
        "groups": [_group(group) for group in trace.groups],
        "lessons": [[_lesson(lesson) for lesson in cohort] for cohort in trace.lessons],
    }


def table_row(trace: Trace) -> dict[str, Any]:
    """Return a row of the table of samples: a question's drafts with scores, the draft shown, the last refinements.

    For an algorithm without refinements, ``drafts`` are the completions of the first group. If several drafts are
    refined separately (Critique-GRPO), the draft of the last refinement is given.
    """
    drafts = trace.stage(1)
    refined = [index for index, group in enumerate(trace.groups) if group.stage == 2]
    source = trace.drafts_of(refined[-1]) if refined else None
    last = [trace.groups[index] for index in refined if trace.drafts_of(index) is source]
    best = source.completions[last[-1].shown[0]].text if source is not None and last[-1].shown else None
    return {
        "question": trace.question.problem,
        "gold": trace.question.answer,
        "drafts": _texts(drafts),
        "draft_scores": _values(drafts),
        "best_draft": best,
        "refinements": [text for group in last for text in _texts(group)],
        "refinement_scores": [value for group in last for value in _values(group)],
    }


def _question(question: Question) -> dict[str, Any]:
    return {"id": question.id, "problem": question.problem, "answer": question.answer}


def _group(group: Group) -> dict[str, Any]:
    return {
        "stage": group.stage,
        "trained": group.trained,
        "shown": list(group.shown),
        "shown_from": group.shown_from,
        "verified": None if group.verified is None else asdict(group.verified),
        "prompt_tokens": len(group.prompt.token_ids),
        "draft_tokens": group.prompt.draft_tokens,
        "draft_tokens_cut": group.prompt.draft_tokens_cut,
        "critique_tokens": group.prompt.critique_tokens,
        "completions": [
            _completion(completion) | {"score": _score(score)}
            for completion, score in zip(group.completions, group.scores, strict=True)
        ],
        "unscored": [_completion(completion) for completion in group.unscored],
    }


def _lesson(lesson: Lesson) -> dict[str, Any]:
    """Convert a lesson: a completion that is trained as an answer to the bare question, with a separate baseline."""
    return {
        "text": lesson.completion.text,
        "prompt_tokens": len(lesson.prompt.token_ids),
        "transferred": lesson.transferred,
        "value": encode_number(lesson.score.value),
    }


def _completion(completion: Completion) -> dict[str, Any]:
    return {
        "text": completion.text,
        "token_ids": list(completion.token_ids),
        "logprobs": [encode_number(float(f"{value:.9g}")) for value in completion.logprobs],
        "sampling_entropy": _mean(completion.sampling_entropies),
        "policy_entropy": _mean(completion.policy_entropies),
        "finish_reason": completion.finish_reason,
        "policy_version": completion.policy_version,
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


def _texts(group: Group | None) -> list[str]:
    return [completion.text for completion in group.completions] if group else []


def _values(group: Group | None) -> list[float | str]:
    return [encode_number(score.value) for score in group.scores] if group else []
