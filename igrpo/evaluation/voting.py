"""Self-consistency (Wang et al. 2022, arXiv 2203.11171): the answer of most samples; no gold answer is used."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vote:
    """``ballots`` holds, for each answer that was voted for, the samples that gave it, most votes first (then in the
    order of their first samples). ``pick`` is the sample that was chosen."""

    ballots: tuple[tuple[int, ...], ...]
    pick: int


def vote(answers: Sequence[str | None], same: Callable[[str, str], bool], rng: random.Random) -> Vote:
    """Choose one of the samples of the most frequent answer.

    Args:
        answers: one a sample, in normalised form; None: no answer, and no vote.
        same: whether two differently written answers are the same. The more frequent one comes first.
        rng: breaks ties: between answers, then between the samples of the chosen one. Where no sample has an answer,
            it chooses among all.

    Raises:
        ValueError: no samples.
    """
    if not answers:
        raise ValueError("there are no samples to choose from")
    counts = Counter(answer for answer in answers if answer is not None)
    spellings: list[list[str]] = []
    for answer, _ in counts.most_common():  # equal counts: in the order of their first samples
        known = next((group for group in spellings if same(group[0], answer)), None)
        if known is None:
            spellings.append([answer])
        else:
            known.append(answer)
    ballots = [tuple(i for i, answer in enumerate(answers) if answer in group) for group in spellings]
    ballots.sort(key=lambda samples: (-len(samples), samples[0]))
    if not ballots:
        return Vote((), rng.randrange(len(answers)))
    tied = [samples for samples in ballots if len(samples) == len(ballots[0])]
    return Vote(tuple(ballots), rng.choice(rng.choice(tied)))
