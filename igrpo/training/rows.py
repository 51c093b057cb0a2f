"""Rows: the trained samples of a rollout, with their advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from igrpo.losses import Normaliser, advantages_of, overlong_penalty
from igrpo.settings.objective import AdvantageConfig
from igrpo.types import Rollout, Score, TrainingGroup


@dataclass(frozen=True, slots=True)
class Row:
    """Trained completion with its tokens, its advantage, and the sampler's log-probs of its T tokens.

    ``cross_prompt`` is True if the completion was sampled from a prompt other than ``prompt_ids``.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    advantage: float
    valid: bool
    cross_prompt: bool = False

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


#: Row without valid tokens, so that every process runs the same number of forward passes.
DUMMY_ROW = Row((0,), (0,), (0.0,), advantage=0.0, valid=False)


@dataclass(frozen=True, slots=True)
class Overlong:
    """Soft overlong penalty for completions of at most ``limit`` tokens; it grows over the last ``buffer`` of them."""

    limit: int
    buffer: int

    def penalties(self, group: TrainingGroup) -> torch.Tensor:
        """Return the penalty of each completion, from 0 to -1. It is added to the reward for training only."""
        return overlong_penalty(
            torch.tensor([len(sample.completion.token_ids) for sample in group.samples]),
            torch.tensor([sample.completion.truncated for sample in group.samples]),
            limit=self.limit,
            buffer=self.buffer,
        )


def question_rows(
    rollout: Rollout, advantage: AdvantageConfig, *, mask_truncated: bool, overlong: Overlong | None = None
) -> list[Row]:
    """Return the rows of one question: every trained sample, with its advantage within its group.

    With ``advantage.select=best``, the best right completion of a group has the advantage 1 and the others 0.
    With ``mask_truncated``, the tokens of a truncated completion are left out of the loss, but its reward still counts
    in the baseline of its group. ``overlong`` is added to the reward here only: drafts are selected, and scores are
    recorded, without it. A group of fewer than two completions (the reward could not score the others) has no
    baseline and yields no rows.
    """
    rows: list[Row] = []
    for group in rollout.groups:
        if len(group.samples) < 2:
            continue
        advantages_G = _advantages(group, advantage, overlong)
        rows += [
            Row(
                group.trained_prompt(sample).token_ids,
                sample.completion.token_ids,
                sample.completion.logprobs,
                value,
                valid=not (mask_truncated and sample.completion.truncated),
                cross_prompt=group.trained_prompt(sample) != sample.prompt,
            )
            for sample, value in zip(group.samples, advantages_G.tolist(), strict=True)
        ]
    return rows


def mean_penalty(rollouts: Sequence[Rollout], overlong: Overlong) -> float | None:
    """Return the mean overlong penalty of the trained completions, or None if there are none."""
    kept = [rollout for rollout in rollouts if rollout.dropped is None]
    groups = [group for rollout in kept for group in rollout.groups if len(group.samples) > 1]
    return torch.cat([overlong.penalties(group) for group in groups]).mean().item() if groups else None


def _advantages(group: TrainingGroup, advantage: AdvantageConfig, overlong: Overlong | None) -> torch.Tensor:
    scores_G = group.scores_G
    rewards_G = torch.tensor([score.value for score in scores_G], dtype=torch.float64)
    if overlong is not None:
        rewards_G = rewards_G + overlong.penalties(group)
    return advantages_of(rewards_G, torch.tensor([_accepted(score) for score in scores_G]), advantage)


def _accepted(score: Score) -> bool:
    """True if a completion may be imitated: it is right or, if the reward gives no verdict, its value is positive."""
    return score.value > 0 if score.correct is None else score.correct


def normaliser(rows: Sequence[Row]) -> Normaliser:
    """Return the loss denominators of one optimizer step: its number of sequences and of valid completion tokens.

    Rows of advantage 0 count as well. With ``select=best``, the loss is therefore the cross-entropy of the chosen
    completions, summed and divided by the number of all sampled completions. A chosen completion has the same weight
    in every step, however many are chosen.
    """
    return Normaliser(sequences=len(rows), tokens=sum(len(row.completion_ids) for row in rows if row.valid))
