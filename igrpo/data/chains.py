"""Synthetic task: chains of operations on digits, evaluated from left to right modulo 10.

The problem ``6 -7 -1 -5 -9 *8`` has the answer ``2`` and one clean solution, ``6-7=9-1=8-5=3-9=4*8=2\\boxed{2}``.
Everything here is a pure function of its arguments, so that any question can be generated again at any time.

A hash of the problem's text decides the split of a problem, independent of the seed. Splits therefore never share a
problem, even across runs with different seeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, Literal, get_args, overload

from igrpo.data.splits import Splits
from igrpo.seeding import derive_seed
from igrpo.types import Question

Split = Literal["train", "warm_start", "development", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

#: Share of all problems in each split, in percent.
SPLIT_SHARES: Final[dict[Split, int]] = {"train": 45, "warm_start": 45, "development": 5, "test": 5}

OPERATORS: Final = "+-*"
_PROBLEM: Final = re.compile(r"[0-9](?: [+*-][0-9])+", re.ASCII)


def apply_operator(left: int, operator: str, right: int) -> int:
    """Compute ``left operator right`` modulo 10."""
    if operator == "+":
        return (left + right) % 10
    if operator == "-":
        return (left - right) % 10
    assert operator == "*", operator
    return (left * right) % 10


def parse_chain(problem: str) -> tuple[int, list[tuple[str, int]]]:
    """Return the first digit and the (operator, operand) pairs of a problem such as ``6 -7 *8``.

    Raises:
        ValueError: the text is not such a chain.
    """
    if not _PROBLEM.fullmatch(problem):
        raise ValueError(f"{problem!r} is not a chain of digits such as '6 -7 *8'")
    first, *links = problem.split(" ")
    return int(first), [(link[0], int(link[1])) for link in links]


def split_of_problem(problem: str) -> Split:
    """Return the only split that may contain this problem."""
    share = derive_seed("chain split", problem) % 100
    for split, size in SPLIT_SHARES.items():
        if share < size:
            return split
        share -= size
    raise AssertionError("the shares of the splits sum to 100")


def chain_question(seed: int, split: str, index: int, operations: int) -> Question:
    """Generate question number ``index`` of a split. The first digit is 0-9, operands are 1-9.

    Problems of other splits are rejected and drawn again, so questions are uniform over the problems of the split.

    Raises:
        ValueError: the split is unknown, the index is negative, or there is no operation.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r} of the chains; choose one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"question {index} of the chains: an index starts at 0")
    if operations < 1:
        raise ValueError(f"data.operations={operations}: a chain needs at least one operation")
    rng = Random(derive_seed("chain", seed, split, index, operations))
    while True:
        problem = _draw_problem(rng, operations)
        if split_of_problem(problem) == split:
            return Question(f"chain{operations}/{split}/{seed}/{index}", problem, _answer(problem))


def chain_splits(seed: int, operations: int, train: int, development: int, test: int) -> Splits:
    """Return splits of chains, which need no download and are unlimited in number.

    Args:
        seed: seed of the questions (not of the order in which a run sees them).
        operations: operations per chain; more are harder.
        train, development, test: number of questions of each split. Training questions are generated on access.

    Raises:
        ValueError: there is no operation, or a split is empty.
    """
    sizes = {"train": train, "development": development, "test": test}
    for name, size in {"operations": operations, **sizes}.items():
        if size < 1:
            raise ValueError(f"data.{name}={size}: it must be at least 1")
    chains = {name: _Chains(seed, name, size, operations) for name, size in sizes.items()}
    return Splits(chains["train"], tuple(chains["development"]), tuple(chains["test"]))


class _Chains(Sequence[Question]):
    """Split of the chains that generates its questions on access."""

    def __init__(self, seed: int, split: str, size: int, operations: int) -> None:
        self._seed, self._split, self._size, self._operations = seed, split, size, operations

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> list[Question]: ...
    def __getitem__(self, index: int | slice) -> Question | list[Question]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(f"question {index} of {self._size}")
        return chain_question(self._seed, self._split, index % self._size, self._operations)

    def __iter__(self) -> Iterator[Question]:
        return (self[index] for index in range(self._size))


def _draw_problem(rng: Random, operations: int) -> str:
    links = [f" {rng.choice(OPERATORS)}{rng.randint(1, 9)}" for _ in range(operations)]
    return str(rng.randint(0, 9)) + "".join(links)


def _answer(problem: str) -> str:
    value, links = parse_chain(problem)
    for operator, operand in links:
        value = apply_operator(value, operator, operand)
    return str(value)


def clean_solution(question: Question) -> str:
    """Return the correct solution with all of its steps: ``6-7=9*8=2\\boxed{2}``."""
    return teacher_solution(question, Random(0), slip=0.0, misconception=0.0)


def teacher_solution(question: Question, rng: Random, slip: float, misconception: float) -> str:
    """Generate the solution of an imperfect teacher, so that reinforcement learning has mistakes to correct.

    Later steps continue from a wrong intermediate result.

    Args:
        question: a question of :func:`chain_question`.
        rng: decides where the mistakes fall.
        slip: probability of a random wrong digit in each step.
        misconception: probability that a subtraction x - a with x < a gives |x - a| instead of (x - a) mod 10.
    """
    value, links = parse_chain(question.problem)
    steps = [str(value)]
    for operator, operand in links:
        result = apply_operator(value, operator, operand)
        if operator == "-" and value < operand and rng.random() < misconception:
            result = abs(value - operand)
        if rng.random() < slip:
            result = (result + rng.randint(1, 9)) % 10
        steps.append(f"{operator}{operand}={result}")
        value = result
    return "".join(steps) + f"\\boxed{{{value}}}"
