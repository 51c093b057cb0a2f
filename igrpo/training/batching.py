"""Conversion of rollouts into training tensors: rows, and micro-batches within a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from igrpo.losses import Normaliser, group_advantages, imitation_weights, overlong_penalty
from igrpo.models.flops import Work, row_work
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
class MicroBatch:
    """B right-padded rows of up to L tokens each, with completions of up to T tokens.

    ``positions_BT`` holds, for each completion token, the position whose hidden state predicts it. ``mask_BT`` is True
    at the tokens that enter the loss. ``cross_prompt_B`` is True for rows that were sampled from another prompt.
    ``work`` is the work of one forward pass over the rows, without padding.
    """

    input_ids_BL: Tensor
    attention_mask_BL: Tensor
    positions_BT: Tensor
    targets_BT: Tensor
    mask_BT: Tensor
    advantages_B: Tensor
    sampler_logprobs_BT: Tensor
    cross_prompt_B: Tensor
    work: Work

    def to(self, device: torch.device) -> MicroBatch:
        """Copy the batch to a device."""
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "work"}
        return MicroBatch(**tensors, work=self.work)


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
    if advantage.select == "best":
        return imitation_weights(rewards_G, torch.tensor([_accepted(score) for score in scores_G]))
    return group_advantages(
        rewards_G,
        baseline=advantage.baseline,
        scale=advantage.scale,
        std=advantage.std,
        std_eps=advantage.std_eps,
        tolerance=advantage.tolerance,
    )


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


class HasLength(Protocol):
    """Anything with a number of tokens."""

    @property
    def length(self) -> int: ...


R = TypeVar("R", bound=HasLength)


def split_rows(rows: Sequence[R], token_budget: int) -> list[list[R]]:
    """Split rows into micro-batches of similar length, each of at most ``token_budget`` tokens, padding included.

    Raises:
        ValueError: a single row exceeds the budget.
    """
    parts: list[list[R]] = []
    for row in sorted(rows, key=lambda row: row.length, reverse=True):
        if row.length > token_budget:
            raise ValueError(
                f"a row of {row.length} tokens does not fit trainer.tokens_per_microbatch={token_budget}; raise it"
            )
        longest = parts[-1][0].length if parts else 0
        if parts and longest * (len(parts[-1]) + 1) <= token_budget:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def collate(rows: Sequence[Row], pad_id: int) -> MicroBatch:
    """Collate B rows into right-padded tensors. No position ids are needed, because attention is causal."""
    length = max(row.length for row in rows)
    width = max(len(row.completion_ids) for row in rows)
    ids, attention, positions, targets, mask, sampler = [], [], [], [], [], []
    for row in rows:
        start, size = len(row.prompt_ids), len(row.completion_ids)
        rest = length - row.length
        ids.append([*row.prompt_ids, *row.completion_ids, *[pad_id] * rest])
        attention.append([1] * row.length + [0] * rest)
        positions.append([*range(start - 1, start + size - 1), *[0] * (width - size)])
        targets.append([*row.completion_ids, *[pad_id] * (width - size)])
        mask.append([row.valid] * size + [False] * (width - size))
        sampler.append([*row.sampler_logprobs, *[0.0] * (width - size)])
    return MicroBatch(
        input_ids_BL=torch.tensor(ids),
        attention_mask_BL=torch.tensor(attention),
        positions_BT=torch.tensor(positions),
        targets_BT=torch.tensor(targets),
        mask_BT=torch.tensor(mask, dtype=torch.bool),
        advantages_B=torch.tensor([row.advantage for row in rows], dtype=torch.float32),
        sampler_logprobs_BT=torch.tensor(sampler, dtype=torch.float32),
        cross_prompt_B=torch.tensor([row.cross_prompt for row in rows]),
        work=sum((row_work(len(row.prompt_ids), len(row.completion_ids)) for row in rows), Work()),
    )
