"""Shares of a list, and what processes tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from igrpo import distributed
from tests.gloo import in_processes


def in_rank(rank: int, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "world", lambda: world)


@given(items=st.lists(st.integers(), max_size=40), world=st.integers(1, 9))
def test_shares_put_together_are_the_whole(items: list[int], world: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shares: list[list[int]] = []
        for rank in range(world):
            in_rank(rank, world, patch)
            shares.append(distributed.share(items))
        assert sorted(item for share in shares for item in share) == sorted(items)
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1  # as even as can be
        assert sizes == sorted(sizes, reverse=True)

        def everyones(mine: Sequence[int]) -> list[list[int]]:
            assert mine == shares[distributed.rank()]
            return shares

        patch.setattr(distributed, "gather", everyones)
        for rank in range(world):
            in_rank(rank, world, patch)
            assert distributed.gather_shares(shares[rank]) == items


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_positions_are_those_of_shares_that_were_put_together(counts: list[int]) -> None:
    """Whatever their sizes: a share may have lost items."""
    shares = [[(rank, i) for i in range(count)] for rank, count in enumerate(counts)]
    found: dict[int, tuple[int, int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for rank, share in enumerate(shares):
            in_rank(rank, len(counts), patch)
            patch.setattr(distributed, "gather", lambda mine: shares if isinstance(mine, list) else counts)
            total, positions = distributed.positions(len(share))
            whole = distributed.gather_shares(share)
            found |= dict(zip(positions, share, strict=True))
        assert total == sum(counts)
        assert [found[i] for i in range(total)] == whole


@given(items=st.lists(st.text(max_size=3), max_size=20), world=st.integers(2, 9))
def test_the_main_process_alone_gets_the_shares(items: list[str], world: int) -> None:
    shares = [items[rank::world] for rank in range(world)]

    def gather_object(mine: list[str], found: list[list[str]] | None) -> None:
        assert (found is not None) == (distributed.rank() == 0)
        if found is not None:
            found[:] = shares

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "gather_object", gather_object)
        for rank in range(world):
            in_rank(rank, world, patch)
            assert distributed.shares_at_main(shares[rank]) == (items if rank == 0 else None)


def test_one_process_is_alone_and_the_main_one() -> None:
    assert (distributed.world(), distributed.rank(), distributed.is_main()) == (1, 0, True)
    assert distributed.share([1, 2, 3]) == distributed.gather_shares([1, 2, 3]) == [1, 2, 3]
    assert distributed.shares_at_main([1, 2]) == [1, 2]
    assert distributed.gather("x") == ["x"]
    assert distributed.from_main("x") == "x"
    with distributed.main_first():
        distributed.barrier()


def test_the_device_is_the_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert distributed.local_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.local_rank() == 3


def talk(folder: str) -> dict[str, Any]:
    """Everything that two processes say to each other."""
    rank = distributed.rank()
    found: dict[str, Any] = {
        "place": (rank, distributed.world(), distributed.is_main()),
        "gather": distributed.gather({"rank": rank}),
        "uneven": distributed.gather_shares([f"{rank}{i}" for i in range(2 - rank)]),
        "at main": distributed.shares_at_main([f"{rank}{i}" for i in range(2 - rank)]),
        "from main": distributed.from_main((rank, None)),
    }
    cache = Path(folder) / "cache"
    with distributed.main_first():
        found["was there"] = cache.exists()
        if rank == 0:
            cache.touch()
    return found


def test_two_processes(tmp_path: Path) -> None:
    first, second = in_processes(2, tmp_path, talk, str(tmp_path))
    assert [first["place"], second["place"]] == [(0, 2, True), (1, 2, False)]
    for found in (first, second):
        assert found["gather"] == [{"rank": 0}, {"rank": 1}]
        assert found["uneven"] == ["00", "10", "01"]
        assert found["from main"] == (0, None)
    assert (first["at main"], second["at main"]) == (["00", "10", "01"], None)
    assert (first["was there"], second["was there"]) == (False, True)  # the main one filled the cache first
