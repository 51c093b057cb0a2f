"""Results of an evaluation: accuracies with intervals, and the verdicts of each question for paired statistics."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import fmean

from igrpo.evaluation.draft_worth import DraftWorth, draft_worth
from igrpo.evaluation.estimators import AccuracyEstimate, estimate_accuracy, majority_at_k, pass_at_k
from igrpo.evaluation.records import Answers, QuestionRecord
from igrpo.evaluation.test_time.curve import ModesResult
from igrpo.evaluation.test_time.metrics import TEST_TIME_METRIC_DOCS, metrics_of_modes
from igrpo.types import OUTCOMES

log = logging.getLogger(__name__)

_ESTIMATES = {
    "single_shot": "k sampled answers to the bare question (the headline)",
    "greedy": "one greedy answer to the bare question",
    "draft_conditioned": "refinements of one sampled draft each, chosen without the gold answer",
    "draft_conditioned_oracle": "refinements of the best of N drafts by reward (knows the gold answer)",
}

#: The verdicts of drafts, and the metrics of the refinements by the verdict of their draft (see
#: `igrpo.evaluation.draft_worth`).
_DRAFTS = ("right", "wrong")
_WORTH = {
    "right": "share; right, mean over the refinements whose draft was {draft}",
    "gain": "difference of shares; right_given_{draft} - the share of the other single-shot samples of the same "
    "question that is right, mean over the refinements whose draft was {draft} (with 2 samples or more)",
    "gain_low": "difference of shares; lower end of the 95 % interval of gain_given_{draft}, over questions",
    "gain_high": "difference of shares; upper end of the 95 % interval of gain_given_{draft}, over questions",
}

#: One line per metric of an evaluation, without the prefix: unit; definition.
EVALUATION_METRIC_DOCS: dict[str, str] = {
    **{f"{name}/accuracy": f"share; right, mean over questions: {text}" for name, text in _ESTIMATES.items()},
    **{f"{name}/low": "share; lower end of the accuracy's 95 % interval" for name in _ESTIMATES},
    **{f"{name}/high": "share; upper end of the accuracy's 95 % interval" for name in _ESTIMATES},
    "single_shot/samples": "samples per question; k, which evaluation.interval_width may have kept small",
    "single_shot/pass_at_k": "share; questions with at least one right answer in k (not if stopped at a smaller k)",
    "single_shot/majority_at_k": "share; questions whose most frequent answer of k is right, ties in expectation "
    "(likewise)",
    "single_shot/length_mean": "tokens; completion length, mean",
    "single_shot/truncated_share": "share; completions that the token limit ended",
    "draft_conditioned/cut_share": "share; drafts whose middle was cut out to fit the draft budget",
    **{
        f"draft_conditioned/{name}_given_{draft}": text.format(draft=draft)
        for draft in _DRAFTS
        for name, text in _WORTH.items()
    },
    "answer/entropy": "nats per token; of the policy at temperature 1, mean over the tokens of the single-shot samples",
    "refinement/entropy": "nats per token; likewise over the draft-conditioned samples",
    "generated_tokens": "tokens; sampled in the whole evaluation",
    **{f"outcome/{outcome}": f"share; single-shot answers scored '{outcome}'" for outcome in OUTCOMES},
    **TEST_TIME_METRIC_DOCS,
}


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """Verdicts on one question. Sample j of ``single_shot`` is the draft of sample j of ``draft_conditioned``.

    A part of the evaluation is empty or None if no answer to any question has a score in it.
    """

    id: str
    single_shot: tuple[bool, ...]
    answers: tuple[str | None, ...]
    greedy: bool | None
    draft_conditioned: tuple[bool, ...]
    draft_conditioned_oracle: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Result of ``Evaluator.run``. None: that part is off, has no data, or no answer has a score.

    ``pass_at_k`` and ``majority_at_k`` are None, too, if the evaluation stopped before its largest k.

    Entropies (nats, temperature 1) are means over tokens: of the single-shot samples (``answer_entropy``) and of the
    draft-conditioned ones (``refinement_entropy``). Lengths (tokens), truncation and outcomes (shares) are those of the
    single-shot samples. ``draft_cut_share`` is the share of drafts whose middle was cut out to fit the draft budget.
    ``test_time`` has the curves of the test-time modes.
    """

    single_shot: AccuracyEstimate | None
    pass_at_k: float | None
    majority_at_k: float | None
    greedy: AccuracyEstimate | None
    draft_conditioned: AccuracyEstimate | None
    draft_conditioned_oracle: AccuracyEstimate | None
    answer_entropy: float | None
    refinement_entropy: float | None
    length_mean: float
    truncated_share: float
    draft_cut_share: float | None
    outcomes: Mapping[str, float]
    generated_tokens: int
    per_question: tuple[QuestionResult, ...]
    test_time: ModesResult | None = None

    @property
    def draft_worth(self) -> DraftWorth | None:
        """Worth of right and of wrong drafts, or None without draft-conditioned verdicts."""
        rows = self.per_question
        return draft_worth([row.single_shot for row in rows], [row.draft_conditioned for row in rows])

    def metrics(self, prefix: str = "eval") -> dict[str, float]:
        """Return the metrics that are not None, under MLflow names such as ``eval/single_shot/accuracy``."""
        metrics: dict[str, float | None] = {}
        estimates = (self.single_shot, self.greedy, self.draft_conditioned, self.draft_conditioned_oracle)
        for name, estimate in zip(_ESTIMATES, estimates, strict=True):
            if estimate is not None:
                metrics |= {
                    f"{name}/accuracy": estimate.value,
                    f"{name}/low": estimate.low,
                    f"{name}/high": estimate.high,
                }
        metrics |= {
            "single_shot/samples": None if self.single_shot is None else float(self.single_shot.samples),
            "single_shot/pass_at_k": self.pass_at_k,
            "single_shot/majority_at_k": self.majority_at_k,
            "answer/entropy": self.answer_entropy,
            "refinement/entropy": self.refinement_entropy,
            "single_shot/length_mean": self.length_mean,
            "single_shot/truncated_share": self.truncated_share,
            "draft_conditioned/cut_share": self.draft_cut_share,
            "generated_tokens": float(self.generated_tokens),
        }
        metrics |= {f"outcome/{outcome}": share for outcome, share in self.outcomes.items()}
        metrics |= _worth_metrics(self.draft_worth)
        metrics |= {} if self.test_time is None else metrics_of_modes(self.test_time)
        return {f"{prefix}/{name}": value for name, value in metrics.items() if value is not None}


