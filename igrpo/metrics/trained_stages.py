"""Per-stage metrics of the trained completions of a step, used by the alarms.

A completion counts if its tokens get gradients, either given its own prompt or as an answer to the bare question.
Completions of questions that dynamic sampling dropped count if they would have had gradients. Means are over one stage,
so that a step with refinements and a step without them remain comparable.
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
    """Metrics of one stage in one step (None: not measured)."""

    share: float
    reward: float | None
    entropy: float | None
    length: float | None
    differs: float | None


def trained_stage_metrics(traces: Sequence[Trace]) -> dict[str, float]:
    """Return the metrics of a step, named by the keys of ``TRAINED_STAGE_DOCS`` and by ``DIFFERS``."""
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
        # None: there are no two numbers to compare in this completion
        differ = [differs for c, _ in pairs if (differs := answer_differs(c.text)) is not None]
        put_mean(metrics, f"{at}/differ_from_last_step_share", differ)
        all_differ += differ
    put_mean(metrics, DIFFERS, all_differ)
    if traces and not metrics:  # nothing had a score: log a 0, or the line looks like one from before these metrics
        metrics["trained/stage1/questions_share"] = 0.0
    return metrics


def read_trained_stages(metrics: Mapping[str, float]) -> dict[int, TrainedStage]:
    """Return the metrics by stage, read from a line of metrics.jsonl.

    Lines written before these metrics existed have metrics of all completions only. They are read as those of the
    refinements if there are any, else of the answers, with a share of 1.
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
    """Return the trained completions of one question and stage with their scores, each once.

    The completions are taken from the groups, because a lesson may hold a completion without its measured entropies.
    """
    lessons = {_key(lesson.completion) for cohort in trace.lessons for lesson in cohort}

    def of_group(group: Group) -> list[tuple[Completion, Score]]:
        pairs = list(zip(group.completions, group.scores, strict=True))
        return pairs if group.trained else [(c, score) for c, score in pairs if _key(c) in lessons]

    return [pair for group in trace.groups if group.stage == stage for pair in of_group(group)]


def _key(completion: Completion) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return a key that is equal for a completion in a group and in a lesson, with or without measured entropies."""
    return completion.token_ids, completion.logprobs
