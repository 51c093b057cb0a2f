import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from igrpo.disk import DiskFullError, append_whole, disk_errors, ensure_space
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.rollout_log import read_rollouts
from tests.begun import begun_run


def test_ensure_space_names_path_room_need_and_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> shutil._ntuple_diskusage:
        asked.append(path)
        return shutil._ntuple_diskusage(10 * 2**30, 10 * 2**30 - 7 * 2**20, 7 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    ensure_space(tmp_path / "not" / "there" / "yet", 7, setting="trainer.min_free_mb")
    assert asked == [tmp_path]
    with pytest.raises(DiskFullError) as caught:
        ensure_space(tmp_path / "run", 8, setting="trainer.min_free_mb")
    for part in (str(tmp_path / "run"), "7 MiB free", "8 MiB are needed", "trainer.min_free_mb"):
        assert part in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_clean_error(number: int) -> None:
    with pytest.raises(DiskFullError, match=r"cannot write /x/y: .*resume the run"), disk_errors(Path("/x/y")):
        raise OSError(number, "no room")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), disk_errors(Path("/x/y")):
        raise PermissionError(errno.EACCES, "no")


LIMIT_SCRIPT = """
import resource, sys
from pathlib import Path
from igrpo.disk import DiskFullError
from igrpo.runs.metrics_file import MetricsFile
from igrpo.runs.rollout_log import RolloutLog
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
metrics, rollouts = MetricsFile(folder / "metrics.jsonl"), RolloutLog(folder / "rollouts", steps_per_file=1000)
for name, write in (
    ("metrics", lambda step: metrics.append(step, {"a": 0.125})),
    ("rollouts", lambda step: rollouts.append(step, [{"step": step, "text": "x"}])),
):
    try:
        for step in range(1, 1000):
            write(step)
    except DiskFullError as error:
        print(name, step, error)
"""


def test_writers_leave_whole_files_when_the_room_ends(tmp_path: Path) -> None:
    # A limit on the size of a file stands for the full disk: it too lets a write succeed in part, then fail.
    done = subprocess.run(
        [sys.executable, "-c", LIMIT_SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["metrics", "rollouts"], done.stderr
    failed_at = [int(line.split()[1]) for line in lines]
    assert all("cannot write" in line for line in lines)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, failed_at[0]))
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"}\n")
    assert [line["step"] for line in read_rollouts(tmp_path / "rollouts")] == list(range(1, failed_at[1]))
    assert min(failed_at) > 10


def test_run_json_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = begun_run(tmp_path / "run")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFullError, match=r"run\.json"):
        directory.finish("FINISHED")
    assert directory.read_record().status == "RUNNING"
    assert [path.name for path in directory.path.iterdir() if path.name.endswith(".tmp")] == []


def test_append_whole_goes_on_after_a_short_write(tmp_path: Path) -> None:
    class Short:
        """A file that takes three bytes a call, as the system may."""

        def __init__(self) -> None:
            self.data = b""

        def seek(self, offset: int, whence: int) -> int:
            return len(self.data)

        def write(self, data: memoryview) -> int:
            self.data += bytes(data[:3])
            return min(3, len(data))

    file = Short()
    append_whole(file, b"0123456789", tmp_path)  # type: ignore[arg-type]
    assert file.data == b"0123456789"
