"""`igrpo.train`: the numbers of the command line, from a script, a thread and a notebook; Ctrl-C, resume, errors."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import igrpo
from igrpo.runs.run_directory import RunDirectory
from igrpo.training.module import IGRPOModule
from tests.end_to_end.checkpoints import assert_same_training
from tests.end_to_end.runs import metrics, run, status
from tests.trained_runs import SMALL

#: Two steps.
OVERRIDES = ["algorithm=grpo", "data.train=64", *SMALL]


@cache
def config(*overrides: str) -> igrpo.RunConfig:
    return igrpo.compose(None, [*OVERRIDES, *overrides])


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(directory: str, *overrides: str) -> igrpo.Run:
    return igrpo.train(config(*overrides), directory=directory, quiet=True)


def assert_same_run(one: Path, other: Path) -> None:
    assert_same_training(one, other, 2)
    assert metrics(one) == metrics(other)


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of seed 1 by `igrpo train` in a process of its own."""
    folder = tmp_path_factory.mktemp("by_command")
    run(["train", f"hydra.run.dir={folder / 'run'}", *OVERRIDES, "seed=1"], folder)
    return folder / "run"


def test_runs_of_one_process_have_the_numbers_of_the_command_line(
    by_command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = gc.get_freeze_count()  # not 0 if this process has run the command before
    first, second = trained("first"), trained("second", "seed=1")
    assert capsys.readouterr() == ("", "")  # quiet
    assert "finished" in RunDirectory("second").log.read_text()
    assert gc.get_freeze_count() <= frozen  # objects of the caller can still be collected
    assert_same_run(second.directory, by_command)
    assert metrics(first.directory) != metrics(by_command)
    assert second.config == igrpo.Run.load(by_command).config
    assert second.accuracy == igrpo.Run.load(by_command).accuracy
    assert (second.status, second.summary.steps) == ("FINISHED", 2)


def test_a_run_does_not_record_the_arguments_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["script.py", "lr=3"])
    monkeypatch.setattr(IGRPOModule, "_cycle", lambda *batch: {}["broken"])
    with pytest.raises(KeyError):
        trained("run")
    record = RunDirectory("run").read_record()
    assert (record.command, record.given) == (("igrpo.train",), {})
    with pytest.raises(KeyError):
        igrpo.train(resume="run", overrides=["trainer.steps=3"], quiet=True)
    record = RunDirectory("run").read_record()
    assert record.command == ("igrpo.train", f"resume={Path('run').absolute()}", "trainer.steps=3")
    assert record.given["trainer.steps"] == "3"


def test_a_notebook_has_the_same_numbers_and_keeps_its_threads(by_command: Path) -> None:
    """A cell runs inside an event loop, in a process in which torch has the threads that it likes."""
    seen: list[int] = []
    cycle = IGRPOModule._cycle

    def watched(self: IGRPOModule, *batch: Any) -> None:
        seen.append(torch.get_num_threads())
        cycle(self, *batch)

    async def cell() -> igrpo.Run:
        return trained("notebook", "seed=1")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IGRPOModule, "_cycle", watched)
            made = asyncio.run(cell())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]
    assert_same_run(made.directory, by_command)


def test_another_thread_may_train(by_command: Path) -> None:
    made: list[igrpo.Run] = []
    thread = threading.Thread(target=lambda: made.append(trained("thread", "seed=1")))
    thread.start()
    thread.join()
    assert_same_run(made[0].directory, by_command)


def interrupt_in(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cycle = IGRPOModule._cycle

    def interrupted(self: IGRPOModule, done: int, questions: Any) -> None:
        if done == step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        cycle(self, done, questions)

    monkeypatch.setattr(IGRPOModule, "_cycle", interrupted)


def test_ctrl_c_ends_the_run_and_it_can_be_resumed(
    by_command: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        interrupt_in(2, patch)
        with pytest.raises(KeyboardInterrupt):
            igrpo.train(config("seed=1"), directory="run")
    printed = capsys.readouterr()
    assert "settings resolve to" in printed.out
    assert "run (its config.yaml has every setting)" in printed.out  # as the command, so without all the facts
    assert "tokens per micro-batch" not in printed.out
    assert "resume" in printed.err
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert status(Path("run")) == "KILLED"
    assert igrpo.Run.load("run").accuracy is None
    resumed = igrpo.train(resume="run")
    assert "test accuracy" in capsys.readouterr().out
    assert status(resumed.directory) == "FINISHED"
    assert_same_run(resumed.directory, by_command)
    again = igrpo.train(resume=resumed)  # nothing is left to do
    assert again == resumed


def test_ctrl_c_in_a_notebook_ends_the_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell waits for the thread that samples; a reward that never answers must not keep it."""
    asked: list[bool] = []
    cancelled: list[bool] = []

    async def never(*arguments: Any) -> None:
        if not asked:  # once, though several questions are asked for
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        asked.append(True)
        try:
            await asyncio.sleep(120)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def cell() -> None:
        trained("run")

    monkeypatch.setattr("igrpo.algorithms.base.checked_score", never)
    with asyncio.Runner() as notebook, pytest.raises(KeyboardInterrupt):
        # not Runner.run, whose own handler of Ctrl-C would cancel the cell: a notebook's kernel has none
        notebook.get_loop().run_until_complete(cell())
    assert len(cancelled) == len(asked) > 0
    assert status(Path("run")) == "KILLED"


def test_an_error_of_the_run_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: IGRPOModule, *batch: Any) -> None:
        raise FileNotFoundError("the dog ate it")

    monkeypatch.setattr(IGRPOModule, "_cycle", broken)
    with pytest.raises(FileNotFoundError, match="the dog ate it"):
        trained("run")
    assert status(Path("run")) == "FAILED"


def test_a_run_has_the_directory_of_the_command() -> None:
    from igrpo.api.training import _default_directory
    from igrpo.config.composing.composer import Composer

    with Composer("train") as composer:
        planned = composer.check_run(["experiment=quickstart"])
    mine = _default_directory(planned.config)
    assert mine.parent == planned.directory.parent
    assert mine.name.partition("_")[2] == planned.directory.name.partition("_")[2] == "quickstart-igrpo-s0"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda made: igrpo.train(), "igrpo.compose.*resume"),
        (lambda made: igrpo.train("quickstart"), "'quickstart'.*igrpo.compose"),
        (lambda made: igrpo.train(made, resume="run"), "resume"),
        (lambda made: igrpo.train(made, overrides=["trainer.steps=9"]), "overrides"),
        (lambda made: igrpo.train(resume="run", overrides="trainer.steps=9"), "give a list, such as \\['trainer"),
        (lambda made: igrpo.train(made, directory="full"), "directory=.*full"),
        (lambda made: igrpo.train(resume="nowhere"), "nowhere"),
        (lambda made: igrpo.train(resume="full"), "config.yaml"),
    ],
)
def test_mistakes_are_named_and_start_nothing(call: Callable[[Any], Any], words: str) -> None:
    Path("full").mkdir()
    Path("full", "file").touch()
    with pytest.raises(igrpo.ConfigError, match=words):
        call(config())
    assert sorted(path.name for path in Path().rglob("*")) == ["file", "full"]
