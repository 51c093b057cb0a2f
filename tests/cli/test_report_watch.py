"""`igrpo report SWEEP --watch` on sweeps in every state, from waiting to its end."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from igrpo.cli import report_watch
from igrpo.cli.main import main
from igrpo.console import footer_of
from igrpo.report.compare import build_report
from igrpo.report.runs import LoadedRun
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.run_lock import run_lock
from igrpo.runs.sweep_directory import SweepDirectory, plan_cell
from igrpo.sweeps.condition_progress import is_at_work, progress, progress_table, sweep_runs
from igrpo.sweeps.power import Design, seeds_for
from igrpo.sweeps.progress import states
from tests.begun import begun_sweep
from tests.composed import changed
from tests.report.run_dirs import GRPO, IGRPO, write_run

NAMES = {"grpo": GRPO, "igrpo": IGRPO}
REFRESH = '<meta http-equiv="refresh" content="10">'


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    """A sweep of grpo and igrpo at three seeds, of which no run has begun; its settings are written."""
    swept = [{"condition": name, "seed": str(seed)} for name in NAMES for seed in range(3)]
    made = begun_sweep(tmp_path / "sweep", *(plan_cell(i, one, ()) for i, one in enumerate(swept)))
    for cell in made.read().cells:
        name, seed = cell.swept["condition"], int(cell.swept["seed"])
        config = changed(
            {"seed": seed, "model.warm_start.seed": seed, "trainer.steps": 4, "condition": name}, f"algorithm={name}"
        )
        made.run_directory(cell).create()
        made.run_directory(cell).save_config(config)
    return made


def run(sweep: SweepDirectory, name: str, seed: int, **more: Any) -> Path:
    """Write the files of a run of the sweep."""
    cell = next(cell for cell in sweep.read().cells if cell.swept == {"condition": name, "seed": str(seed)})
    path = sweep.run_directory(cell).path
    shutil.rmtree(path)
    return write_run(path, f"algorithm={name}", seed=seed, after=NAMES[name][seed], changes={"condition": name}, **more)


def rows(sweep: SweepDirectory, effect: float = 0.05) -> dict[str, tuple[str, ...]]:
    """The rows of the table of progress, by condition."""
    runs, found = sweep_runs(sweep.path), states(sweep)
    try:
        report = build_report(runs, title=None, sources=[], planned=True, effect=effect)
    except ValueError:
        report = None
    return {row[0]: row[1:] for row in progress_table(progress(runs, found, report), runs, effect).rows}


def test_progress_of_a_sweep(sweep: SweepDirectory) -> None:
    assert rows(sweep)["grpo"][:5] == ("0 of 3", "0 %", "–", "–", "–")
    run(sweep, "grpo", 0, steps=2, status="RUNNING")
    assert rows(sweep)["grpo"][:4] == ("0 of 3, 1 running", "17 %", "62.5", "–")  # half of a third
    run(sweep, "grpo", 0)
    run(sweep, "grpo", 1)
    run(sweep, "igrpo", 0)
    run(sweep, "igrpo", 1, status="FAILED", steps=2)
    found = rows(sweep)
    assert found["grpo"][:2] == ("2 of 3", "67 %")
    assert found["grpo"][3].startswith("62.5 [")
    assert found["igrpo"][:2] == ("1 of 3, 1 failed", "50 %")
    assert found["igrpo"][4] == "−18.8"  # one seed in common: no interval
    assert found["grpo"][5] == "–"  # the baseline
    planned = seeds_for(Design(0, None, asked=256, samples=4, comparisons=1), 0.05)
    assert planned is not None
    assert found["igrpo"][5] == f"{planned - 1} (planned)"
    run(sweep, "igrpo", 1)
    run(sweep, "igrpo", 2)
    run(sweep, "grpo", 2)
    found = rows(sweep, effect=0.25)
    assert found["igrpo"][4].startswith("−")
    assert "[" in found["igrpo"][4]
    assert not found["igrpo"][5].endswith("(planned)")


def test_the_seeds_that_a_plan_takes() -> None:
    design = Design(seeds=0, available=None, asked=256, samples=4, comparisons=1)
    needed = seeds_for(design, 0.05)
    assert needed is not None
    for seeds, shows in ((needed, True), (needed - 1, False)):
        detected = Design(seeds=seeds, available=None, asked=256, samples=4, comparisons=1).detectable(0.03)
        assert (detected is not None and detected <= 0.05) is shows
    assert seeds_for(Design(0, None, 4, 4, 1), 0.05) is None


def watched(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch, events: list[Callable[[], object]]
) -> tuple[int, str]:
    """Watch it; each wait is one event. Returns the exit code and what was printed."""
    console = Console(file=io.StringIO(), width=80, no_color=True, markup=False)
    left = iter(events)
    monkeypatch.setattr(report_watch, "get_console", lambda: console)
    monkeypatch.setattr(time, "sleep", lambda _: next(left)())
    build = lambda runs: build_report(runs, title=None, sources=[], planned=True)  # noqa: E731
    code = report_watch.watch(sweep, sweep.path / "watch", every=10.0, effect=0.05, build=build)
    assert list(left) == []
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def page(sweep: SweepDirectory) -> str:
    return (sweep.path / "watch" / "report.html").read_text()


def test_a_watch_from_the_first_run_to_the_end(sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = run_lock(sweep.path)

    own = sweep.path / "report" / "report.html"

    def first() -> None:
        assert not own.exists()  # the sweep writes it, and MLflow gets it
        assert "No run has finished yet" in page(sweep)
        assert REFRESH in page(sweep)
        for seed in range(2):
            run(sweep, "grpo", seed)
            run(sweep, "igrpo", seed)
        (sweep.path / "000-x").mkdir()  # a folder that is no run, and a file that is half written
        (sweep.path / "000-x" / "summary.json").write_text("{")

    def half_written() -> None:
        assert "Results after training" in page(sweep)
        assert "The sweep is running" in page(sweep)
        assert REFRESH in page(sweep)
        assert not own.exists()
        kept = sweep.record_file.read_text()
        sweep.record_file.write_text(kept[:40])
        monkeypatch.setattr(sweep, "kept", kept, raising=False)

    def whole_again() -> None:
        sweep.record_file.write_text(sweep.kept)  # type: ignore[attr-defined]
        run(sweep, "grpo", 2)
        run(sweep, "igrpo", 2)
        lock.__exit__(None, None, None)

    lock.__enter__()
    code, printed = watched(sweep, monkeypatch, [first, half_written, whole_again])
    assert code == 0
    assert REFRESH not in page(sweep)
    assert "The sweep is running" not in page(sweep)
    assert json.loads((sweep.path / "watch" / "report.json").read_text())["conditions"][1]["seeds"] == [0, 1, 2]
    assert REFRESH not in own.read_text()  # this sweep wrote none
    assert f"the sweep's own report: {own}" in printed
    assert "2 of 3" in printed
    assert "the sweep has ended" in printed
    assert "on single-shot accuracy" in printed
    assert max(len(line) for line in printed.splitlines() if str(sweep) not in line) <= 80  # paths are not broken


def test_the_report_of_the_sweep_is_left_as_it_is(sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run(sweep, "grpo", 0)
    own = sweep.path / "report" / "report.html"
    own.parent.mkdir()
    own.write_text("the sweep wrote this")
    code, printed = watched(sweep, monkeypatch, [])
    assert code == 0
    assert own.read_text() == "the sweep wrote this"
    assert f"the sweep's own report: {own}" in printed
    os.utime(own, (1.0, 1.0))  # from before the run ended
    watched(sweep, monkeypatch, [])
    assert "the sweep wrote this" not in own.read_text()


def test_on_a_terminal_the_watch_draws_in_the_footer(sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second display of rich beside it would raise, as while a wait is shown."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, markup=False)
    footer = footer_of(console)
    footer.add(lambda: Text("something else"))
    run(sweep, "grpo", 0)
    lock = run_lock(sweep.path)
    drawn: list[int] = []

    def wait(_: float) -> None:
        drawn.append(len(footer._lines))
        lock.__exit__(None, None, None)

    monkeypatch.setattr(report_watch, "get_console", lambda: console)
    monkeypatch.setattr(report_watch, "time", SimpleNamespace(sleep=wait))
    build = lambda runs: build_report(runs, title=None, sources=[], planned=True)  # noqa: E731
    lock.__enter__()
    assert report_watch.watch(sweep, sweep.path / "watch", every=10.0, effect=0.05, build=build) == 0
    assert drawn == [2]
    assert len(footer._lines) == 1
    footer.remove(footer._lines[0])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("page: ") >= 3  # drawn twice, and left there


def test_a_resumed_sweep_prints_its_settings_if_asked_for(
    sweep: SweepDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, is_shown in ((["--check"], False), (["--check", "-v"], True)):
        assert main(["train", f"resume={sweep.path}", *flags]) == 0
        printed = capsys.readouterr().out
        assert "0 of 6 runs are finished already" in printed
        for text in ("├── steps:", "tokens per micro-batch"):
            assert (text in printed) is is_shown


def test_ctrl_c_ends_the_watch_and_not_the_sweep(sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run(sweep, "grpo", 0)
    run(sweep, "grpo", 1, steps=2, status="RUNNING")
    before = {path: path.stat().st_mtime_ns for path in sweep.path.rglob("*") if path.is_file()}
    code, printed = watched(sweep, monkeypatch, [interrupt])
    assert code == 0
    assert "the sweep goes on" in printed
    assert REFRESH not in page(sweep)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert RunDirectory(next(sweep.path.glob("001*"))).read_record().status == "RUNNING"


def test_a_sweep_that_ended_without_a_finished_run(sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run(sweep, "grpo", 0, status="FAILED", steps=2)
    code, printed = watched(sweep, monkeypatch, [])
    assert code == 1
    assert "no report" in printed
    assert not list(sweep.path.glob("*/report.html"))


def test_a_sweep_is_at_work_while_its_driver_lives(sweep: SweepDirectory) -> None:
    assert not is_at_work(sweep, states(sweep))
    with run_lock(sweep.path):
        assert is_at_work(sweep, states(sweep))
        note = sweep.path / ".lock.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"pid": 2**22 + 1}))  # nobody has this number
        assert not is_at_work(sweep, states(sweep))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch"], "give run or sweep directories"),
        (["sweep", "sweep", "--watch"], "--watch: give one sweep directory"),
        (["sweep/report", "--watch"], "it has no sweep.json"),
        (["sweep", "--watch", "--out", "sweep/report"], "--out sweep/report: the sweep writes its own report there"),
        (["sweep", "--every", "5"], "--every is for --watch"),
        (["sweep", "--watch", "--every", "0"], "--every: give a number above 0"),
        (["sweep", "--effect", "5"], "--effect 5.0: give a share between 0 and 1"),
    ],
)
def test_mistakes(
    sweep: SweepDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(sweep.path.parent)
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_names_do_not_change_while_the_sweep_runs(tmp_path: Path) -> None:
    for drafts in (2, 4):
        write_run(
            tmp_path / f"igrpo{drafts}",
            after=[0.5, 1.0],
            changes={"algorithm.drafts": drafts},
            status="FINISHED" if drafts == 2 else "RUNNING",
        )
    runs: list[LoadedRun] = sweep_runs(tmp_path)
    report = build_report(runs, title=None, sources=[], planned=True)
    assert [condition.name for condition in report.conditions] == ["igrpo drafts=2"]
    assert [one.condition for one in report.runs] == ["igrpo drafts=2", "igrpo drafts=4"]
