"""Alarms: what goes wrong in a run before its reward shows it. Each is a metric, a warning and a tag.

The rules are pure functions of what a run has measured so far, over the completions that are trained, each stage by
itself (`igrpo.metrics.trained_stages`): a mean over whatever a step happens to train would move with the mixture.
``start`` and ``now`` are means over the first and the latest ``window`` steps that train the stage (from ``2 * window``
of them on, so that they share none). An alarm goes off if it does in one of the stages.

An alarm goes off only where what it compares is beyond its threshold by more than the sampling error of both sides
(`igrpo.metrics.sampling_error`): one answer of 16 is no fall, nor is one odd step a collapse.

Two ends of a series are compared only where about as many of the questions were in it (see ``_SAME_SHARE``). A stage of
questions that the data choose is another set of questions later: Critique-GRPO's refinements are of those that nobody
answered, and these get fewer and harder. Its answers are of all questions.

An alarm that goes off is told once, and again when it has been silent and goes off anew. A resumed run reads its past
from metrics.jsonl, and tells nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from igrpo.config.schema import AlarmsConfig
from igrpo.metrics.sampling_error import SamplingError, is_above
from igrpo.metrics.trained_stages import STAGES, TrainedStage, read_trained_stages, trained_stage_metrics
from igrpo.types import Trace

ACCURACY = "development/single_shot/accuracy"
_LOW, _HIGH = "development/single_shot/low", "development/single_shot/high"

#: How many times as many questions one end of a series may have as the other.
_SAME_SHARE = 1.25
#: The stages that answer the question: more reward for verdicts is no copying.
_ANSWERING = (1, 2)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """A training step: what it trained, by stage."""

    number: int
    stages: Mapping[int, TrainedStage]


@dataclass(slots=True)
class Past:
    """What a run has measured: its steps, and (step, single-shot accuracy) of its development evaluations."""

    steps: list[Step] = field(default_factory=list)
    evaluations: list[tuple[int, SamplingError]] = field(default_factory=list)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl."""
        if "budget/samples" in metrics:
            self.steps.append(Step(step, read_trained_stages(metrics)))
        if ACCURACY in metrics:
            accuracy = SamplingError.with_interval(metrics[ACCURACY], metrics.get(_LOW), metrics.get(_HIGH))
            self.evaluations.append((step, accuracy))


#: What is wrong, in words; None: nothing. The share, ratio or rise that it takes is the last argument.
Rule = Callable[[Past, int, float], str | None]


def entropy_collapse(past: Past, window: int, share: float) -> str | None:
    """The entropy now is below ``share`` of what it was at the start."""
    return _all(
        f"the entropy of trained tokens of stage {stage} fell from {start.value:.3g} to {now.value:.3g} nats"
        for stage, start, now in _ends(past.steps, window, lambda one: one.entropy)
        if is_above(start, now, factor=1 / share)
    )


def length_drift(past: Past, window: int, ratio: float) -> str | None:
    """Completions are over ``ratio`` times as long as at the start, or as short."""
    return _all(
        f"the length of trained completions of stage {stage} went from {start.value:.3g} to {now.value:.3g} tokens"
        for stage, start, now in _ends(past.steps, window, lambda one: one.length)
        if is_above(now, start, factor=ratio) or is_above(start, now, factor=ratio)
    )


def answer_differs_from_last_step(past: Past, window: int, rise: float) -> str | None:
    """The share of answers that are not the result of their own last step rose by more than ``rise``."""
    return _all(
        f"answers of stage {stage} that differ from their own last step rose from {start.value:.0%} to {now.value:.0%}"
        for stage, start, now in _ends(past.steps, window, lambda one: one.differs)
        if is_above(now, start, margin=rise)
    )


def copying(past: Past, window: int, fall: float) -> str | None:
    """Single-shot accuracy is lower than at its best so far by more than ``fall``, and the reward is higher than then.

    Reward at an evaluation: mean of the ``window`` latest steps before it (the first ones, at step 0). The errors of
    two accuracies are taken as independent; they are of the same questions, so their difference scatters less.
    """
    if not past.evaluations:
        return None
    now, accuracy = past.evaluations[-1]
    at_best, best = max(past.evaluations, key=lambda one: (one[1].value, one[0]))
    if not is_above(best, accuracy, margin=fall, choices=max(1, len(past.evaluations) - 1)):
        return None
    ends = [
        (stage, _reward_at(past.steps, stage, at_best, window), _reward_at(past.steps, stage, now, window))
        for stage in _ANSWERING
    ]
    return _all(
        f"since step {at_best} the reward of stage {stage} rose from {before.mean.value:.3f} to {after.mean.value:.3f} "
        f"while single-shot accuracy fell from {best.value:.3f} to {accuracy.value:.3f}"
        for stage, before, after in ends
        if before is not None and after is not None and is_above(after.mean, before.mean) and _comparable(before, after)
    )


