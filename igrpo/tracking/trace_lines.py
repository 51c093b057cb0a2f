"""Traces as plain values: a line of the rollout log, and a row of the table of sampled questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from igrpo.tracking.strict_json import encode_number
from igrpo.types import Completion, Group, Question, Score, Trace


def trace_line(step: int, trace: Trace) -> dict[str, Any]:
    """Everything that happened to one question in one step.

    Log-probs are printed with nine digits: read back as float32 they are the same bits. Entropies are means over the
    completion's tokens (nats; null when it has none).
    """
    return {
        "step": step,
        "question": _question(trace.question),
        "groups": [_group(group) for group in trace.groups],
    }


def table_row(trace: Trace) -> dict[str, Any]:
    """One question for the table of samples: its drafts with their scores, the draft shown, the last refinements.

    For an algorithm without refinements the first group's completions stand under ``drafts``.
    """
    drafts = trace.stage(1)
    last = trace.groups[-1] if trace.groups and trace.groups[-1].stage > 1 else None
    best = None
    if last is not None and last.shown is not None:
        best = trace.groups[-2].completions[last.shown].text
    return {
        "question": trace.question.problem,
        "gold": trace.question.answer,
        "drafts": _texts(drafts),
        "draft_scores": _values(drafts),
        "best_draft": best,
        "refinements": _texts(last),
        "refinement_scores": _values(last),
    }


def table_columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows with the same keys, turned into columns.

    Raises:
        ValueError: the rows have different keys.
    """
    names = list(rows[0]) if rows else []
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise ValueError(f"table row {number} has the columns {sorted(row)}, the first row has {sorted(names)}")
    return {name: [row[name] for row in rows] for name in names}


def _question(question: Question) -> dict[str, Any]:
    return {"id": question.id, "problem": question.problem, "answer": question.answer}


def _group(group: Group) -> dict[str, Any]:
    return {
        "stage": group.stage,
        "trained": group.trained,
        "shown": group.shown,
        "prompt_tokens": len(group.prompt.token_ids),
        "draft_tokens": group.prompt.draft_tokens,
        "draft_tokens_cut": group.prompt.draft_tokens_cut,
        "completions": [
            _completion(completion) | {"score": _score(score)}
            for completion, score in zip(group.completions, group.scores, strict=True)
        ],
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


def _mean(values: Sequence[float]) -> float | str | None:
    return encode_number(sum(values) / len(values)) if values else None


def _texts(group: Group | None) -> list[str]:
    return [completion.text for completion in group.completions] if group else []


def _values(group: Group | None) -> list[float | str]:
    return [encode_number(score.value) for score in group.scores] if group else []
