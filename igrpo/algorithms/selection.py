"""Selection of the draft that a refinement prompt shows: d^ = argmax_i R(d_i) (paper, Eq. 1), and its alternatives."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from igrpo.types import Completion, Score

Selection = Literal["best", "random", "worst", "first", "wrong", "none"]
TieRule = Literal["random", "first", "shortest", "longest"]

#: A selection rule: takes the scores and completions of N drafts, a seeded generator and the tie rule, and returns the
#: index of the selected draft, or None.
SelectionRule = Callable[[Sequence[Score], Sequence[Completion], random.Random, TieRule], int | None]


def best(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Select the draft with the highest reward, as in the paper; a correct one among equals, then by the tie rule."""
    return _extreme([(score.value, score.correct is True) for score in scores_N], drafts_N, rng, ties)


def worst(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Select the draft with the lowest reward; among equals one that is not correct, then by the tie rule."""
    return _extreme([(-score.value, score.correct is not True) for score in scores_N], drafts_N, rng, ties)


def random_draft(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Select a draft at random, to measure what showing any draft does."""
    return rng.randrange(len(drafts_N))


def first(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Select the draft that was sampled first."""
    return 0


def wrong(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> int:
    """Select the wrong draft with the highest reward, if any is wrong, to measure what showing mistakes does."""
    return _extreme([(score.correct is False, score.value) for score in scores_N], drafts_N, rng, ties)


def none(scores_N: Sequence[Score], drafts_N: Sequence[Completion], rng: random.Random, ties: TieRule) -> None:
    """Select no draft: drafts are sampled, but the refinement prompt is the bare question."""


#: Selection rules, by ``algorithm.selection``.
RULES: dict[Selection, SelectionRule] = {
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
    """Apply a rule up to ``k`` times, each time to the drafts that are left, and return their indices."""
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
