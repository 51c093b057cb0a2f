"""Samples of an evaluation, made from verdicts, answers and lengths."""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.types import Score


def row(
    question: str,
    index: int,
    *,
    right: bool,
    answer: str | None = None,
    tokens: int = 3,
    truncated: bool = False,
    text: str = "text",
    kind: str = "single_shot",
    scored: bool = True,
) -> EvaluatedSample:
    score = Score(float(right), right, "right" if right else "wrong", answer)
    return EvaluatedSample(
        question=question,
        kind=kind,
        index=index,
        seed=index,
        context=(),
        prompt_tokens=4,
        draft_tokens_cut=0,
        text=text,
        opened="",
        token_ids=tuple(range(tokens)),
        finish_reason="length" if truncated else "stop",
        logprob=-1.0,
        entropy=None,
        score=score if scored else Score(0.0, None, "unscored"),
    )


def rows(
    correct_QK: Sequence[Sequence[bool]], answers_QK: Sequence[Sequence[str | None]] | None = None
) -> list[EvaluatedSample]:
    """Samples of questions q0, q1, ...; without answers, a right one is "0" and a wrong one is of its own."""
    return [
        row(f"q{q}", i, right=right, answer=("0" if right else f"w{i}") if answers_QK is None else answers_QK[q][i])
        for q, verdicts in enumerate(correct_QK)
        for i, right in enumerate(verdicts)
    ]
