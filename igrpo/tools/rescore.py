"""Scoring of a run's stored rollouts with another reward, and comparison of the two.

The rollouts are read, never changed. Of each completion only the text is used, since a reward sees nothing else. Only
answers to the question are scored; critiques, and verdicts about an answer to another question, were never scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import StatisticsError, correlation, fmean
from typing import Any

from igrpo.rewards.base import Reward, checked_score
from igrpo.rewards.judge.own_loop import together
from igrpo.runs.rollout_log import read_rollouts
from igrpo.runs.strict_json import decode_number
from igrpo.types import ANSWER_ROLES, Completion, Question, Score

#: Number of questions that are scored concurrently.
_AT_A_TIME = 32
#: Maximum number of disagreements that are returned, and of characters of each text.
_EXAMPLES = 100
_SHOWN_CHARS = 400


@dataclass(frozen=True, slots=True)
class ScorePair:
    """A completion with the scores of both rewards (None: it could not be scored).

    ``sampling_round`` and ``index`` are its id among the question's samples. ``is_draft``: the reward chose a
    completion of this round for a later prompt.
    """

    step: int
    question: str
    sampling_round: int
    index: int
    is_draft: bool
    text: str
    old: Score | None
    new: Score | None


@dataclass(frozen=True, slots=True)
class RescoreResult:
    """Comparison of the old and the new reward; None if a value is undefined.

    Values are compared on the completions that both rewards scored, verdicts on those of which both know whether they
    are right. ``other_best`` is the share, among rounds that the reward chose drafts from, in which no draft that is
    best by the old reward (by value, right ones first) is best by the new one.
    """

    completions: int
    unscored_old: int
    unscored_new: int
    mean_old: float | None
    mean_new: float | None
    correlation: float | None
    verdicts: int
    agreement: float | None
    both_right: int
    only_old_right: int
    only_new_right: int
    neither_right: int
    drafted_rounds: int
    other_best: float | None


def rescore(run_dir: Path, reward: Reward, steps: range | None, *, best_is_shown: bool) -> list[ScorePair]:
    """Score every stored answer of ``steps`` (None: all steps) with ``reward``.

    Args:
        run_dir: the run directory.
        reward: the new reward.
        steps: range of steps; None: all.
        best_is_shown: True if the run showed the draft with the highest reward, not, for example, a random one.

    Raises:
        ValueError: the run has no rollouts, or none of these steps.
        RewardError: the reward failed.
    """
    lines = [line for line in read_rollouts(run_dir / "rollouts") if steps is None or line["step"] in steps]
    if not lines:
        of = "" if steps is None else f" of the steps {steps.start} to {steps.stop - 1}"
        raise ValueError(f"{run_dir} keeps no rollouts{of}")
    return asyncio.run(_score_all(lines, reward, best_is_shown=best_is_shown))


def compare(pairs: Sequence[ScorePair]) -> RescoreResult:
    """Compare the scores of both rewards."""
    both = [(pair.old, pair.new) for pair in pairs if pair.old is not None and pair.new is not None]
    old, new = [one.value for one, _ in both], [other.value for _, other in both]
    known = [(one.correct, other.correct) for one, other in both if None not in (one.correct, other.correct)]
    changed = [_chooses_another(drafts) for drafts in _drafted(pairs)]
    return RescoreResult(
        completions=len(pairs),
        unscored_old=sum(pair.old is None for pair in pairs),
        unscored_new=sum(pair.new is None for pair in pairs),
        mean_old=fmean(old) if old else None,
        mean_new=fmean(new) if new else None,
        correlation=_correlation(old, new),
        verdicts=len(known),
        agreement=fmean(a == b for a, b in known) if known else None,
        both_right=known.count((True, True)),
        only_old_right=known.count((True, False)),
        only_new_right=known.count((False, True)),
        neither_right=known.count((False, False)),
        drafted_rounds=len(changed),
        other_best=fmean(changed) if changed else None,
    )


def disagreements(pairs: Iterable[ScorePair]) -> list[dict[str, Any]]:
    """Return the first completions whose verdicts differ, for inspection."""
    found = []
    for pair in pairs:
        if pair.old is None or pair.new is None or None in (pair.old.correct, pair.new.correct):
            continue
        if pair.old.correct != pair.new.correct:
            place = {"step": pair.step, "question": pair.question, "round": pair.sampling_round, "index": pair.index}
            scores = {"old": pair.old.value, "new": pair.new.value, "old_right": pair.old.correct}
            found.append({**place, **scores, "text_end": pair.text[-_SHOWN_CHARS:]})
    return found[:_EXAMPLES]


async def _score_all(lines: Sequence[dict[str, Any]], reward: Reward, *, best_is_shown: bool) -> list[ScorePair]:
    pairs: list[ScorePair] = []
    for start in range(0, len(lines), _AT_A_TIME):
        batch = lines[start : start + _AT_A_TIME]
        scored = await together(_score_line(line, reward, best_is_shown=best_is_shown) for line in batch)
        pairs += [pair for one in scored for pair in one]
    return pairs


async def _score_line(line: dict[str, Any], reward: Reward, *, best_is_shown: bool) -> list[ScorePair]:
    question = Question(**line["question"])
    answers = [stored for stored in line["samples"] if stored["role"] in ANSWER_ROLES]
    chosen_from = {shown[0] for stored in answers for shown in stored["context"]} if best_is_shown else set()
    pairs: list[ScorePair] = []
    for number, samples in groupby(answers, key=lambda stored: stored["id"][0]):
        stored = list(samples)
        scores = await checked_score(reward, question, [_completion(one) for one in stored])
        pairs += [
            ScorePair(
                line["step"],
                question.id,
                number,
                one["id"][1],
                number in chosen_from,
                one["text"],
                None if one["score"] is None else _score(one["score"]),
                new,
            )
            for one, new in zip(stored, scores, strict=True)
        ]
    return pairs


def _completion(stored: dict[str, Any]) -> Completion:
    return Completion(
        token_ids=tuple(stored["token_ids"]),
        text=stored["text"],
        logprobs=tuple(decode_number(value) for value in stored["logprobs"]),
        sampling_entropies=None,
        policy_entropies=None,
        finish_reason=stored["finish_reason"],
        policy_version=stored["policy_version"],
    )


def _score(stored: dict[str, Any]) -> Score:
    return Score(decode_number(stored["value"]), stored["correct"], stored["outcome"], stored["answer"])


def _drafted(pairs: Iterable[ScorePair]) -> Iterator[list[tuple[Score, Score]]]:
    """Yield both scores of all drafts per round, for rounds with a chosen draft that both rewards scored completely."""
    rounds: dict[tuple[int, str, int], list[ScorePair]] = {}
    for pair in pairs:
        if pair.is_draft:
            rounds.setdefault((pair.step, pair.question, pair.sampling_round), []).append(pair)
    for drafts in rounds.values():
        scores = [(pair.old, pair.new) for pair in drafts if pair.old is not None and pair.new is not None]
        if len(scores) == len(drafts):
            yield scores


def _chooses_another(scores: Sequence[tuple[Score, Score]]) -> bool:
    return not _best([old for old, _ in scores]) & _best([new for _, new in scores])


def _best(scores: Sequence[Score]) -> set[int]:
    ranks = [(score.value, score.correct is True) for score in scores]
    return {i for i, rank in enumerate(ranks) if rank == max(ranks)}


def _correlation(old: Sequence[float], new: Sequence[float]) -> float | None:
    """Return Pearson's correlation; None if there are fewer than two values, or if all values are equal."""
    try:
        return correlation(old, new)
    except StatisticsError:
        return None
