"""What is trained in a step, each stage by itself: what the alarms watch.

A stage's completions count where their tokens get gradients, or would have (in a question that dynamic sampling
dropped), be it given their own prompt or as answers to the bare question. Means are over those of one stage, so that a
step with refinements and one without are not compared as if they were the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from igrpo.metrics.judgements import put_mean
from igrpo.rewards.math.last_step import answer_differs
from igrpo.types import Completion, Group, Score, Trace

STAGES = (1, 2, 3)
DIFFERS = "answers/differ_from_last_step_share"

_NAMES = {
    "questions_share": "share; of the step's questions with trained completions of the stage",
    "reward_mean": "reward; mean over trained completions of the stage",
    "entropy": "nats; of the policy at temperature 1, mean over measured tokens of trained completions of the stage",
    "length_mean": "tokens; mean length of trained completions of the stage, stop tokens included",
    "differ_from_last_step_share": f"share; {DIFFERS} of the stage alone",
}
TRAINED_STAGE_DOCS: dict[str, str] = {
    f"trained/stage{stage}/{name}": text for stage in STAGES for name, text in _NAMES.items()
}


@dataclass(frozen=True, slots=True)
class TrainedStage:
    """One stage of one step (None: not measured)."""

    share: float
    reward: float | None
    entropy: float | None
    length: float | None
    differs: float | None


def trained_stage_metrics(traces: Sequence[Trace]) -> dict[str, float]:
    """Of all questions of a step; the names are keys of ``TRAINED_STAGE_DOCS``, or ``DIFFERS``."""
    metrics: dict[str, float] = {}
    all_differ: list[bool] = []
    for stage in STAGES:
        trained = [trained_completions(trace, stage) for trace in traces]
        pairs = [pair for of_one in trained for pair in of_one]
        if not pairs:
            continue
        at = f"trained/stage{stage}"
        metrics[f"{at}/questions_share"] = fmean(bool(of_one) for of_one in trained)
        put_mean(metrics, f"{at}/reward_mean", (score.value for _, score in pairs))
        put_mean(metrics, f"{at}/entropy", (h for c, _ in pairs for h in c.policy_entropies or ()))
        put_mean(metrics, f"{at}/length_mean", (len(c.token_ids) for c, _ in pairs))
        # None: there are no two numbers to compare
        differ = [differs for c, _ in pairs if (differs := answer_differs(c.text)) is not None]
        put_mean(metrics, f"{at}/differ_from_last_step_share", differ)
        all_differ += differ
    put_mean(metrics, DIFFERS, all_differ)
    if traces and not metrics:  # nothing had a score: say so, or the line reads as one from before these measurements
        metrics["trained/stage1/questions_share"] = 0.0
    return metrics


def read_trained_stages(metrics: Mapping[str, float]) -> dict[int, TrainedStage]:
    """The same back from a line of metrics.jsonl.

    Lines from before these measurements have those of all completions: they stand for the refinements where there are
    any, else for the answers, of every question.
    """
    found = {
        stage: TrainedStage(
            share,
            metrics.get(f"trained/stage{stage}/reward_mean"),
            metrics.get(f"trained/stage{stage}/entropy"),
            metrics.get(f"trained/stage{stage}/length_mean"),
            metrics.get(f"trained/stage{stage}/differ_from_last_step_share"),
        )
        for stage in STAGES
        if (share := metrics.get(f"trained/stage{stage}/questions_share")) is not None
    }
    if found:
        return found
    stage = 2 if "stage2/reward_mean" in metrics else 1
    reward, entropy, length = (
        metrics.get(f"stage{stage}/{name}") for name in ("reward_mean", "entropy", "length_mean")
    )
    return {stage: TrainedStage(1.0, reward, entropy, length, metrics.get(DIFFERS))}


def trained_completions(trace: Trace, stage: int) -> list[tuple[Completion, Score]]:
    """Those of one question and stage with their scores, each once however often it is trained, as the groups have them
    (a lesson may hold a completion as it was before its entropies were measured)."""
    lessons = {_key(lesson.completion) for cohort in trace.lessons for lesson in cohort}

    def of_group(group: Group) -> list[tuple[Completion, Score]]:
        pairs = list(zip(group.completions, group.scores, strict=True))
        return pairs if group.trained else [(c, score) for c, score in pairs if _key(c) in lessons]

    return [pair for group in trace.groups if group.stage == stage for pair in of_group(group)]


def _key(completion: Completion) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The same in a group and in a lesson, also where entropies were measured for one of them alone."""
    return completion.token_ids, completion.logprobs
