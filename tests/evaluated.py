"""Builders of evaluated samples for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from igrpo.evaluation.records import Answers
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.types import Completion, Score

RIGHT, WRONG = Score(1.0, True, "right", "7"), Score(0.0, False, "wrong", "8")


def evaluated(
    question: str, index: int, completion: Completion, score: Score, *, kind: str = "single_shot", **changes: Any
) -> EvaluatedSample:
    """A sample with this completion and score."""
    made = EvaluatedSample(
        question=question,
        kind=kind,
        index=index,
        seed=index,
        context=(),
        prompt_tokens=1,
        draft_tokens_cut=0,
        text=completion.text,
        opened=completion.opened,
        token_ids=completion.token_ids,
        finish_reason=completion.finish_reason,
        logprob=fmean(completion.logprobs),
        entropy=None if completion.policy_entropies is None else fmean(completion.policy_entropies),
        score=score,
    )
    return replace(made, **changes)


def answers(completions: Sequence[Completion], scores: Sequence[Score], **changes: Any) -> Answers:
    """Samples with these completions and scores."""
    pairs = enumerate(zip(completions, scores, strict=True))
    return Answers(tuple(evaluated("q", i, completion, score, **changes) for i, (completion, score) in pairs))


def rounded(samples: Sequence[EvaluatedSample]) -> dict[tuple[str, str, int], EvaluatedSample]:
    """By key, with log-probs and entropies of five digits: further ones depend on what was decoded together."""
    return {
        (sample.question, *sample.key): replace(
            sample,
            logprob=float(f"{sample.logprob:.5g}"),
            entropy=None if sample.entropy is None else float(f"{sample.entropy:.5g}"),
        )
        for sample in samples
    }
