"""Which draft is shown to the refiner: d^ = argmax_i R(d_i) (paper, Eq. 1), and the rules it is compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from igrpo.types import Completion, Score

TieRule = Literal["random", "first", "shortest", "longest"]

#: One rule: the drafts' scores and completions, a seeded generator and the tie rule; the index of the draft, or None.
SelectionRule = Callable[[Sequence[Score], Sequence[Completion], random.Random, TieRule], int | None]


def best(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """The draft of the highest reward, as the paper has it; among equals a correct one, then the tie rule."""
    return _extreme([(score.value, score.correct is True) for score in scores_N], drafts_N, rng, ties)


def worst(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """The draft of the lowest reward; among equals one that is not correct, then the tie rule."""
    return _extreme([(-score.value, score.correct is not True) for score in scores_N], drafts_N, rng, ties)


def random_draft(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Any draft: what does showing *some* draft do, without the selection?"""
    return rng.randrange(len(drafts_N))


def first(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """The draft that was sampled first."""
    return 0


def wrong(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """A draft known to be wrong, where there is one, the best of these by reward: is it mistakes that teach?"""
    return _extreme([(score.correct is False, score.value) for score in scores_N], drafts_N, rng, ties)


def none(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> None:
    """No draft: they are sampled and paid for, and the refiner sees the bare question."""


RULES: dict[str, SelectionRule] = {
    "best": best,
    "random": random_draft,
    "worst": worst,
    "first": first,
    "wrong": wrong,
    "none": none,
}


def choose(
    k: int,
    rule: SelectionRule,
    scores_N: Sequence[Score],
    drafts_N: Sequence[Completion],
    *,
    rng: random.Random,
    ties: TieRule,
) -> tuple[int, ...]:
    """The rule's first choice, its choice among the rest, and so on: up to ``k`` indices."""
    left = list(range(len(scores_N)))
    chosen: list[int] = []
    while left and len(chosen) < k:
        index = rule([scores_N[i] for i in left], [drafts_N[i] for i in left], rng, ties)
        if index is None:
            break
        chosen.append(left.pop(index))
    return tuple(chosen)


def _extreme(
    keys_N: Sequence[tuple[float, float]], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule
) -> int:
    top = max(keys_N)
    tied = [i for i, key in enumerate(keys_N) if key == top]
    if ties == "random":
        return rng.choice(tied)
    if ties == "first":
        return tied[0]
    sign = 1 if ties == "shortest" else -1
    return min(tied, key=lambda i: sign * len(drafts_N[i].token_ids))
