"""Samples of an evaluation: what is kept of each, as one line of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from igrpo.types import Completion, FinishReason, Score

#: Identity of a sample among those of its question: its kind and its index within the kind.
SampleKey = tuple[str, int]

#: Kinds of samples of every evaluation (see `igrpo.evaluation.evaluator`).
SINGLE_SHOT, GREEDY = "single_shot", "greedy"
DRAFT_CONDITIONED, DRAFT_CONDITIONED_ORACLE = "draft_conditioned", "draft_conditioned_oracle"


@dataclass(frozen=True, slots=True)
class EvaluatedSample:
    """Completion of one question with its score.

    ``kind`` is the purpose of the sample (``single_shot``, ``greedy``, ``draft_conditioned``, or what a test-time mode
    names its samples), ``index`` counts the samples of a question and kind from 0, and ``seed`` is what it was sampled
    with. ``context`` has the samples that the prompt shows; ``prompt_tokens`` is the length of the prompt and
    ``draft_tokens_cut`` the number of tokens that the shown drafts lost to fit in it. ``logprob`` and ``entropy``
    (None: not measured) are means per token, in nats: of the distribution that was sampled from, and of the policy at
    temperature 1.
    """

    question: str
    kind: str
    index: int
    seed: int
    context: tuple[SampleKey, ...]
    prompt_tokens: int
    draft_tokens_cut: int
    text: str
    opened: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprob: float
    entropy: float | None
    score: Score

    @property
    def key(self) -> SampleKey:
        return self.kind, self.index

    @property
    def correct(self) -> bool:
        """True for right, False for wrong or unknown."""
        return self.score.correct is True

    @property
    def scored(self) -> bool:
        """False if the reward could not score it."""
        return self.score.outcome != "unscored"

    @property
    def truncated(self) -> bool:
        """True if the token limit ended the completion, not a stop token."""
        return self.finish_reason == "length"

    @property
    def completion(self) -> Completion:
        """The completion as prompts and rewards see it, without values per token."""
        return Completion(
            token_ids=self.token_ids,
            text=self.text,
            logprobs=(),
            sampling_entropies=None,
            policy_entropies=None,
            finish_reason=self.finish_reason,
            policy_version=0,
            opened=self.opened,
        )


def sample_line(sample: EvaluatedSample) -> dict[str, Any]:
    """Return the line of samples.jsonl: plain values, from which `sample_of` makes an equal sample."""
    score = sample.score
    return {
        "question": sample.question,
        "kind": sample.kind,
        "index": sample.index,
        "seed": sample.seed,
        "context": [list(key) for key in sample.context],
        "correct": score.correct,
        "outcome": score.outcome,
        "answer": score.answer,
        "value": score.value,
        "tokens": len(sample.token_ids),
        "finish_reason": sample.finish_reason,
        "logprob": sample.logprob,
        "entropy": sample.entropy,
        "prompt_tokens": sample.prompt_tokens,
        "draft_tokens_cut": sample.draft_tokens_cut,
        "opened": sample.opened,
        "text": sample.text,
        "token_ids": list(sample.token_ids),
    }


def sample_of(line: dict[str, Any]) -> EvaluatedSample:
    """Return the sample of a line of samples.jsonl."""
    return EvaluatedSample(
        question=line["question"],
        kind=line["kind"],
        index=line["index"],
        seed=line["seed"],
        context=tuple((kind, index) for kind, index in line["context"]),
        prompt_tokens=line["prompt_tokens"],
        draft_tokens_cut=line["draft_tokens_cut"],
        text=line["text"],
        opened=line["opened"],
        token_ids=tuple(line["token_ids"]),
        finish_reason=line["finish_reason"],
        logprob=line["logprob"],
        entropy=line["entropy"],
        score=Score(line["value"], line["correct"], line["outcome"], line["answer"]),
    )
