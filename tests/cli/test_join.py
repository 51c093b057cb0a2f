"""What `igrpo join` refuses; tests/end_to_end/test_processes.py has a node that joins."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from igrpo.cli import join
from igrpo.cli.main import main
from igrpo.config import config_values
from igrpo.runs.rank_records import Launch
from tests.composed import config as composed


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "WAIT_S", 1.0)
    for name in ("NODE_RANK", "SLURM_NODEID", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def begin(run_dir: Path, *, nodes: int) -> Path:
    """What node 0 writes for the others; returns the file."""
    settings = composed({"trainer.strategy": "ddp", "trainer.devices": 2, "trainer.nodes": nodes})
    Launch(config_values(settings), resume=False).write(run_dir)
    return run_dir / "ranks" / "launch.json"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error of a join that does not come to start a process."""
    assert main(["join", *arguments]) == 2
    return capsys.readouterr().err


def test_it_takes_one_run_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert "arguments are required: RUN_DIR" in refused(capsys)
    assert "'two': one argument too many" in refused(capsys, "one", "two")


def test_a_run_that_does_not_begin_is_waited_for_and_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert f"{tmp_path / 'nowhere'}: no run has started there within 1 s" in refused(capsys, str(tmp_path / "nowhere"))
    assert time.monotonic() - began >= 1.0
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_began_long_ago_waits_for_no_other_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = begin(tmp_path, nodes=2)
    os.utime(file, (time.time() - 10, time.time() - 10))
    assert f"{tmp_path}: no run has started there within 1 s" in refused(capsys, str(tmp_path))


def test_a_run_of_one_node_needs_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, nodes=1)
    assert f"{tmp_path}: trainer.nodes=1, its run needs no other node" in refused(capsys, str(tmp_path))


def test_a_node_must_be_told_where_to_meet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, nodes=2)
    assert "trainer.nodes=2: every node needs NODE_RANK" in refused(capsys, str(tmp_path))
