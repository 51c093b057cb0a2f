"""Majority@k over all subsets of k samples, and how far the samples of a question agree."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from igrpo.evaluation.answer_groups import AnswerGroups

_Array = NDArray[np.float64]


def majority_curve(groups: AnswerGroups) -> _Array:
    """Return the expected accuracy of the most frequent of k answers, for k = 1..n, shape (n,).

    The expectation is over all subsets of k of the n samples, and exact. A sample without an answer does not vote; a
    subset without votes counts as wrong. A tie counts with the expected accuracy of a random choice among the tied
    answers, and an answer with the share of its samples that are right. At k = n this is `estimators.majority_at_k`.

    Method: for each number of votes t that wins, the subsets are counted by generating functions. Every answer with
    fewer than t samples may have any number of votes. Each other one has fewer than t votes or, tied, exactly t.
    """
    n = groups.samples
    won_K = np.zeros(n + 1)
    for votes in range(1, max(groups.sizes, default=0) + 1):
        won_K += _won_with(groups, votes)
    subsets_K = np.array([math.comb(n, k) for k in range(n + 1)], dtype=float)
    curve: _Array = np.clip((won_K / subsets_K)[1:], 0.0, 1.0)
    return curve


def consistency(groups: AnswerGroups) -> float:
    """Return the share of a question's samples that give the most frequent answer; 0 without any answer.

    It depends on n: few samples agree by chance more easily. `agreement` does not.
    """
    return max(groups.sizes, default=0) / groups.samples


def agreement(groups: AnswerGroups) -> float:
    """Return an unbiased estimate of the probability that two samples give the same answer (Simpson 1949).

    A sample without an answer agrees with no other.

    Raises:
        ValueError: fewer than two samples.
    """
    n = groups.samples
    if n < 2:
        raise ValueError(f"agreement needs at least 2 samples per question, and there are {n}")
    return sum(size * (size - 1) for size in groups.sizes) / (n * (n - 1))


def _won_with(groups: AnswerGroups, votes: int) -> _Array:
    """Return, by k, the sum over subsets of k samples that are won with ``votes`` votes of the winner's accuracy."""
    n = groups.samples
    most_ties = min(n // votes, sum(size >= votes for size in groups.sizes))
    # [ties, degree]: number of subsets of the answers so far by their size and by the answers with exactly `votes`
    # votes, and the sum over these subsets of the accuracies of those answers.
    ways, rights = np.zeros((most_ties + 1, n + 1)), np.zeros((most_ties + 1, n + 1))
    ways[0, 0] = 1.0
    free = groups.blank
    for size, right in zip(groups.sizes, groups.right, strict=True):
        if size < votes:
            free += size
            continue
        row = _binomials(size)
        below, exactly = row[:votes], row[votes]
        tied_ways, tied_rights = np.zeros_like(ways), np.zeros_like(rights)
        tied_ways[1:, votes:] = ways[:-1, : n + 1 - votes] * exactly
        tied_rights[1:, votes:] = (rights + ways * (right / size))[:-1, : n + 1 - votes] * exactly
        ways, rights = _times(ways, below) + tied_ways, _times(rights, below) + tied_rights
    shared = (rights[1:] / np.arange(1, most_ties + 1)[:, None]).sum(axis=0)
    return np.convolve(shared, _binomials(free))[: n + 1]


def _times(rows: _Array, polynomial: _Array) -> _Array:
    """Return each row, a polynomial, multiplied by ``polynomial`` and cut to the row's length."""
    product = np.zeros_like(rows)
    for degree, coefficient in enumerate(polynomial):
        product[:, degree:] += rows[:, : rows.shape[1] - degree] * coefficient
    return product


@lru_cache(maxsize=4096)
def _binomials(size: int) -> _Array:
    """Return C(size, 0), ..., C(size, size)."""
    return np.array([math.comb(size, i) for i in range(size + 1)], dtype=float)
