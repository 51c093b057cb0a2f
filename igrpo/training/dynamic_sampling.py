"""Dynamic sampling of DAPO (arXiv 2503.14476, section 3.2): replaces questions without a training signal.

A question is dropped if all of its trained completions are right, or all are wrong, by ``Score.correct``. If verdicts
are unknown, it is dropped if the rewards have no variance. The training reward is not used for this, because an
overlong penalty gives a variance to answers that are all right. Another question takes the place of a dropped one, at
most ``max_attempts`` times per place. If none of them is usable, the place stays empty and the step is smaller.

Difference from DAPO: the paper samples whole batches until one is full and discards the rest. Here each place of the
step is filled separately, so no usable group is discarded and nothing waits for a barrier. The question tried at the
n-th attempt for place p depends on the run's seed, the step, p and n only. It does not depend on the order in which
answers arrive or on the number of processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from igrpo.distributed import shares_at_main
from igrpo.metrics.trained import has_no_variance
from igrpo.types import Dropped, Question, Rollout, TrainingGroup


@dataclass(frozen=True, slots=True)
class DynamicSampling:
    """Samples questions for a place of the step until one has a training signal.

    Args:
        places: S, the number of questions per step over all processes.
        max_attempts: maximum number of replacement questions per place.
        tolerance: rewards that differ by no more than this have no variance (see `has_no_variance`).
        replacements: function from ``(step, attempts)`` to replacement questions of that step, see `igrpo.data.module`.
    """

    places: int
    max_attempts: int
    tolerance: float
    replacements: Callable[[int, int], Sequence[Question]]

    def spare(self, step: int) -> Sequence[Question]:
        """Return the replacement questions of a step. Steps are counted from 1."""
        return self.replacements(step - 1, self.max_attempts)

    async def fill(
        self,
        question: Question,
        place: int,
        spare: Sequence[Question],
        ask: Callable[[Question], Awaitable[Rollout]],
    ) -> list[Rollout]:
        """Fill place number ``place`` of the step; return the dropped rollouts, then the one to train on, if any.

        Args:
            spare: replacement questions of the step.
            ask: samples and scores a question.
        """
        asked = [question, *spare[place :: self.places]]
        rollouts: list[Rollout] = []
        for attempt, one in enumerate(asked[: 1 + self.max_attempts]):
            rollout = replace(await ask(one), attempt=attempt)
            reason = why_dropped(rollout, self.tolerance)
            rollouts.append(replace(rollout, dropped=reason))
            if reason is None:
                break
        return rollouts


def why_dropped(rollout: Rollout, tolerance: float) -> Dropped | None:
    """Return why a question is dropped, or None if at least one of its training groups has a training signal."""
    reasons = {_why(group, tolerance) for group in rollout.groups}
    if None in reasons:
        return None
    return next(iter(reasons)) if len(reasons) == 1 else "no_variance"


def _why(group: TrainingGroup, tolerance: float) -> Dropped | None:
    if len(group.samples) < 2:  # the reward could not score the others: no baseline
        return "no_variance"
    verdicts = {score.correct for score in group.scores_G}
    if verdicts == {True}:
        return "all_right"
    if verdicts == {False}:
        return "all_wrong"
    if None in verdicts and not {True, False} <= verdicts:
        return "no_variance" if has_no_variance([score.value for score in group.scores_G], tolerance) else None
    return None


def everyones_rollouts(mine: Sequence[Rollout]) -> list[Rollout] | None:
    """Return all processes' rollouts in the order of the step's places, in the main process; None in the others."""
    places: list[list[Rollout]] = []
    for rollout in mine:
        if rollout.attempt == 0:
            places.append([])
        places[-1].append(rollout)
    shares = shares_at_main(places)
    return None if shares is None else [rollout for place in shares for rollout in place]


def dynamic_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return the dynamic sampling metrics of a step from the rollouts of all processes; `metric_docs` has the names."""
    dropped = Counter(rollout.dropped for rollout in rollouts if rollout.dropped is not None)
    places = sum(rollout.attempt == 0 for rollout in rollouts)
    return {
        "dynamic/sampled_questions": float(len(rollouts)),
        "dynamic/attempts": float(max((rollout.attempt for rollout in rollouts), default=0)),
        "dynamic/dropped": float(dropped.total()),
        "dynamic/dropped_all_right": float(dropped["all_right"]),
        "dynamic/dropped_all_wrong": float(dropped["all_wrong"]),
        "dynamic/missing": float(places - (len(rollouts) - dropped.total())),
    }
