"""From traces to packed tensors: rows, minibatches of whole questions, micro-batches within a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from igrpo.config.parts.algorithm import AdvantageConfig
from igrpo.losses import Normaliser, group_advantages, imitation_weights, overlong_penalty
from igrpo.models.flops import Work, row_work
from igrpo.types import Cohort, Score, Trace


@dataclass(frozen=True, slots=True)
class Row:
    """One trained completion: its tokens, its advantage, and the log-probs that the sampler gave it (T values).

    ``transferred``: the sampler saw another prompt than the one here.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    advantage: float
    valid: bool
    transferred: bool = False

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


#: A row that counts for nothing, where a process must make a pass because others do.
NOTHING = Row((0,), (0,), (0.0,), advantage=0.0, valid=False)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """B right-padded rows of up to L tokens, of which up to T are a completion's.

    ``positions_BT`` points, for each completion token, at the position whose hidden state predicts it.
    ``mask_BT`` is True at the tokens that count, ``transferred_B`` for rows whose
    sampler saw another prompt. ``work`` is that of one forward pass over the rows, without padding.
    """

    input_ids_BL: Tensor
    attention_mask_BL: Tensor
    positions_BT: Tensor
    targets_BT: Tensor
    mask_BT: Tensor
    advantages_B: Tensor
    sampler_logprobs_BT: Tensor
    transferred_B: Tensor
    work: Work

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on another device."""
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "work"}
        return MicroBatch(**tensors, work=self.work)


@dataclass(frozen=True, slots=True)
class Overlong:
    """The soft overlong penalty: completions of at most ``limit`` tokens, penalised in the last ``buffer`` of them."""

    limit: int
    buffer: int

    def penalties(self, cohort: Cohort) -> torch.Tensor:
        """What is added to the reward of each, for training alone: 0 to -1."""
        return overlong_penalty(
            torch.tensor([len(lesson.completion.token_ids) for lesson in cohort]),
            torch.tensor([lesson.completion.truncated for lesson in cohort]),
            limit=self.limit,
            buffer=self.buffer,
        )


def question_rows(
    trace: Trace, advantage: AdvantageConfig, *, mask_truncated: bool, overlong: Overlong | None = None
) -> list[Row]:
    """The rows of one question: every completion that is trained, with its cohort's advantages.

    With ``advantage.select=best`` the best right completion of a cohort has the advantage 1 and the others 0.
    A truncated completion stays in its cohort's baseline when ``mask_truncated`` takes its tokens out of the loss.
    ``overlong`` is part of the reward here, and nowhere else: drafts are chosen, and scores kept, without it.
    A cohort of fewer than two (the reward could not score the others) has no baseline, and no rows.
    """
    rows: list[Row] = []
    for cohort in trace.cohorts:
        if len(cohort) < 2:
            continue
        advantages_G = _advantages(cohort, advantage, overlong)
        rows += [
            Row(
                lesson.prompt.token_ids,
                lesson.completion.token_ids,
                lesson.completion.logprobs,
                value,
                valid=not (mask_truncated and lesson.completion.truncated),
                transferred=lesson.transferred,
            )
            for lesson, value in zip(cohort, advantages_G.tolist(), strict=True)
        ]
    return rows


def mean_penalty(traces: Sequence[Trace], overlong: Overlong) -> float | None:
    """Of the completions that are trained; None where there are none."""
    cohorts = [cohort for trace in traces if trace.dropped is None for cohort in trace.cohorts if len(cohort) > 1]
    return torch.cat([overlong.penalties(cohort) for cohort in cohorts]).mean().item() if cohorts else None


def _advantages(cohort: Cohort, advantage: AdvantageConfig, overlong: Overlong | None) -> torch.Tensor:
    scores_G = [lesson.score for lesson in cohort]
    rewards_G = torch.tensor([score.value for score in scores_G], dtype=torch.float64)
    if overlong is not None:
        rewards_G = rewards_G + overlong.penalties(cohort)
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
    """Whether a completion may be imitated: it is right; where the reward gives no verdict, its value is positive."""
    return score.value > 0 if score.correct is None else score.correct


def normaliser(rows: Sequence[Row]) -> Normaliser:
    """The denominators of the batch of one optimizer step: its sequences and its valid completion tokens.

    Rows of advantage 0 count as well. With ``select=best`` the loss is therefore the cross-entropy of the chosen
    completions, summed and divided by all sampled ones: each weighs the same in every step, however many there are.
    """
    return Normaliser(sequences=len(rows), tokens=sum(len(row.completion_ids) for row in rows if row.valid))


def split_rows(rows: Sequence[Row], token_budget: int) -> list[list[Row]]:
    """Micro-batches of rows of similar length, each at most ``token_budget`` tokens with its padding.

    Raises:
        ValueError: one row alone is over the budget.
    """
    parts: list[list[Row]] = []
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
    """Right-padded tensors of B rows. Right padding needs no position ids: attention is causal."""
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
        transferred_B=torch.tensor([row.transferred for row in rows]),
        work=sum((row_work(len(row.prompt_ids), len(row.completion_ids)) for row in rows), Work()),
    )
