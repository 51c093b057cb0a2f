"""The soft overlong penalty against Eq. 13 of DAPO (arXiv 2503.14476), written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from igrpo.losses import overlong_penalty


def equation(length: int, limit: int, buffer: int) -> float:
    """R_length(y) of the paper."""
    if length <= limit - buffer:
        return 0.0
    if length <= limit:
        return ((limit - buffer) - length) / buffer
    return -1.0


def penalties(lengths: list[int], truncated: list[bool] | None = None, *, limit: int, buffer: int) -> list[float]:
    cut = [False] * len(lengths) if truncated is None else truncated
    return overlong_penalty(torch.tensor(lengths), torch.tensor(cut), limit=limit, buffer=buffer).tolist()


def test_by_hand() -> None:
    # no penalty up to 10 - 4 = 6 tokens, then a quarter for each
    assert penalties([1, 6, 7, 8, 9, 10], limit=10, buffer=4) == [0, 0, -0.25, -0.5, -0.75, -1]
    # what the limit ended has all of it, whatever its length
    assert penalties([3, 10, 8], [True, True, False], limit=10, buffer=4) == [-1, -1, -0.5]
    assert penalties([9, 10], limit=10, buffer=1) == [0, -1]
    assert penalties([1, 5, 10], limit=10, buffer=10) == [-0.1, -0.5, -1]


@given(st.integers(1, 30), st.data())
def test_it_is_the_paper_s_equation(limit: int, data: st.DataObject) -> None:
    buffer = data.draw(st.integers(1, limit))
    lengths = data.draw(st.lists(st.integers(0, limit + 3), min_size=1, max_size=8))
    assert penalties(lengths, limit=limit, buffer=buffer) == pytest.approx(
        [equation(length, limit, buffer) for length in lengths], abs=1e-15
    )


@pytest.mark.parametrize("buffer", [0, -1, 11])
def test_a_buffer_is_a_part_of_the_limit(buffer: int) -> None:
    with pytest.raises(ValueError, match=rf"^buffer is {buffer}: it must be from 1 to limit=10$"):
        penalties([1], limit=10, buffer=buffer)