class _End(NamedTuple):
    """A mean over steps of a series, and the share of all questions of these steps, and of those between, in it."""

    mean: SamplingError
    share: float


def _ends(
    steps: Sequence[Step], window: int, value: Callable[[TrainedStage], float | None]
) -> Iterator[tuple[int, SamplingError, SamplingError]]:
    """(stage, start, now) of each stage whose ends can be compared."""
    for stage in STAGES:
        known = _known(steps, stage, value)
        if len(known) < 2 * window:
            continue
        start = _end(steps, stage, known[:window], known[window - 1][0], window)
        now = _end(steps, stage, known[-window:], len(steps) - 1, window)
        if _comparable(start, now):
            yield stage, start.mean, now.mean


def _reward_at(steps: Sequence[Step], stage: int, at: int, window: int) -> _End | None:
    known = _known(steps, stage, lambda one: one.reward)
    behind = [(i, reward) for i, reward in known if steps[i].number <= at][-window:]
    if behind:
        last = max(i for i, step in enumerate(steps) if step.number <= at)
        return _end(steps, stage, behind, last, window)
    return _end(steps, stage, known[:window], known[:window][-1][0], window) if known else None


def _known(steps: Sequence[Step], stage: int, value: Callable[[TrainedStage], float | None]) -> list[tuple[int, float]]:
    """Which of the steps have a value of the stage, and which."""
    found = ((i, value(step.stages[stage])) for i, step in enumerate(steps) if stage in step.stages)
    return [(i, one) for i, one in found if one is not None]


def _end(steps: Sequence[Step], stage: int, values: Sequence[tuple[int, float]], last: int, window: int) -> _End:
    """Of the values, with the steps from the first of them to ``last``."""
    among = steps[values[0][0] : last + 1]
    shares = [step.stages[stage].share if stage in step.stages else 0.0 for step in among]
    return _End(SamplingError.of_steps([value for _, value in values], window), fmean(shares))


def _comparable(one: _End, other: _End) -> bool:
    return max(one.share, other.share) <= _SAME_SHARE * min(one.share, other.share)


def _all(words: Iterable[str]) -> str | None:
    return "; ".join(words) or None


class Alarms:
    """The rules of a run, and which of them are going off.

    Args:
        tell: called with an alarm's name and words when it goes off, after the warning: it keeps them.
    """

    def __init__(self, config: AlarmsConfig, tell: Callable[[str, str], None]) -> None:
        self._past, self._tell, self._window = Past(), tell, config.window
        self._going_off: set[str] = set()
        after_step: dict[str, tuple[Rule, float | None]] = {
            "entropy_collapse": (entropy_collapse, config.entropy_share),
            "length_drift": (length_drift, config.length_ratio),
            "answer_differs_from_last_step": (answer_differs_from_last_step, config.answer_differs_rise),
        }
        self._after_step = after_step
        self._after_evaluation: dict[str, tuple[Rule, float | None]] = {"copying": (copying, config.accuracy_fall)}

    def remember(self, lines: Iterable[Mapping[str, float]]) -> None:
        """Take up the past of a resumed run, the lines of metrics.jsonl; nothing of it is told again."""
        for line in lines:
            self._past.add(int(line["step"]), line)
            off = {name.removeprefix("alarm/") for name, value in line.items() if name.startswith("alarm/") and value}
            judged = {name.removeprefix("alarm/") for name in line if name.startswith("alarm/")}
            self._going_off = (self._going_off - judged) | off

    def after_step(self, step: int, metrics: Mapping[str, float], traces: Sequence[Trace]) -> dict[str, float]:
        """The alarms' own metrics of a training step with these ``metrics``. Raises nothing."""

        def judged() -> dict[str, float]:
            own = trained_stage_metrics(traces)
            self._past.add(step, {**metrics, **own})
            return own | self._judge(step, self._after_step)

        return _survived(step, judged)

    def after_evaluation(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """The same for an evaluation on development questions."""

        def judged() -> dict[str, float]:
            self._past.add(step, metrics)
            return self._judge(step, self._after_evaluation)

        return _survived(step, judged)

    def _judge(self, step: int, rules: Mapping[str, tuple[Rule, float | None]]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, (rule, threshold) in rules.items():
            if threshold is None:
                continue
            words = rule(self._past, self._window, threshold)
            found[f"alarm/{name}"] = float(words is not None)
            if words is None:
                self._going_off.discard(name)
            elif name not in self._going_off:
                self._going_off.add(name)
                log.warning("alarm %s at step %d: %s", name, step, words)
                self._tell(name, f"step {step}: {words}")
        return found


def _survived(step: int, judged: Callable[[], dict[str, float]]) -> dict[str, float]:
    """A run must not die of what watches it; nor may that fail unnoticed."""
    try:
        return judged()
    except Exception as error:
        log.warning(
            "the alarms could not be judged at step %d: %s: %s", step, type(error).__name__, error, exc_info=True
        )
        return {"alarm/failed": 1.0}