def summarise(records: Sequence[QuestionRecord], reward_name: str, *, stopped: bool = False) -> EvaluationResult:
    """Compute the result from the records of all questions, in their order.

    ``stopped`` is True if fewer samples were drawn than an evaluation may draw. The metrics that depend on k are left
    out then, so that values of different k never share a curve.

    Raises:
        ValueError: the reward gives no verdicts, so there is no accuracy to report.
    """
    sampled = [record.single_shot for record in records]
    refined = [record.draft_conditioned for record in records if record.draft_conditioned]
    bare = [sample for answers in sampled for sample in answers.samples]
    scores = [score for answers in sampled for score in answers.scores]
    outcomes: dict[str, float] = {outcome: fmean(score.outcome == outcome for score in scores) for outcome in OUTCOMES}
    # A failed check (refused, timed out, crashed) explains a missing verdict. If all are missing without any failed
    # check, the reward does not verify answers.
    if all(score.correct is None and score.outcome in ("right", "wrong", "unparsable") for score in scores):
        raise ValueError(
            f"reward '{reward_name}' left Score.correct unknown on all {len(scores)} evaluation answers; accuracy "
            "needs a reward that tells right from wrong"
        )
    single_shot = estimate_answers(sampled)
    if single_shot is None:
        log.warning(
            "reward '%s' could score none of the %d evaluation answers: there is no accuracy", reward_name, len(scores)
        )
    correct = [answers.correct for answers in sampled]
    votes = [[score.answer for score in answers.scores] for answers in sampled]
    has_answers = any(answer is not None for row in votes for answer in row)
    everything = [answers for record in records for answers in _parts(record)]
    greedy = estimate_answers([record.greedy for record in records])
    draft_conditioned = estimate_answers([record.draft_conditioned for record in records])
    oracle = estimate_answers([record.draft_conditioned_oracle for record in records])
    per_question = [
        QuestionResult(
            id=record.question.id,
            single_shot=_verdicts(record.single_shot, single_shot),
            answers=tuple(score.answer for score in record.single_shot.scores),
            greedy=next(iter(_verdicts(record.greedy, greedy)), None),
            draft_conditioned=_verdicts(record.draft_conditioned, draft_conditioned),
            draft_conditioned_oracle=_verdicts(record.draft_conditioned_oracle, oracle),
        )
        for record in records
    ]
    return EvaluationResult(
        single_shot=single_shot,
        pass_at_k=None if stopped or single_shot is None else pass_at_k(correct, k=len(correct[0])),
        majority_at_k=None if stopped or not has_answers else majority_at_k(votes, correct),
        greedy=greedy,
        draft_conditioned=draft_conditioned,
        draft_conditioned_oracle=oracle,
        answer_entropy=_entropy(sampled),
        refinement_entropy=_entropy(refined),
        length_mean=fmean(len(sample.token_ids) for sample in bare),
        truncated_share=fmean(sample.truncated for sample in bare),
        draft_cut_share=_cut_share(refined, len(bare)),
        outcomes=outcomes,
        generated_tokens=sum(len(sample.token_ids) for answers in everything for sample in answers.samples),
        per_question=tuple(per_question),
    )


