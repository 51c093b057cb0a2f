"""Alarms for problems of a run that do not show in its reward yet. Each alarm is a metric, a warning and a tag.

The rules are pure functions of the metrics that a run has logged so far. These are metrics of the trained completions,
separately for each role of samples (`igrpo.metrics.trained`), because a mean over all roles would change with their
mixture. ``start`` and ``now`` are means over the first and the latest ``window`` steps that train the role. They are
compared from ``2 * window`` such steps on, so that they have no step in common. An alarm goes off if its rule holds for
one of the roles.

The compared values must differ by more than the threshold plus the sampling error of both sides
(`igrpo.metrics.sampling_error`). One answer out of 16, or one unusual step, does not set off an alarm.

``start`` and ``now`` are compared only if the role was trained on similar shares of the questions (see
``_SAME_SHARE``). Otherwise the two sets of questions may differ: Critique-GRPO refines only questions without a right
answer, and these become fewer and harder. Its first answers are to all questions.

An alarm is reported when it goes off, and again only if it has stopped in between. A resumed run reads its history from
metrics.jsonl and does not report an alarm twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from igrpo.metrics.sampling_error import SamplingError, is_above
from igrpo.metrics.trained import TrainedRole, read_trained_roles, trained_role_metrics
from igrpo.settings.alarms import AlarmsConfig
from igrpo.types import ANSWER_ROLES, ROLES, Role, Rollout

ACCURACY = "development/single_shot/accuracy"
_LOW, _HIGH = "development/single_shot/low", "development/single_shot/high"

#: Largest ratio of the shares of questions at the two ends of a series.
_SAME_SHARE = 1.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, with the metrics of its trained completions by role."""

    number: int
    roles: Mapping[Role, TrainedRole]


@dataclass(slots=True)
class Past:
    """Metrics history of a run: its steps, and (step, single-shot accuracy) of its development evaluations."""

    steps: list[Step] = field(default_factory=list)
    evaluations: list[tuple[int, SamplingError]] = field(default_factory=list)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one line of metrics.jsonl."""
        if "budget/samples" in metrics:
            self.steps.append(Step(step, read_trained_roles(metrics)))
        if ACCURACY in metrics:
            accuracy = SamplingError.with_interval(metrics[ACCURACY], metrics.get(_LOW), metrics.get(_HIGH))
            self.evaluations.append((step, accuracy))


#: Function that describes the problem, or returns None. The last argument is the threshold (share, ratio or rise).
Rule = Callable[[Past, int, float], str | None]


def entropy_collapse(past: Past, window: int, share: float) -> str | None:
    """Report if the entropy now is below ``share`` times the entropy at the start."""
    return _joined(
        f"the entropy of trained {role}s fell from {start.value:.3g} to {now.value:.3g} nats per token"
        for role, start, now in _ends(past.steps, window, lambda trained: trained.entropy)
        if is_above(start, now, factor=1 / share)
    )


def length_drift(past: Past, window: int, ratio: float) -> str | None:
    """Report if the mean length of completions rose or fell by a factor of more than ``ratio`` since the start."""
    return _joined(
        f"the length of trained {role}s went from {start.value:.3g} to {now.value:.3g} tokens"
        for role, start, now in _ends(past.steps, window, lambda trained: trained.length)
        if is_above(now, start, factor=ratio) or is_above(start, now, factor=ratio)
    )


def answer_differs_from_last_step(past: Past, window: int, rise: float) -> str | None:
    """Report if the share of answers that differ from their own last step rose by more than ``rise``."""
    return _joined(
        f"boxed answers of {role}s that differ from their own last step rose from {start.value:.0%} to {now.value:.0%}"
        for role, start, now in _ends(past.steps, window, lambda trained: trained.differs)
        if is_above(now, start, margin=rise)
    )


def copying(past: Past, window: int, fall: float) -> str | None:
    """Report if accuracy (single-shot) is more than ``fall`` below its best while the reward is higher than then.

    The reward at an evaluation is the mean over the ``window`` latest steps before it (at step 0, over the first
    ones). The errors of two accuracies are treated as independent. Both are measured on the same questions, so the
    actual error of their difference is smaller.
    """
    if not past.evaluations:
        return None
    now, accuracy = past.evaluations[-1]
    at_best, best = max(past.evaluations, key=lambda one: (one[1].value, one[0]))
    if not is_above(best, accuracy, margin=fall, choices=max(1, len(past.evaluations) - 1)):
        return None
    ends = [
        (role, _reward_at(past.steps, role, at_best, window), _reward_at(past.steps, role, now, window))
        for role in ANSWER_ROLES  # a higher reward for verdicts is no sign of copying
    ]
    return _joined(
        f"since step {at_best} the reward of {role}s rose from {before.mean.value:.3f} to {after.mean.value:.3f} "
        f"while single-shot accuracy fell from {best.value:.3f} to {accuracy.value:.3f}"
        for role, before, after in ends
        if before is not None and after is not None and is_above(after.mean, before.mean) and _comparable(before, after)
    )


class _End(NamedTuple):
    """Mean over some steps of a series, and the share of questions that were trained in these and the steps between."""

    mean: SamplingError
    share: float


def _ends(
    steps: Sequence[Step], window: int, value: Callable[[TrainedRole], float | None]
) -> Iterator[tuple[Role, SamplingError, SamplingError]]:
    """Yield (role, start, now) for each role whose two ends can be compared."""
    for role in ROLES:
        known = _known(steps, role, value)
        if len(known) < 2 * window:
            continue
        start = _end(steps, role, known[:window], known[window - 1][0], window)
        now = _end(steps, role, known[-window:], len(steps) - 1, window)
        if _comparable(start, now):
            yield role, start.mean, now.mean


def _reward_at(steps: Sequence[Step], role: Role, at: int, window: int) -> _End | None:
    known = _known(steps, role, lambda trained: trained.reward)
    behind = [(i, reward) for i, reward in known if steps[i].number <= at][-window:]
    if behind:
        last = max(i for i, step in enumerate(steps) if step.number <= at)
        return _end(steps, role, behind, last, window)
    return _end(steps, role, known[:window], known[:window][-1][0], window) if known else None


def _known(steps: Sequence[Step], role: Role, value: Callable[[TrainedRole], float | None]) -> list[tuple[int, float]]:
    """Return (index, value) of the steps that have a value of the role."""
    values = ((i, value(step.roles[role])) for i, step in enumerate(steps) if role in step.roles)
    return [(i, known) for i, known in values if known is not None]


def _end(steps: Sequence[Step], role: Role, values: Sequence[tuple[int, float]], last: int, window: int) -> _End:
    """Return the mean of the values, and the mean share of questions from the first value's step to ``last``."""
    among = steps[values[0][0] : last + 1]
    shares = [step.roles[role].share if role in step.roles else 0.0 for step in among]
    return _End(SamplingError.of_steps([value for _, value in values], window), fmean(shares))


