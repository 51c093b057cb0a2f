"""How a run ends: its status, its exit code and its signals, by itself and inside a Lightning trainer."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from igrpo.disk import DiskFullError
from igrpo.rewards.base import RewardPausedError
from igrpo.runs.building import signal_callback
from igrpo.runs.lifecycle import Ending, SignalHandlers, Terminated, run_lifecycle
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_run import RunLogger
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_lock import RunDirectoryLockedError
from igrpo.runs.tracker import Tracker


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture(autouse=True)
def _hangup_ends() -> Iterator[None]:
    """As in a shell: under nohup, where these tests may run, SIGHUP is ignored, and stays so by design."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def run(directory: RunDirectory, block: Callable[[], object], close: Callable[[str], object] = str) -> None:
    """Run the block as a run, and call ``close`` with its status, as a tracker's is called."""
    with run_lifecycle(directory) as lifecycle:
        lifecycle.begin()
        lifecycle.on_end(close)
        block()


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def exit_as_lightning_does_after_ctrl_c() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemExit(1)  # noqa: B904


def throw(error: BaseException) -> None:
    raise error


def paused() -> None:
    raise RewardPausedError("spent", "reward.max_cost")


#: What the run does, what it raises, its status and reason, and the exit code.
ENDINGS = {
    "error": (lambda: throw(RuntimeError("boom")), RuntimeError, "FAILED", "RuntimeError: boom", 1),
    "user's error": (lambda: throw(ValueError("a setting")), ValueError, "FAILED", "a setting", 1),
    "full disk": (lambda: throw(DiskFullError("full")), DiskFullError, "FAILED", "DiskFullError: full", 1),
    "pause": (paused, RewardPausedError, "KILLED", "spent", 75),
    "exit": (lambda: throw(SystemExit(0)), SystemExit, "FAILED", "exit code 0 before the end of the run", 1),
    "exit 3": (lambda: throw(SystemExit(3)), SystemExit, "FAILED", "exit code 3 before the end of the run", 3),
    "ctrl-c": (lambda: send(signal.SIGINT), KeyboardInterrupt, "KILLED", "ended by Ctrl-C", 130),
    "ctrl-c in Lightning": (exit_as_lightning_does_after_ctrl_c, SystemExit, "KILLED", "ended by Ctrl-C", 130),
    "SIGTERM": (lambda: send(signal.SIGTERM), Terminated, "KILLED", "ended by SIGTERM", 143),
    "SIGHUP": (lambda: send(signal.SIGHUP), Terminated, "KILLED", "ended by SIGHUP", 129),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending_has_its_status_and_exit_code(directory: RunDirectory, name: str) -> None:
    end, error, status, reason, code = ENDINGS[name]
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    statuses: list[str] = []
    with pytest.raises(error) as raised:
        run(directory, end, statuses.append)
    record = directory.read_record()
    assert (record.status, record.error) == (status, reason)
    assert statuses == [status]
    assert Ending.of(raised.value).exit_code == code
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_normal_end_is_finished(directory: RunDirectory) -> None:
    statuses: list[str] = []
    run(directory, lambda: None, statuses.append)
    assert statuses == ["FINISHED"]
    assert (directory.read_record().status, directory.read_record().error) == ("FINISHED", None)


def test_an_error_before_the_begin_keeps_the_status(directory: RunDirectory) -> None:
    run(directory, lambda: None)
    with pytest.raises(ValueError, match="other questions"), run_lifecycle(directory):
        raise ValueError("other questions")
    assert directory.read_record().status == "FINISHED"


def test_the_run_is_locked_until_its_end_is_written(directory: RunDirectory) -> None:
    def refused(status: str) -> None:
        with pytest.raises(RunDirectoryLockedError, match="in use"), run_lifecycle(directory):
            pass

    run(directory, lambda: None, refused)
    with run_lifecycle(directory):
        assert directory.read_record().status == "FINISHED"


def test_a_second_sigterm_does_not_stop_the_record_of_the_end(directory: RunDirectory) -> None:
    statuses: list[str] = []

    def close(status: str) -> None:
        send(signal.SIGTERM)
        statuses.append(status)

    with pytest.raises(Terminated):
        run(directory, lambda: send(signal.SIGTERM), close)
    assert statuses == ["KILLED"]


def test_a_second_ctrl_c_does_not_wait_for_a_server(directory: RunDirectory) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(directory, lambda: send(signal.SIGTERM), lambda status: send(signal.SIGINT))
    assert (directory.read_record().status, directory.read_record().error) == ("KILLED", "ended by SIGTERM")


def test_an_ignored_hangup_stays_ignored(directory: RunDirectory) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(directory, lambda: send(signal.SIGHUP))
    assert directory.read_record().status == "FINISHED"


def test_outside_the_main_thread_there_are_no_signals(directory: RunDirectory) -> None:
    thread = threading.Thread(target=lambda: run(directory, lambda: None))
    thread.start()
    thread.join()
    assert directory.read_record().status == "FINISHED"


def test_a_full_disk_at_the_end_does_not_hide_the_error(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: RunDirectory, status: str, error: str | None = None) -> None:
        raise DiskFullError("no space")

    monkeypatch.setattr(RunDirectory, "finish", full)
    with pytest.raises(RuntimeError, match="boom"):
        run(directory, lambda: throw(RuntimeError("boom")))
    assert "could not write" in caplog.text
    with pytest.raises(DiskFullError, match="no space"):
        run(directory, lambda: None)


class Module(LightningModule):
    """Logs by its own step, and ends as told at step 3."""

    def __init__(self, end: Callable[[], object]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.automatic_optimization = False
        self.end = end

    def training_step(self, batch: torch.Tensor, index: int) -> None:
        self.log_dict({"step": float(index + 1), "train/loss": float(index)})
        if index == 2:
            self.end()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(directory: RunDirectory, end: Callable[[], object]) -> None:
    torch.set_num_threads(1)
    with run_lifecycle(directory) as lifecycle:
        lifecycle.begin()
        logger = RunLogger(Tracker(directory, tracking_uri=None))
        lifecycle.on_end(logger.close)
        trainer = Trainer(
            logger=logger,
            max_epochs=1,
            log_every_n_steps=1,
            accelerator="cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=directory.path,
            callbacks=[signal_callback()],
        )
        trainer.fit(Module(end), DataLoader(torch.zeros(4, 1)))


@pytest.mark.parametrize("name", ["error", "ctrl-c", "SIGTERM"])
def test_endings_inside_a_lightning_trainer(directory: RunDirectory, name: str) -> None:
    end, error, status, reason, code = ENDINGS[name]
    with pytest.raises(SystemExit if name == "ctrl-c" else error) as raised:
        fit(directory, end)
    assert Ending.of(raised.value).exit_code == code
    assert (directory.read_record().status, directory.read_record().error) == (status, reason)
    assert [line["step"] for line in read_metrics(directory.metrics)] == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_lightning_trainer_leaves_sigterm_to_the_run(directory: RunDirectory) -> None:
    """Lightning's own handler starts a collective operation, perhaps in the middle of another one."""
    with SignalHandlers():
        own = signal.getsignal(signal.SIGTERM)
        during: list[object] = []
        fit(directory, lambda: during.append(signal.getsignal(signal.SIGTERM)))
    assert during == [own]
    lines = list(read_metrics(directory.metrics))
    assert [(line["step"], line["train/loss"]) for line in lines] == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0)]


def test_the_logger_refuses_metrics_without_a_step(directory: RunDirectory) -> None:
    directory.create()
    directory.begin()
    logger = RunLogger(Tracker(directory, tracking_uri=None, experiment="mine"))
    with pytest.raises(ValueError, match="without a step"):
        logger.log_metrics({"a": 1.0})
    assert (logger.name, logger.version, logger.save_dir) == ("mine", "run", str(directory))
