"""Dynamic sampling of DAPO (arXiv 2503.14476, section 3.2): questions that teach nothing give their place to others.

A question is dropped when all that it would train on is right, or all wrong, by ``Score.correct``; where verdicts are
not known, when the rewards have no variance. (Not by the training reward: an overlong penalty gives answers that are
all right a variance.) Another question takes its place in the step, and another, ``max_attempts`` times at most: a
place that finds none stays empty, and the step is smaller.

How it differs from DAPO: the paper asks whole batches until one is full, and throws away what is left over; here each
place of the step is filled for itself, so that no useful group is sampled in vain and nothing waits for a barrier.
What place p is offered at its n-th attempt is a function of the run's seed, the step, p and n: not of the order in
which answers come, nor of how many processes share the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from igrpo.distributed import shares_at_main
from igrpo.metrics.samples import has_no_variance
from igrpo.types import Cohort, Dropped, Question, Trace


@dataclass(frozen=True, slots=True)
class DynamicSampling:
    """Asks until a place of the step has a question that teaches something.

    Args:
        places: S, the questions of a step, all processes together.
        max_attempts: further questions for one place.
        tolerance: of rewards that have no variance.
        replacements: ``(step, attempts)`` to further questions of that step, see `igrpo.data.module`.
    """

    places: int
    max_attempts: int
    tolerance: float
    replacements: Callable[[int, int], Sequence[Question]]

    def spare(self, step: int) -> Sequence[Question]:
        """What a step, counted from 1, has to replace its questions with."""
        return self.replacements(step - 1, self.max_attempts)

    async def fill(
        self,
        question: Question,
        place: int,
        spare: Sequence[Question],
        ask: Callable[[Question], Awaitable[Trace]],
    ) -> list[Trace]:
        """Everything asked in the ``place``-th place of the step: dropped traces, then the one to train on, if any.

        Args:
            spare: of the step.
            ask: samples and scores a question.
        """
        asked = [question, *spare[place :: self.places]]
        traces: list[Trace] = []
        for attempt, one in enumerate(asked[: 1 + self.max_attempts]):
            trace = replace(await ask(one), attempt=attempt)
            reason = why_dropped(trace, self.tolerance)
            traces.append(replace(trace, dropped=reason))
            if reason is None:
                break
        return traces


def why_dropped(trace: Trace, tolerance: float) -> Dropped | None:
    """None for a question with something to learn: any of its cohorts has right and wrong answers."""
    reasons = {_why(cohort, tolerance) for cohort in trace.cohorts}
    if None in reasons:
        return None
    return next(iter(reasons)) if len(reasons) == 1 else "no_variance"


def _why(cohort: Cohort, tolerance: float) -> Dropped | None:
    if len(cohort) < 2:  # the reward could not score the others: no baseline
        return "no_variance"
    verdicts = {lesson.score.correct for lesson in cohort}
    if verdicts == {True}:
        return "all_right"
    if verdicts == {False}:
        return "all_wrong"
    if None in verdicts and not {True, False} <= verdicts:
        return "no_variance" if has_no_variance([lesson.score.value for lesson in cohort], tolerance) else None
    return None


def everyones_traces(mine: Sequence[Trace]) -> list[Trace] | None:
    """The traces of all processes in the order of the step's places, in the main process; None in the others."""
    places: list[list[Trace]] = []
    for trace in mine:
        if trace.attempt == 0:
            places.append([])
        places[-1].append(trace)
    shares = shares_at_main(places)
    return None if shares is None else [trace for place in shares for trace in place]


def dynamic_metrics(traces: Sequence[Trace]) -> dict[str, float]:
    """What dynamic sampling did in a step, from the traces of all processes; the names are in `metric_docs`."""
    dropped = Counter(trace.dropped for trace in traces if trace.dropped is not None)
    places = sum(trace.attempt == 0 for trace in traces)
    return {
        "dynamic/sampled_questions": float(len(traces)),
        "dynamic/attempts": float(max((trace.attempt for trace in traces), default=0)),
        "dynamic/dropped": float(dropped.total()),
        "dynamic/dropped_all_right": float(dropped["all_right"]),
        "dynamic/dropped_all_wrong": float(dropped["all_wrong"]),
        "dynamic/missing": float(places - (len(traces) - dropped.total())),
    }