def _comparable(start: _End, now: _End) -> bool:
    return max(start.share, now.share) <= _SAME_SHARE * min(start.share, now.share)


def _joined(messages: Iterable[str]) -> str | None:
    return "; ".join(messages) or None


class Alarms:
    """Evaluates the alarm rules of a run, and tracks which alarms are active.

    Args:
        record: called with an alarm's name and message when it goes off, after the warning.
    """

    def __init__(self, config: AlarmsConfig, record: Callable[[str, str], None]) -> None:
        self._past, self._record, self._window = Past(), record, config.window
        self._active: set[str] = set()
        after_step: dict[str, tuple[Rule, float | None]] = {
            "entropy_collapse": (entropy_collapse, config.entropy_share),
            "length_drift": (length_drift, config.length_ratio),
            "answer_differs_from_last_step": (answer_differs_from_last_step, config.answer_differs_rise),
        }
        self._after_step = after_step
        self._after_evaluation: dict[str, tuple[Rule, float | None]] = {"copying": (copying, config.accuracy_fall)}

    def restore(self, lines: Iterable[Mapping[str, float]]) -> None:
        """Read the history of a resumed run from the lines of metrics.jsonl. Its alarms are not reported again."""
        for line in lines:
            self._past.add(int(line["step"]), line)
            off = {name.removeprefix("alarm/") for name, value in line.items() if name.startswith("alarm/") and value}
            judged = {name.removeprefix("alarm/") for name in line if name.startswith("alarm/")}
            self._active = (self._active - judged) | off

    def after_step(self, step: int, metrics: Mapping[str, float], rollouts: Sequence[Rollout]) -> dict[str, float]:
        """Return the alarm metrics of a training step with these ``metrics``. Raises nothing."""

        def judged() -> dict[str, float]:
            own = trained_role_metrics(rollouts)
            self._past.add(step, {**metrics, **own})
            return own | self._judge(step, self._after_step)

        return _without_raising(step, judged)

    def after_evaluation(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the alarm metrics of an evaluation on development questions. Raises nothing."""

        def judged() -> dict[str, float]:
            self._past.add(step, metrics)
            return self._judge(step, self._after_evaluation)

        return _without_raising(step, judged)

    def _judge(self, step: int, rules: Mapping[str, tuple[Rule, float | None]]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, (rule, threshold) in rules.items():
            if threshold is None:
                continue
            message = rule(self._past, self._window, threshold)
            metrics[f"alarm/{name}"] = float(message is not None)
            if message is None:
                self._active.discard(name)
            elif name not in self._active:
                self._active.add(name)
                log.warning("alarm %s at step %d: %s", name, step, message)
                self._record(name, f"step {step}: {message}")
        return metrics


def _without_raising(step: int, judged: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Call ``judged``. An error is logged and counted in a metric, but does not stop the run."""
    try:
        return judged()
    except Exception as error:
        log.warning(
            "the alarms could not be evaluated at step %d: %s: %s", step, type(error).__name__, error, exc_info=True
        )
        return {"alarm/failed": 1.0}