def _worth_metrics(worth: DraftWorth | None) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    for draft, given in () if worth is None else zip(_DRAFTS, (worth.given_right, worth.given_wrong), strict=True):
        gain = (None,) * 3 if given.gain is None else (given.gain.value, given.gain.low, given.gain.high)
        names = [f"draft_conditioned/{name}_given_{draft}" for name in _WORTH]
        metrics |= dict(zip(names, (given.right, *gain), strict=True))
    return metrics


def _parts(record: QuestionRecord) -> list[Answers]:
    parts = (record.single_shot, record.greedy, record.draft_conditioned, record.draft_conditioned_oracle)
    return [answers for answers in parts if answers is not None]


def estimate_answers(answers_Q: Sequence[Answers | None]) -> AccuracyEstimate | None:
    """Return the accuracy of one part with its interval. None: it is off or has no scores (0 would be misleading)."""
    present = [answers for answers in answers_Q if answers is not None]
    scored = any(score.outcome != "unscored" for answers in present for score in answers.scores)
    return estimate_accuracy([answers.correct for answers in present]) if scored else None


def _entropy(answers_Q: Sequence[Answers]) -> float | None:
    """Return the mean entropy over all tokens (paper, Eq. 7)."""
    measured = [sample for answers in answers_Q for sample in answers.samples if sample.entropy is not None]
    tokens = sum(len(sample.token_ids) for sample in measured)
    nats = fsum(len(sample.token_ids) * sample.entropy for sample in measured if sample.entropy is not None)
    return nats / tokens if tokens else None


def _cut_share(refined: Sequence[Answers], drafts: int) -> float | None:
    cut = sum(sample.draft_tokens_cut > 0 for answers in refined for sample in answers.samples)
    return cut / drafts if refined else None


def _verdicts(answers: Answers | None, estimate: AccuracyEstimate | None) -> tuple[bool, ...]:
    return () if answers is None or estimate is None else answers.correct
