"""Attention over shared prompts equals attention over each row's own sequence in float64, whoever comes and goes."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from igrpo.generation.local.kv_cache import Prefix
from igrpo.generation.local.prompt_spans import make_spans, row_places
from igrpo.generation.local.shared_prompt_cache import SharedPromptCache

KEY_HEADS, SHARED, DIM, LAYERS, SCALING = 2, 3, 8, 2, 0.3


def make_prefix(lengths: list[int]) -> Prefix:
    """Right-aligned prompts, whose padding is NaN: nothing of it may be read."""
    longest = max(lengths)
    keys, values = ([torch.randn(len(lengths), KEY_HEADS, longest, DIM) for _ in range(LAYERS)] for _ in range(2))
    for layer in (*keys, *values):
        for i, length in enumerate(lengths):
            layer[i, :, : longest - length] = torch.nan
    return Prefix(keys, values, lengths, torch.zeros(len(lengths), 5))


class Sequences:
    """The keys and values of every row and layer, one tensor [heads, tokens, dim] each."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[Tensor, Tensor]]] = []

    def insert(self, prefix: Prefix, sources: list[int]) -> None:
        for source in sources:
            kept = slice(-prefix.lengths[source], None)
            self.rows.append(
                [(k[source, :, kept], v[source, :, kept]) for k, v in zip(prefix.keys, prefix.values, strict=True)]
            )

    def attend(self, layer: int, query_BKRD: Tensor, key_BKD: Tensor, value_BKD: Tensor) -> Tensor:
        outputs = []
        for row, query, key, value in zip(self.rows, query_BKRD, key_BKD, value_BKD, strict=True):
            keys, values = (
                torch.cat([old, new[:, None]], 1) for old, new in zip(row[layer], (key, value), strict=True)
            )
            row[layer] = keys, values
            weights = (SCALING * query.double() @ keys.double().transpose(1, 2)).softmax(-1)
            outputs.append((weights @ values.double()).flatten())
        return torch.stack(outputs)


def step(cache: SharedPromptCache, sequences: Sequences) -> None:
    cache.begin_step()
    rows = len(sequences.rows)
    for layer in range(LAYERS):
        query = 3 * torch.randn(rows, KEY_HEADS, SHARED, DIM)
        key, value = torch.randn(rows, KEY_HEADS, DIM), torch.randn(rows, KEY_HEADS, DIM)
        expected = sequences.attend(layer, query, key, value)
        found = cache.attend(layer, query, key, value, SCALING)
        torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-5)


def remove(cache: SharedPromptCache, sequences: Sequences, gone: set[int]) -> None:
    """As `DecodeBatch.remove`: the last rows take the free slots."""
    left = len(sequences.rows) - len(gone)
    holes = sorted(slot for slot in gone if slot < left)
    last = [slot for slot in range(left, len(sequences.rows)) if slot not in gone]
    cache.remove(holes, last, left)
    for hole, source in zip(holes, last, strict=True):
        sequences.rows[hole] = sequences.rows[source]
    del sequences.rows[left:]


@pytest.mark.parametrize("seed", range(8))
def test_rows_and_prompts_come_and_go(seed: int) -> None:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    max_rows = 40
    cache, sequences = SharedPromptCache(make_prefix([3]), max_rows), Sequences()
    for _ in range(60):
        free = max_rows - len(sequences.rows)
        if free and (not sequences.rows or rng.random() < 0.2):
            prefix = make_prefix([rng.choice([1, 2, 7, 30, 90]) for _ in range(rng.randint(1, 4))])
            sources = sorted(rng.choices(range(len(prefix.lengths)), k=rng.randint(1, min(free, 12))))
            cache.insert(prefix, sources)
            sequences.insert(prefix, sources)
        if len(sequences.rows) > 1 and rng.random() < 0.5:  # also rows that have no token of their own yet
            remove(
                cache, sequences, set(rng.sample(range(len(sequences.rows)), rng.randint(1, len(sequences.rows) - 1)))
            )
        step(cache, sequences)


def test_rows_of_one_age_need_no_index_and_grow_over_chunks() -> None:
    cache, sequences = SharedPromptCache(make_prefix([3]), 6), Sequences()
    prefix = make_prefix([5, 5])
    cache.insert(prefix, [0, 0, 0, 1, 1, 1])
    sequences.insert(prefix, [0, 0, 0, 1, 1, 1])
    for _ in range(70):
        step(cache, sequences)


@pytest.mark.parametrize(
    ("row_prompts", "lengths", "spans"),
    [
        ([0, 0, 1, 1], [9, 9], 1),
        ([1, 0, 1, 0], [9, 6], 1),
        ([0] * 50 + [1, 2, 3], [9, 9, 9, 9], 2),  # a large group would pad the small ones
        ([0, 1, 2, 3], [400, 10, 10, 10], 2),  # as would a long prompt
        ([*range(30), *[30] * 50, *range(31, 60)], [9] * 60, 3),
    ],
)
def test_spans_bound_the_padding(row_prompts: list[int], lengths: list[int], spans: int) -> None:
    made = make_spans(row_prompts, lengths, torch.float32, torch.device("cpu"))
    assert len(made) == spans
    assert [slot for span in made for slot in range(span.prompts.start, span.prompts.stop)] == list(range(len(lengths)))
    padded = sum(len(span.members) * span.group * span.columns for span in made)
    assert padded <= 2 * sum(lengths[prompt] for prompt in row_prompts)
    placed = torch.cat([span.rows for span in made])
    places = row_places(made, len(row_prompts))
    rows = torch.arange(len(row_prompts))
    assert torch.equal(placed if places is None else placed[places], rows)
    for span in made:
        of_place = torch.tensor(row_prompts)[span.rows].view(-1, span.group)
        assert torch.equal(of_place, torch.arange(span.prompts.start, span.prompts.stop)[:, None].expand_as(of_place))
