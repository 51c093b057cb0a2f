"""Self-consistency (Wang et al. 2022, arXiv 2203.11171): majority vote over samples, without the gold answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vote:
    """Result of a vote.

    ``ballots`` holds the indices of the samples that gave each answer, most votes first (then in the order of their
    first samples). ``pick`` is the index of the chosen sample.
    """

    ballots: tuple[tuple[int, ...], ...]
    pick: int


def vote(answers: Sequence[str | None], same: Callable[[str, str], bool], rng: random.Random) -> Vote:
    """Choose one of the samples of the most frequent answer.

    Args:
        answers: one answer per sample, in normalised form; None for a sample without an answer, which does not vote.
        same: True if two differently written answers are equal. The more frequent one is passed first.
        rng: breaks ties between answers, then chooses among the samples of the chosen answer. If no sample has an
            answer, it chooses among all samples.

    Raises:
        ValueError: no samples.
    """
    if not answers:
        raise ValueError("there are no samples to choose from")
    groups = ballots(answers, same)
    if not groups:
        return Vote((), rng.randrange(len(answers)))
    tied = [samples for samples in groups if len(samples) == len(groups[0])]
    return Vote(groups, rng.choice(rng.choice(tied)))


def ballots(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the samples that gave each answer, as in `Vote`, from the arguments of `vote`."""
    counts = Counter(answer for answer in answers if answer is not None)
    spellings: list[list[str]] = []
    for answer, _ in counts.most_common():  # equal counts: in the order of their first samples
        known = next((group for group in spellings if same(group[0], answer)), None)
        if known is None:
            spellings.append([answer])
        else:
            known.append(answer)
    groups = [tuple(i for i, answer in enumerate(answers) if answer in group) for group in spellings]
    return tuple(sorted(groups, key=lambda samples: (-len(samples), samples[0])))
