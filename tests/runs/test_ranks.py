"""Several processes for one run: how they are started and stopped, and which ending is that of the run."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from igrpo.config import ConfigError, RunConfig, config_values, parse_config
from igrpo.console import footer_of
from igrpo.runs import ranks
from igrpo.runs.command import as_command
from igrpo.runs.lifecycle import EndedError, Ending, SignalHandlers, Terminated
from igrpo.runs.rank_records import Launch, RankRecord
from igrpo.runs.ranks import torchrun, train_in_processes
from igrpo.runs.run_directory import RunDirectory
from tests.begun import begun_run
from tests.composed import config as composed
from tests.waiting import has_ended, wait_until

TWO = {"trainer.strategy": "ddp", "trainer.devices": 2}

#: What a fake torchrun does for all its processes; ``end`` writes how one ended.
_FAKE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

folder = Path(sys.argv[-1]) / "ranks"
assert sys.argv[1:-1] == ["-m", "igrpo.runs.worker"], sys.argv

def end(rank, kind, time=1.0, reason="", summary=None, setting=None, code=1):
    ending = {"kind": kind, "reason": reason, "exit_code": code, "setting": setting}
    (folder / f"rank-{rank}.json").write_text(json.dumps({"ending": ending, "time": time, "summary": summary}))

"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a script stand in for torchrun and its processes."""

    def make(body: str) -> None:
        script = tmp_path / "torchrun.py"
        script.write_text(_FAKE + textwrap.dedent(body))
        monkeypatch.setattr(ranks, "torchrun", lambda config: [sys.executable, str(script)])

    return make


@pytest.fixture
def config() -> RunConfig:
    return composed({**TWO, "tracking.uri": None})


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """That of a run on which its main process worked until somebody ended it."""
    directory = begun_run(tmp_path / "run")
    directory.finish("KILLED", error="ended by SIGTERM")
    return directory.path


def status(run_dir: Path) -> tuple[str, str | None]:
    record = RunDirectory(run_dir).read_record()
    return record.status, record.error


# ---- how they are started


