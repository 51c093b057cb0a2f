"""Task for pretrained models: products such as ``12 * 7``, each once, in three splits that share no product.

``12 * 7`` and ``7 * 12`` are always in the same split, since a model that learns one also learns the other.
"""

from __future__ import annotations

from random import Random

from igrpo.data.splits import Splits
from igrpo.seeding import derive_seed
from igrpo.types import Question


def times_tables_splits(
    seed: int, first: tuple[int, int], second: tuple[int, int], development: int, test: int
) -> Splits:
    """Return all products of two ranges, in splits.

    Args:
        seed: seed of the splits.
        first, second: the lowest and the highest value of each factor.
        development, test: number of held-out questions; one fewer if the last pair of products does not fit.

    Raises:
        ValueError: a range is empty, or a split is empty.
    """
    for name, (low, high) in (("first", first), ("second", second)):
        if low > high:
            raise ValueError(f"data.{name}=[{low},{high}]: the range from {low} to {high} is empty")
    groups = _commuting(first, second)
    Random(derive_seed("times tables", seed)).shuffle(groups)
    splits: dict[str, list[Question]] = {"test": [], "development": [], "train": []}
    room = {"test": test, "development": development}
    for group in groups:
        split = next((name for name, size in room.items() if len(splits[name]) + len(group) <= size), "train")
        splits[split] += group
    if not all(splits.values()):
        raise ValueError(
            f"data.development={development} and data.test={test} of {sum(map(len, groups))} products leave "
            f"{len(splits['train'])} to train on; every split needs some"
        )
    order = Random(derive_seed("order of the times tables", seed))
    for questions in splits.values():
        order.shuffle(questions)
    return Splits(tuple(splits["train"]), tuple(splits["development"]), tuple(splits["test"]))


def _commuting(first: tuple[int, int], second: tuple[int, int]) -> list[list[Question]]:
    """Return the products, grouped by their two factors."""
    groups: dict[frozenset[int], list[Question]] = {}
    for a in range(first[0], first[1] + 1):
        for b in range(second[0], second[1] + 1):
            problem = f"{a} * {b}"
            groups.setdefault(frozenset((a, b)), []).append(Question(f"times/{a}x{b}", problem, str(a * b)))
    return list(groups.values())
