"""Evaluated samples for tests, of which only what a test is about has to be given."""

from __future__ import annotations

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.types import FinishReason, Score


def sample(
    question: str,
    index: int = 0,
    *,
    text: str = "",
    answer: str | None = None,
    correct: bool | None = False,
    logprob: float = -0.1,
    finish_reason: FinishReason = "stop",
    kind: str = "single_shot",
) -> EvaluatedSample:
    outcome = "refused" if correct is None else "right" if correct else "wrong"
    return EvaluatedSample(
        question=question,
        kind=kind,
        index=index,
        seed=index,
        context=(),
        prompt_tokens=3,
        draft_tokens_cut=0,
        text=text,
        opened="",
        token_ids=(1,),
        finish_reason=finish_reason,
        logprob=logprob,
        entropy=None,
        score=Score(float(correct is True), correct, outcome, answer),
    )