def test_one_node_meets_by_itself() -> None:
    command = torchrun(composed({"trainer.strategy": "fsdp2", "trainer.devices": 3}))
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert command[3:] == ["--nproc-per-node=3", "--max-restarts=0", "--standalone"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NODE_RANK": "1", "MASTER_ADDR": "n0"}, ["--node-rank=1", "--master-addr=n0", "--master-port=29500"]),
        ({"SLURM_NODEID": "0", "MASTER_ADDR": "n0", "MASTER_PORT": "7"}, ["--node-rank=0", "--master-addr=n0", "--master-port=7"]),
        ({"SLURM_NODEID": "5", "NODE_RANK": "1", "MASTER_ADDR": "n0"}, ["--node-rank=1", "--master-addr=n0", "--master-port=29500"]),
    ],
)  # fmt: skip
def test_nodes_meet_where_the_cluster_says(
    environment: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NODE_RANK", "SLURM_NODEID", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    two = composed({**TWO, "trainer.nodes": 2})
    for missing in ({}, {"NODE_RANK": "0"}, {"MASTER_ADDR": "n0"}):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in missing.items():
                patch.setenv(name, value)
            with pytest.raises(ConfigError, match=r"trainer\.nodes=2: .*NODE_RANK .*MASTER_ADDR"):
                torchrun(two)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torchrun(two)[3:] == ["--nproc-per-node=2", "--max-restarts=0", "--nnodes=2", *expected]


def test_processes_read_the_very_settings(config: RunConfig, tmp_path: Path) -> None:
    Launch(config_values(config), resume=True).write(tmp_path)
    launch = Launch.read(tmp_path)
    assert parse_config(launch.config) == config
    assert launch.resume is True


def test_under_a_footer_the_processes_draw_none(
    fake: Callable[[str], None], config: RunConfig, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes that redraw the same row erase each other's."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, markup=False)
    footer = footer_of(console)
    monkeypatch.setattr(ranks, "get_console", lambda: console)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    footer.add(lambda: Text("sweep: 0 of 2 done"))
    fake("""
        print("live:", sys.stdout.isatty(), os.environ["COLUMNS"], "[bold] \u2212", flush=True)
        end(1, "finished", summary={})
        end(0, "finished", summary={"steps": 2})
    """)
    try:
        assert train_in_processes(config, run_dir, resume=False) == {"steps": 2}
    finally:
        footer.remove(footer._lines[0])
    assert isinstance(console.file, io.StringIO)
    assert "live: False 100 [bold] \u2212\n" in console.file.getvalue()


def test_the_main_process_s_summary_is_the_run_s(fake: Callable[[str], None], config: RunConfig, run_dir: Path) -> None:
    (run_dir / "ranks").mkdir()
    RankRecord(Ending("failed", "of an earlier start", 1), 0.0).write(run_dir, 5)
    fake("""
        assert not (folder / "rank-5.json").exists()
        launch = json.loads((folder / "launch.json").read_text())
        assert (launch["resume"], launch["command"]) == (True, ["igrpo", "train", "seed=1"])
        end(1, "finished", summary={})
        end(0, "finished", summary={"threads": os.environ["OMP_NUM_THREADS"], "session": os.getsid(0) == os.getpid()})
    """)
    with as_command(["igrpo", "train", "seed=1"]):
        summary = train_in_processes(config, run_dir, resume=True)
    assert summary == {"threads": str(config.trainer.threads), "session": True}
    assert status(run_dir)[0] == "KILLED"  # the main process writes its own status


# ---- how they fail

FAILURES = {
    "the first error is the reason": (
        'end(0, "failed", 2.0, "later"); end(1, "failed", 1.0, "RewardError: first")',
        "RewardError: first", "KILLED",  # the main process has written its own failure
    ),
    "an error, and others that were ended for it": (
        'end(0, "stopped", 2.0); end(1, "failed", 1.0, "RewardError: of rank 1")',
        "RewardError: of rank 1", "FAILED",
    ),
    "an error, though another one lost the connection before it was written": (
        'end(0, "lost", 1.0, "gloo"); end(1, "failed", 2.0, "LookupError: mine")',
        "LookupError: mine", "FAILED",
    ),
    "an error, and one that did not end in time": ('end(1, "failed", 1.0, "mine")', "mine", "FAILED"),
    "killed, and the other one ended for it": (
        'end(0, "stopped")', "process 1 of 2 (counted from 0) left no record of its end", "KILLED",
    ),
    "killed, and the other one found it gone": (
        'end(1, "lost", 1.0, "gloo: connection reset")', "process 0 of 2 (counted from 0) left no record of its end", "KILLED",
    ),
    "a connection that broke": ('end(0, "lost", 2.0, "b"); end(1, "lost", 1.0, "gloo: a")', "gloo: a", "KILLED"),
    "none left a record": ("", "torchrun ended with exit code 3; its error output is in", "KILLED"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_the_reason_of_a_failure(name: str, fake: Callable[[str], None], config: RunConfig, run_dir: Path) -> None:
    body, message, expected = FAILURES[name]
    fake(f"{body}\nprint('words', file=sys.stderr)\nsys.exit(3)")
    with pytest.raises(EndedError) as failure:
        train_in_processes(config, run_dir, resume=False)
    assert str(failure.value).startswith(message)
    error = "ended by SIGTERM" if name == "the first error is the reason" else str(failure.value)
    assert status(run_dir) == (expected, error)
    assert (run_dir / "ranks" / "torchrun.txt").read_text() == "words\n"


def test_a_run_ended_from_outside_is_stopped_not_failed(
    fake: Callable[[str], None], config: RunConfig, run_dir: Path
) -> None:
    fake('end(0, "stopped", code=143); end(1, "stopped", code=143); sys.exit(1)')
    with pytest.raises(EndedError) as stop:
        train_in_processes(config, run_dir, resume=False)
    assert (stop.value.ending.kind, stop.value.ending.exit_code) == ("stopped", 143)
    assert status(run_dir) == ("KILLED", "ended by SIGTERM")


def test_tracebacks_of_all_processes_go_into_the_log(
    fake: Callable[[str], None], config: RunConfig, run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake('end(1, "failed", 1.0, "mine"); (folder / "rank-1.txt").write_text("Traceback: line 7"); sys.exit(1)')
    with pytest.raises(EndedError):
        train_in_processes(config, run_dir, resume=False)
    (record,) = [record for record in caplog.records if record.name == "igrpo.runs.ranks"]
    assert record.getMessage() == "rank-1: Traceback: line 7"
    assert record.__dict__["file_only"] is True  # the console has the message


def test_a_run_that_was_finished_before_stays_so(fake: Callable[[str], None], config: RunConfig, run_dir: Path) -> None:
    RunDirectory(run_dir).finish("FINISHED")
    fake("sys.exit(1)")  # before any process took it up
    with pytest.raises(EndedError, match="torchrun ended with exit code 1"):
        train_in_processes(config, run_dir, resume=True)
    assert status(run_dir) == ("FINISHED", None)


# ---- how they are stopped


def send_once(file: Path, number: signal.Signals) -> threading.Thread:
    """Send this process a signal as soon as a process of the run has made ``file``."""

    def wait() -> None:
        try:
            wait_until(file.exists)
        finally:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def stopping() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise, as they do in a run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with SignalHandlers():
        yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.usefixtures("stopping")
def test_a_signal_stops_all_of_them_and_their_end_is_waited_for(
    number: signal.Signals, raised: type[BaseException], fake: Callable[[str], None], config: RunConfig, run_dir: Path
) -> None:
    fake("""
        def stop(number, frame):
            time.sleep(0.2)  # it writes its status
            end(0, "stopped")
            sys.exit(1)

        signal.signal(signal.SIGINT, stop)
        (folder / "ready").touch()
        time.sleep(60)
    """)
    thread = send_once(run_dir / "ranks" / "ready", number)
    with pytest.raises(raised):
        train_in_processes(config, run_dir, resume=False)
    thread.join()
    assert json.loads((run_dir / "ranks" / "rank-0.json").read_text())["ending"]["kind"] == "stopped"
    assert status(run_dir) == ("KILLED", "ended by SIGTERM")  # in the main process's own words


@pytest.mark.parametrize("word", ['end(0, "lost", 1.0, "gloo: connection closed")', "pass"], ids=["lost", "silent"])
@pytest.mark.usefixtures("stopping")
def test_a_main_process_that_lost_the_others_was_stopped_too(
    word: str, fake: Callable[[str], None], config: RunConfig, run_dir: Path
) -> None:
    RunDirectory(run_dir).finish("FAILED", error="RuntimeError: gloo: connection closed")
    fake(f"""
        def stop(number, frame):
            {word}
            sys.exit(1)

        signal.signal(signal.SIGINT, stop)
        (folder / "ready").touch()
        time.sleep(60)
    """)
    thread = send_once(run_dir / "ranks" / "ready", signal.SIGTERM)
    with pytest.raises(SystemExit):
        train_in_processes(config, run_dir, resume=False)
    thread.join()
    assert status(run_dir) == ("KILLED", "ended by SIGTERM")


@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize("cause", ["deadline", "second Ctrl-C"])
def test_who_does_not_end_is_killed_with_its_children(
    cause: str, fake: Callable[[str], None], config: RunConfig, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("""
        def ignore(number, frame):
            (folder / "ready2").touch()

        signal.signal(signal.SIGINT, ignore)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        (folder / "pids").write_text(json.dumps([os.getpid(), child.pid]))
        (folder / "ready").touch()
        while True:
            time.sleep(60)
    """)
    threads = [send_once(run_dir / "ranks" / "ready", signal.SIGINT)]
    if cause == "deadline":
        monkeypatch.setattr(ranks, "STOP_S", 0.3)
    else:
        threads.append(send_once(run_dir / "ranks" / "ready2", signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train_in_processes(config, run_dir, resume=False)
    for thread in threads:
        thread.join()
    for pid in json.loads((run_dir / "ranks" / "pids").read_text()):
        wait_until(lambda pid=pid: has_ended(pid))
    assert status(run_dir) == ("KILLED", "ended by Ctrl-C")


def test_a_reward_that_pauses_in_one_process_pauses_the_run(
    fake: Callable[[str], None], config: RunConfig, run_dir: Path
) -> None:
    fake('end(0, "lost", 1.0, "gloo"); end(1, "paused", 2.0, "spent", setting="reward.max_cost"); sys.exit(1)')
    with pytest.raises(EndedError, match=r"^spent$") as raised:
        train_in_processes(config, run_dir, resume=False)
    assert (raised.value.ending.kind, raised.value.ending.setting) == ("paused", "reward.max_cost")
    assert status(run_dir) == ("KILLED", "spent")
