"""Dynamic sampling of DAPO (arXiv 2503.14476, section 3.2): replaces questions without a training signal.

A question is dropped if all of its trained completions are right, or all are wrong, by ``Score.correct``. If verdicts
are unknown, it is dropped if the rewards have no variance. The training reward is not used for this, because an
overlong penalty gives a variance to answers that are all right. A dropped question is replaced by another one, at most
``max_attempts`` times. If no replacement is usable, the step has one question less.

Difference from DAPO: the paper samples whole batches until one is full and discards the rest. Here each
question of the step is replaced separately, so no usable group is discarded and nothing waits for a barrier. The n-th
replacement of question i depends on the run's seed, the step, i and n only. It does not depend on the order in which
answers arrive or on the number of processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from igrpo.distributed import shares_at_main
from igrpo.metrics.trained import scores_vary
from igrpo.types import Dropped, Question, Rollout, TrainingGroup


@dataclass(frozen=True, slots=True)
class DynamicSampling:
    """Replaces a question of the step until one has a training signal.

    Args:
        questions_per_step: S, over all processes.
        max_attempts: maximum number of replacements per question.
        tolerance: rewards that differ by no more than this have no variance (see `igrpo.losses.has_variance`).
        replacements: function from ``(step, attempts)`` to replacement questions of that step, see `igrpo.data.module`.
    """

    questions_per_step: int
    max_attempts: int
    tolerance: float
    replacements: Callable[[int, int], Sequence[Question]]

    def spare(self, step: int) -> Sequence[Question]:
        """Return the replacement questions of a step. Steps are counted from 1."""
        return self.replacements(step - 1, self.max_attempts)

    async def fill(
        self,
        question: Question,
        question_index: int,
        spare: Sequence[Question],
        ask: Callable[[Question], Awaitable[Rollout]],
    ) -> list[Rollout]:
        """Sample the question, then its replacements; return the dropped rollouts, then the one to train on, if any.

        Args:
            question_index: index of the question in the step.
            spare: replacement questions of the step.
            ask: samples and scores a question.
        """
        asked = [question, *spare[question_index :: self.questions_per_step]]
        rollouts: list[Rollout] = []
        for attempt, candidate in enumerate(asked[: 1 + self.max_attempts]):
            rollout = replace(await ask(candidate), attempt=attempt)
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
        return None if scores_vary(group.scores_G, tolerance) else "no_variance"
    return None


def gather_rollouts(mine: Sequence[Rollout]) -> list[Rollout] | None:
    """Return the rollouts of all processes in the order of the step, in the main process; None in the others."""
    by_question: list[list[Rollout]] = []
    for rollout in mine:
        if rollout.attempt == 0:
            by_question.append([])
        by_question[-1].append(rollout)
    shares = shares_at_main(by_question)
    return None if shares is None else [rollout for rollouts in shares for rollout in rollouts]


def dynamic_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return the dynamic sampling metrics of a step, from the rollouts of all processes."""
    dropped = Counter(rollout.dropped for rollout in rollouts if rollout.dropped is not None)
    questions = sum(rollout.attempt == 0 for rollout in rollouts)
    return {
        "dynamic/sampled_questions": float(len(rollouts)),
        "dynamic/attempts": float(max((rollout.attempt for rollout in rollouts), default=0)),
        "dynamic/dropped": float(dropped.total()),
        "dynamic/dropped_all_right": float(dropped["all_right"]),
        "dynamic/dropped_all_wrong": float(dropped["all_wrong"]),
        "dynamic/missing": float(questions - (len(rollouts) - dropped.total())),
    }
