"""The gate in front of several engines: weights count as loaded when every one of them proves to have them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.generation.vllm_gate import Served


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server of two engines."""
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    monkeypatch.delenv("IGRPO_WEIGHTS_DIR", raising=False)
    return Served(engines=2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    return path


def test_the_status_counts_engines_and_workers(two: Served) -> None:
    _, status = asyncio.run(two.ask("GET", "/igrpo/weights"))
    assert (status["engines"], status["workers"]) == (2, 2)


def test_weights_count_as_loaded_when_every_engine_has_them(two: Served, file: Path) -> None:
    assert two.load(file, "run-1") == (200, {"weights": "run-1"})
    assert (
        [rank.weights[0] for rank in two.engine.ranks] == [rank.version for rank in two.engine.ranks] == ["run-1"] * 2
    )
    assert two.samples("run-1") == 200


def by_file(server: Served, file: Path, label: str) -> tuple[int, Any]:
    return server.load(file, label)


def by_transfer(server: Served, file: Path, label: str) -> tuple[int, Any]:
    started = asyncio.run(server.ask("POST", "/igrpo/transfer/start", {}))
    if started[0] != 200:
        return started
    return asyncio.run(server.ask("POST", "/igrpo/transfer/finish", {"label": label, "names": ["a"]}))


@pytest.mark.parametrize("way", [by_file, by_transfer])
@pytest.mark.parametrize(
    ("ignored", "message"),
    [
        ({"igrpo_load_file", "igrpo_adopt"}, "worker 0 of data-parallel rank 1 has the weights run-1, not run-2"),
        ({"pause"}, "the engine of data-parallel rank 1 did not pause"),
        ({"version"}, "the engine of data-parallel rank 1 stamps samples with run-1, not with run-2"),
    ],
)
def test_an_engine_that_stays_behind_is_named_and_nothing_is_sampled(
    two: Served, file: Path, way: Any, ignored: set[str], message: str
) -> None:
    assert way(two, file, "run-1")[0] == 200
    two.engine.ranks[1].ignores = ignored
    status, reply = way(two, file, "run-2")
    assert status == 500
    assert message in reply["error"]
    assert two.samples("run-1") == two.samples("run-2") == 409
    two.engine.ranks[1].ignores = set()
    assert way(two, file, "run-2")[0] == 200
    assert two.samples("run-2") == 200


@pytest.mark.parametrize("way", [by_file, by_transfer])
def test_an_engine_that_received_other_values_is_named(two: Served, file: Path, way: Any) -> None:
    two.engine.ranks[1].digest = "other"
    status, reply = way(two, file, "run-1")
    assert status == 500
    assert (
        "worker 0 of data-parallel rank 1 received other values under run-1 than data-parallel rank 0" in reply["error"]
    )
    assert two.samples("run-1") == 409


def test_the_answer_of_the_first_engine_is_no_proof(two: Served, file: Path) -> None:
    two.engine.answering = 1
    status, reply = two.load(file, "run-1")
    assert (status, "1 of 2 engines answered" in reply["error"]) == (500, True)
    two.engine.answering = 2
    two.engine.ranks[1].rank = 0  # answers twice, and nobody knows of rank 1
    status, reply = two.load(file, "run-1")
    assert (status, "[(0, 0), (0, 0)], not [(0, 0), (1, 0)]" in reply["error"]) == (500, True)
    assert two.samples("run-1") == 409


@pytest.mark.parametrize("call", ["pause abort", "igrpo_load_file", "igrpo_report", "reset", "version"])
def test_a_load_ends_when_an_engine_dies(two: Served, file: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.generation.vllm.data_parallel._POLL_S", 0.01)
    two.engine.dies = call
    status, reply = two.load(file, "run-1")
    assert (status, reply) == (500, {"error": "RuntimeError: an engine of the server died"})
    assert two.samples("run-1") == 409


def test_weights_that_two_engines_received_otherwise_are_nobodys(two: Served) -> None:
    same, other = "float32:1:received", "float32:2:received"
    two.engine.ranks[0].labels = {"a": same, "b": same, "c": same}
    two.engine.ranks[1].labels = {"a": same, "b": other}
    _, reply = asyncio.run(two.ask("GET", "/igrpo/fingerprints"))
    assert reply["fingerprints"] == {"a": same, "b": f"{other}|{same}", "c": f"{same}|-"}
