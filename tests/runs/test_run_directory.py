import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from igrpo.runs.command import as_command
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_lock import RunDirectoryLockedError, holder
from tests.waiting import wait_until

HOLD = """
import sys, time
from igrpo.runs.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).acquire():
    print("HELD", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds the run directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "HELD\n"
    return process


def test_create_makes_the_named_folders_once(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "a" / "run")
    directory.create()
    directory.create()
    made = sorted(path.name for path in directory.path.iterdir())
    assert made == ["checkpoints", "evaluations", "failures", "rollouts"]
    assert directory.record_file.name == "run.json"


def test_create_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match=r"run directory .*is not a folder"):
        RunDirectory(tmp_path / "run").create()
    with pytest.raises(ValueError, match=r"run directory .*is not a folder"):
        RunDirectory(tmp_path / "run" / "below").create()


def test_record_goes_from_running_to_its_end_and_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    first = directory.begin(["igrpo", "train"])
    assert first.process == ProcessMark.current()
    directory.attach_mlflow("sqlite:////x/mlflow.db", "3", "abc")
    ended = directory.finish("FAILED", ended=0.0)
    assert (ended.status, ended.ended) == ("FAILED", "1970-01-01T00:00:00+00:00")
    again = directory.begin(["igrpo", "train", "resume=x"])
    assert (again.status, again.ended, again.created) == ("RUNNING", None, first.created)
    assert (again.mlflow_run_id, again.mlflow_experiment_id) == ("abc", "3")
    assert directory.read_record() == again
    assert json.loads(directory.record_file.read_text())["schema_version"] == 1


def test_a_record_knows_the_settings_of_all_commands(tmp_path: Path) -> None:
    """Names of runs are made of them, and a resume names only what it changes."""
    directory = RunDirectory(tmp_path)
    directory.begin(["igrpo", "train", "objective=dapo", "+trainer.steps=2"])
    directory.begin(["igrpo", "train", "resume=x", "trainer.steps=3"])
    directory.begin(["igrpo", "train", "resume=x"])
    changed = {"objective": "dapo", "trainer.steps": "3", "resume": "x"}
    assert directory.read_record().given == changed
    directory.begin(["script.py", "lr=3"])
    assert directory.read_record().given == changed
    older = json.loads(directory.record_file.read_text())
    del older["given"]
    directory.record_file.write_text(json.dumps(older | {"command": ["/x/igrpo", "train", "seed=1"]}))
    assert directory.begin(["igrpo.train", "trainer.steps=4"]).given == {"seed": "1", "trainer.steps": "4"}


def test_the_command_of_another_program_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", "lr=3"])
    assert RunDirectory(tmp_path).begin().command == ()
    with as_command(["igrpo", "train"]):
        assert RunDirectory(tmp_path).begin().command == ("igrpo", "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run directory: it has no run.json"),
        ('{"schema_version": 1, "sta', "is broken"),
        ('{"schema_version": 99}', "schema version 99, this igrpo reads up to 1: update igrpo"),
        ("[]", "no valid schema_version"),
        ('{"schema_version": true}', "no valid schema_version"),
        ('{"schema_version": 1, "status": "SLEEPING"}', "status"),
    ],
)
def test_bad_run_json_is_a_clear_error(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        RunDirectory(tmp_path).read_record()


def test_the_lock_is_refused_if_held_and_taken_from_the_dead(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    process = hold(directory.path)
    try:
        with pytest.raises(RunDirectoryLockedError) as caught, directory.acquire():
            pass
        for part in (str(directory), f"process {process.pid} on host {os.uname().nodename}", "another run directory"):
            assert part in str(caught.value)
    finally:
        process.kill()
        process.wait()
    assert holder(directory.path) is not None
    with directory.acquire():
        assert holder(directory.path) == ProcessMark.current()
        with pytest.raises(RunDirectoryLockedError, match=str(os.getpid())), directory.acquire():
            pass  # the same process does not hold it twice either
    assert holder(directory.path) is None
    with directory.acquire():
        pass


def test_the_lock_of_a_dead_process_is_taken_from_its_child(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    process = hold(directory.path)
    process.kill()
    process.wait()
    # A flock belongs to the open file, which a child may have inherited; here this test holds it in the child's stead.
    with (directory.path / ".lock").open("w") as inherited:
        fcntl.flock(inherited, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with directory.acquire():
            assert holder(directory.path) == ProcessMark.current()
            with pytest.raises(RunDirectoryLockedError), directory.acquire():
                pass
    with directory.acquire():
        pass


RIVAL = """
import sys, time
from igrpo.runs.process import ProcessMark
from igrpo.runs.run_directory import RunDirectory
ask = ProcessMark.is_dead
def slow(mark):  # all rivals find the holder dead before the first of them has done anything about it
    answer = ask(mark)
    time.sleep(0.4)
    return answer
ProcessMark.is_dead = slow
print("READY", flush=True)
sys.stdin.readline()
with RunDirectory(sys.argv[1]).acquire():
    print("HELD", flush=True)
    sys.stdin.read()
"""


def test_processes_that_take_over_together_agree_on_one_holder(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    process = hold(directory.path)
    process.kill()
    process.wait()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (directory.path / ".lock").open("w") as inherited:
        fcntl.flock(inherited, fcntl.LOCK_EX)
        rivals = [
            subprocess.Popen([sys.executable, "-c", RIVAL, str(directory.path)], text=True, **pipes) for _ in range(3)
        ]
        for rival in rivals:
            assert rival.stdout.readline() == "READY\n"
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        wait_until(lambda: sum(rival.poll() is not None for rival in rivals) == 2)
    assert sorted(rival.communicate("")[0] for rival in rivals) == ["", "", "HELD\n"]
    assert sorted(rival.returncode for rival in rivals) == [0, 1, 1]


def test_process_mark_tells_dead_from_alive() -> None:
    mine = ProcessMark.current()
    assert not mine.is_dead()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mark = ProcessMark(mine.host, sleeper.pid, psutil.Process(sleeper.pid).create_time(), mine.pid_namespace)
    assert not mark.is_dead()
    sleeper.kill()
    wait_until(mark.is_dead)  # killed, though not yet waited for: a zombie
    sleeper.wait()
    assert mark.is_dead()


def test_a_reused_pid_is_dead_and_another_host_is_unknown() -> None:
    mine = ProcessMark.current()
    assert ProcessMark(mine.host, mine.pid, mine.started - 100, mine.pid_namespace).is_dead()
    assert ProcessMark(mine.host, mine.pid, mine.started - 100).is_dead()
    assert not ProcessMark("another-host", mine.pid, mine.started - 100, mine.pid_namespace).is_dead()
    assert not ProcessMark(mine.host, mine.pid, mine.started - 100, "pid:[1]").is_dead()
