"""Alarms: what goes wrong in a run before its reward shows it. Each is a metric, a warning and a tag.

The rules are pure functions of what a run has measured so far. ``start`` and ``now`` are means over its first and its
latest ``window`` steps (from ``2 * window`` steps on, so that they share none), of the stage that is trained: the
refinements where there are any, the answers elsewhere.

An alarm that goes off is told once, and again when it has been silent and goes off anew. A resumed run reads its past
from metrics.jsonl, and tells nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from igrpo.config.schema import AlarmsConfig
from igrpo.rewards.last_step import answer_differs
from igrpo.types import Trace

DIFFERS = "answers/differ_from_last_step_share"
ACCURACY = "development/single_shot/accuracy"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, of the stage that is trained (None: not measured)."""

    number: int
    reward: float | None
    entropy: float | None
    length: float | None
    differs: float | None


@dataclass(slots=True)
class Past:
    """What a run has measured: its steps, and (step, single-shot accuracy) of its development evaluations."""

    steps: list[Step] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl."""
        if "budget/samples" in metrics:
            stage = "stage2" if "stage2/reward_mean" in metrics else "stage1"
            names = (f"{stage}/reward_mean", f"{stage}/entropy", f"{stage}/length_mean", DIFFERS)
            self.steps.append(Step(step, *(metrics.get(name) for name in names)))
        if ACCURACY in metrics:
            self.evaluations.append((step, metrics[ACCURACY]))


#: What is wrong, in words; None: nothing. The share, ratio or rise that it takes is the last argument.
Rule = Callable[[Past, int, float], str | None]


def entropy_collapse(past: Past, window: int, share: float) -> str | None:
    """The entropy now is below ``share`` of what it was at the start."""
    start, now = _start_and_now([step.entropy for step in past.steps], window)
    if start is None or now is None or now >= share * start:
        return None
    return f"the entropy of trained tokens fell from {start:.3g} to {now:.3g} nats"


def length_drift(past: Past, window: int, ratio: float) -> str | None:
    """Completions are over ``ratio`` times as long as at the start, or as short."""
    start, now = _start_and_now([step.length for step in past.steps], window)
    if start is None or now is None or start / ratio <= now <= start * ratio:
        return None
    return f"the length of trained completions went from {start:.3g} to {now:.3g} tokens"


def answer_differs_from_last_step(past: Past, window: int, rise: float) -> str | None:
    """The share of answers that are not the result of their own last step rose by more than ``rise``."""
    start, now = _start_and_now([step.differs for step in past.steps], window)
    if start is None or now is None or now <= start + rise:
        return None
    return f"answers that differ from their own last step rose from {start:.0%} to {now:.0%}"


def copying(past: Past, window: int, fall: float) -> str | None:
    """Single-shot accuracy is lower than at its best so far by at least ``fall``, and the reward is higher than then.

    Reward at an evaluation: mean of the ``window`` latest steps before it (the first ones, at step 0).
    """
    if not past.evaluations:
        return None
    now, accuracy = past.evaluations[-1]
    at_best, best = max(past.evaluations, key=lambda one: (one[1], one[0]))
    before, after = (_reward_at(past.steps, step, window) for step in (at_best, now))
    if best - accuracy < fall or before is None or after is None or after <= before:
        return None
    return (
        f"since step {at_best} the reward rose from {before:.3f} to {after:.3f} while single-shot accuracy fell from "
        f"{best:.3f} to {accuracy:.3f}"
    )


def _start_and_now(series: Iterable[float | None], window: int) -> tuple[float | None, float | None]:
    known = [value for value in series if value is not None]
    if len(known) < 2 * window:
        return None, None
    return fmean(known[:window]), fmean(known[-window:])


def _reward_at(steps: Sequence[Step], at: int, window: int) -> float | None:
    known = [(step.number, step.reward) for step in steps if step.reward is not None]
    behind = [reward for number, reward in known if number <= at][-window:]
    rewards = behind or [reward for _, reward in known[:window]]
    return fmean(rewards) if rewards else None


def differing_share(traces: Sequence[Trace]) -> float | None:
    """Of the completions that are trained, or were to be; None where none has two numbers to compare."""
    texts = [one.completion.text for trace in traces for cohort in trace.cohorts for one in cohort]
    known = [differs for differs in map(answer_differs, texts) if differs is not None]
    return fmean(known) if known else None


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
            share = differing_share(traces)
            own = {} if share is None else {DIFFERS: share}
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
