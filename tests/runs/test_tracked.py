"""What ``tracked`` calls each ending, and the Lightning logger inside a real Trainer."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from igrpo.disk import DiskFullError
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_run import RunLogger
from igrpo.runs.run_directory import RunDirectory, RunStatus
from igrpo.runs.tracked import Terminated, tracked
from igrpo.runs.tracker import Tracker


class Recorder:
    def __init__(self) -> None:
        self.statuses: list[str] = []

    def close(self, status: RunStatus) -> None:
        self.statuses.append(status)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    directory.begin(["test"])
    return directory


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def exit_as_lightning_does_after_ctrl_c() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemExit(1)  # noqa: B904


def throw(error: BaseException) -> None:
    raise error


ENDINGS = {
    "normal": (lambda: None, None, "FINISHED", None),
    "exit 0": (lambda: throw(SystemExit(0)), SystemExit, "FINISHED", None),
    "exit None": (lambda: throw(SystemExit(None)), SystemExit, "FINISHED", None),
    "exit 2": (lambda: throw(SystemExit(2)), SystemExit, "FAILED", "exit code 2"),
    "error": (lambda: throw(RuntimeError("boom")), RuntimeError, "FAILED", "RuntimeError: boom"),
    "full disk": (lambda: throw(DiskFullError("full")), DiskFullError, "FAILED", "DiskFullError: full"),
    "ctrl-c": (lambda: send(signal.SIGINT), KeyboardInterrupt, "KILLED", "ended by Ctrl-C"),
    "ctrl-c in Lightning": (exit_as_lightning_does_after_ctrl_c, SystemExit, "KILLED", "ended by Ctrl-C"),
    "SIGTERM": (lambda: send(signal.SIGTERM), Terminated, "KILLED", "ended by SIGTERM"),
    "SIGHUP": (lambda: send(signal.SIGHUP), Terminated, "KILLED", "ended by SIGHUP"),
    "SIGTERM seen by Lightning": (lambda: throw(SIGTERMException()), SIGTERMException, "KILLED", "ended by SIGTERM"),
}


@pytest.fixture
def hangup_ends() -> Iterator[None]:
    """As in a shell: under nohup, where these tests may run, SIGHUP is ignored, and stays so by design."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_ends")
@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending_has_its_status_and_signals_are_put_back(directory: RunDirectory, name: str) -> None:
    end, error, status, reason = ENDINGS[name]
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    recorder = Recorder()

    def run() -> None:
        with tracked(recorder, directory):
            end()

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert recorder.statuses == [status]
    record = directory.read_record()
    assert (record.status, record.error) == (status, reason)
    assert [signal.getsignal(number) for number in numbers] == before


def test_exit_code_is_the_shells() -> None:
    assert Terminated(signal.SIGTERM).code == 143


def test_a_second_signal_does_not_stop_the_writing_of_the_end(directory: RunDirectory) -> None:
    class Slow(Recorder):
        def close(self, status: RunStatus) -> None:
            send(signal.SIGTERM)
            super().close(status)

    slow = Slow()
    with pytest.raises(Terminated), tracked(slow, directory):
        send(signal.SIGTERM)
    assert slow.statuses == ["KILLED"]


def test_an_ignored_hangup_stays_ignored(directory: RunDirectory) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with tracked(Recorder(), directory):
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert directory.read_record().status == "FINISHED"


def test_outside_the_main_thread_it_works_without_signals(directory: RunDirectory) -> None:
    def run() -> None:
        with tracked(Recorder(), directory):
            pass

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert directory.read_record().status == "FINISHED"


def test_a_full_disk_at_the_end_does_not_hide_what_happened(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: RunDirectory, status: RunStatus, error: str | None = None) -> None:
        raise DiskFullError("no room")

    monkeypatch.setattr(RunDirectory, "finish", full)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="boom"), tracked(recorder, directory):
        raise RuntimeError("boom")
    assert "could not write" in caplog.text
    with pytest.raises(DiskFullError, match="no room"), tracked(recorder, directory):
        pass
    assert recorder.statuses == ["FAILED", "FINISHED"]


class Module(LightningModule):
    """Logs by its own step, and ends as told at step 3."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.automatic_optimization = False
        self.end = end
        self.save_hyperparameters()

    def training_step(self, batch: torch.Tensor, index: int) -> None:
        self.log_dict({"step": float(index + 1), "train/loss": float(index)})
        if index == 2:
            ENDINGS[self.end][0]()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("end", "error", "steps"),
    [
        ("normal", None, [1, 2, 3, 4]),
        ("error", RuntimeError, [1, 2]),
        ("ctrl-c", SystemExit, [1, 2]),
        ("SIGTERM", Terminated, [1, 2]),
    ],
)
def test_inside_lightning(
    directory: RunDirectory, end: str, error: type[BaseException] | None, steps: list[int]
) -> None:
    torch.set_num_threads(1)
    logger = RunLogger(Tracker(directory, tracking_uri=None))
    trainer = Trainer(
        logger=logger,
        max_epochs=1,
        log_every_n_steps=1,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory.path,
    )

    def run() -> None:
        with tracked(logger, directory):
            trainer.fit(Module(end), DataLoader(torch.zeros(4, 1)))

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    record = directory.read_record()
    assert (record.status, record.error) == ENDINGS[end][2:]
    lines = list(read_metrics(directory.metrics))
    assert [line["step"] for line in lines] == steps
    assert [line["train/loss"] for line in lines] == [step - 1.0 for step in steps]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_logger_refuses_metrics_without_a_step(directory: RunDirectory) -> None:
    logger = RunLogger(Tracker(directory, tracking_uri=None, experiment="mine"))
    with pytest.raises(ValueError, match="without a step"):
        logger.log_metrics({"a": 1.0})
    assert (logger.name, logger.version, logger.save_dir) == ("mine", "run", str(directory))
