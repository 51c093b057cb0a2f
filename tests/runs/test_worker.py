"""A process of a run: what it records of its end."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from igrpo.config import RunConfig, config_values
from igrpo.rewards.base import RewardPausedError
from igrpo.runs import worker
from igrpo.runs.command import current_command
from igrpo.runs.lifecycle import Ending, Terminated
from igrpo.runs.rank_records import Launch, RankRecord
from tests.composed import config as composed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("[.../gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer"), "lost"),
        (dist.DistBackendError("NCCL error: remote process exited"), "lost"),
        (dist.DistNetworkError("the store is gone"), "lost"),
        (RuntimeError("CUDA out of memory"), "failed"),
        (ValueError("gloo is a setting's value"), "failed"),
    ],
)
def test_a_lost_connection_is_told_from_an_error(error: Exception, kind: str) -> None:
    assert Ending.of(error).kind == kind


ENDINGS: dict[str, tuple[Any, Ending]] = {
    "a summary": ({"steps": 3}, Ending("finished")),
    "a user's error": (ValueError("a setting"), Ending("failed", "a setting", 1)),
    "an error": (LookupError("mine"), Ending("failed", "LookupError: mine", 1)),
    "a lost one": (RuntimeError("gloo"), Ending("lost", "RuntimeError: gloo", 1)),
    "Ctrl-C": (KeyboardInterrupt(), Ending("stopped", "ended by Ctrl-C", 130)),
    "SIGTERM": (Terminated(signal.SIGTERM), Ending("stopped", "ended by SIGTERM", 143)),
    "a pause": (RewardPausedError("spent", "reward.max_cost"), Ending("paused", "spent", 75, "reward.max_cost")),
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", ENDINGS)
def test_each_process_records_how_it_ended(
    name: str, rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, expected = ENDINGS[name]

    def train(config: RunConfig, folder: Path, *, resume: bool) -> dict[str, Any]:
        assert (config, folder, resume) == (composed(), tmp_path, True)
        assert current_command() == ("igrpo", "train", "seed=1")  # not that of this process
        if isinstance(outcome, BaseException):
            raise outcome
        summary: dict[str, Any] = outcome
        return summary

    Launch(config_values(composed()), resume=True, command=["igrpo", "train", "seed=1"]).write(tmp_path)
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(worker, "start_process", lambda timeout_s, *, cuda: None)
    monkeypatch.setattr("igrpo.runs.training_run.train", train)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert worker.main(tmp_path) == expected.exit_code
    record = RankRecord.read(tmp_path / "ranks" / f"rank-{rank}.json")
    assert (record.ending, record.summary) == (expected, outcome if expected.kind == "finished" else None)
    assert abs(record.time - time.time()) < 60
    assert (tmp_path / "ranks" / f"rank-{rank}.txt").exists() == (expected.kind in {"failed", "lost"})
    assert (tmp_path / "log.txt").exists() == (rank == 0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
