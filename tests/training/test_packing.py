"""Packing of rows: every row can be read back from the tree, and no micro-batch exceeds its budget."""

from __future__ import annotations

import random
from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from igrpo.training.batching import collate, collate_packed, micro_batches
from igrpo.training.packing import Packed, pack, sorted_rows, split_packed
from igrpo.training.rows import Row

PROMPTS = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=40).map(tuple)


def row(prompt: tuple[int, ...], completion: tuple[int, ...], valid: bool = True) -> Row:
    return Row(prompt, completion, tuple(-float(token) for token in completion), 0.5, valid=valid)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows of a few prompts, of which some begin alike."""
    stems = draw(st.lists(PROMPTS, min_size=1, max_size=3))
    prompts = draw(
        st.lists(st.sampled_from(stems).flatmap(lambda stem: st.sampled_from([stem, stem * 2, (*stem, 3)])), min_size=1)
    )
    completions = st.lists(st.integers(3, 9), min_size=1, max_size=8).map(tuple)
    return [row(prompt, draw(completions)) for prompt in prompts]


def read_back(packed: Packed, given: list[Row]) -> list[tuple[int, ...]]:
    """The tokens that each row's last packed token attends to, in order of their positions."""
    mask = packed.tree.mask_NN
    found = []
    for one, (prompt_end, start) in zip(given, packed.places, strict=True):
        last = prompt_end if len(one.completion_ids) == 1 else start + len(one.completion_ids) - 2
        seen = mask[last].nonzero()[:, 0].tolist()
        assert [packed.positions[i] for i in seen] == list(range(len(seen)))
        found.append(tuple(packed.token_ids[i] for i in seen))
    return found


@given(rows())
def test_every_row_can_be_read_back(given_rows: list[Row]) -> None:
    ordered = sorted_rows(given_rows)
    packed = pack(ordered)
    assert read_back(packed, ordered) == [(*one.prompt_ids, *one.completion_ids[:-1]) for one in ordered]


@given(rows())
def test_equal_prompts_are_packed_once(given_rows: list[Row]) -> None:
    packed = pack(sorted_rows(given_rows))
    prompts = {one.prompt_ids for one in given_rows}
    most = sum(map(len, prompts)) + sum(len(one.completion_ids) - 1 for one in given_rows)
    assert len(packed.token_ids) <= most


def test_common_beginnings_of_prompts_are_packed_once() -> None:
    stem = tuple(range(100, 120))
    ordered = sorted_rows(
        [row((*stem, 1), (5, 6)), row((*stem, 2, 3), (7, 8, 9)), row((*stem, 2, 4), (7, 8)), row(stem, (1,))]
    )
    packed = pack(ordered)
    assert len(packed.token_ids) == 20 + (1 + 1) + 1 + (1 + 2) + (1 + 1)
    assert packed.token_ids.count(100) == 1


@given(rows(), st.integers(5, 200))
def test_micro_batches_hold_their_budget_and_every_row(given_rows: list[Row], budget: int) -> None:
    parts = split_packed(given_rows, budget)
    assert sorted(id(one) for part in parts for one in part) == sorted(map(id, given_rows))
    assert all(len(part) == 1 or len(pack(part).token_ids) <= budget for part in parts)
    assert all(batch.mask_BT.sum() for batch in micro_batches(given_rows, budget, 0, packed=True))


@given(rows().filter(lambda found: len(found) <= 7), st.integers(5, 200))
def test_micro_batches_have_the_fewest_tokens(given_rows: list[Row], budget: int) -> None:
    """Against all ways of cutting the sorted rows."""

    def tokens(part: list[Row]) -> int:
        return len(pack(part).token_ids) + len(part)  # a row counts with its last token, which is not packed

    ordered, found = sorted_rows(given_rows), []
    for chosen in product((False, True), repeat=len(ordered) - 1):
        cuts = [0, *(i + 1 for i, cut in enumerate(chosen) if cut), len(ordered)]
        parts = [ordered[start:end] for start, end in pairwise(cuts)]
        if all(len(part) == 1 or tokens(part) <= budget for part in parts):
            found.append((sum(map(tokens, parts)), len(parts)))
    split = split_packed(given_rows, budget)
    assert (sum(map(tokens, split)), len(split)) == min(found)


def test_a_group_that_fits_is_not_cut() -> None:
    """Filling each micro-batch, from either end, would cut one: 180 tokens instead of 140."""
    small, large = ([row(tuple(range(first, first + 40)), (3,) * 10)] * count for first, count in ((0, 2), (1, 4)))
    assert [len(part) for part in split_packed([*large, *small], 130)] == [2, 4]


def test_targets_and_predictors_belong_together() -> None:
    """Each predictor is the token before its target, packed or padded."""
    generator = random.Random(3)
    prompt = tuple(generator.choices(range(10), k=5))
    ordered = sorted_rows([row(prompt, tuple(generator.choices(range(10, 20), k=n)), n != 2) for n in (4, 2, 1, 7)])
    for batch, flat in (
        (collate_packed(ordered, 0), lambda inputs: inputs.token_ids_L.tolist()),
        (collate(ordered, 0), lambda inputs: inputs.token_ids_BL.flatten().tolist()),
    ):
        tokens = flat(batch.inputs)
        for one, predictors, targets, mask in zip(
            ordered, batch.predictors_BT.tolist(), batch.targets_BT.tolist(), batch.mask_BT.tolist(), strict=True
        ):
            size = len(one.completion_ids)
            assert mask == [one.valid] * size + [False] * (len(mask) - size)
            assert tuple(targets[:size]) == one.completion_ids
            assert [tokens[i] for i in predictors[:size]] == [prompt[-1], *one.completion_ids[:-1]]
