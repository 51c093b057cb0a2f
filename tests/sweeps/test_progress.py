"""The line that says how far a sweep is, on a terminal and in a log; and the verdict at its end."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from igrpo.files import write_json_atomic
from igrpo.report.compare import build_report
from igrpo.report.console import print_verdict
from igrpo.report.runs import find_runs
from igrpo.report.verdict import sentences
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.sweeps.progress import SweepProgress
from igrpo.sweeps.time_left import Expected
from igrpo.sweeps.watch import Watch
from tests.begun import begun_sweep
from tests.report.run_dirs import write_run


def cells(count: int) -> list[CellRecord]:
    return [CellRecord(number=n, folder=f"{n:03d}", swept={"seed": str(n)}, overrides=()) for n in range(count)]


def begin(sweep: SweepDirectory, cell: CellRecord) -> None:
    directory = sweep.run_directory(cell)
    directory.create()
    directory.begin(command=[])


def finish(sweep: SweepDirectory, cell: CellRecord) -> None:
    directory = sweep.run_directory(cell)
    write_json_atomic(directory.summary, {"single_shot": {"after": 0.5}, "seconds": {"update": 3.0}})
    directory.finish("FINISHED")


def test_runs_are_counted_by_their_state(tmp_path: Path) -> None:
    runs = cells(6)
    sweep = begun_sweep(tmp_path, *runs)
    progress = SweepProgress(sweep, Expected(dict.fromkeys(range(6), 60.0), {5: 30.0}), parallel=1)
    progress.update()
    assert progress.line().plain == "sweep: 0 of 6 done, 6 waiting, about 6 min left"  # 6 x 60 + 30 s
    for run in runs[:4]:
        begin(sweep, run)
    finish(sweep, runs[0])
    sweep.run_directory(runs[1]).finish("FAILED", error="lost")
    sweep.run_directory(runs[2]).finish("KILLED", error="killed")
    progress.update()
    assert progress.line().plain.startswith("sweep: 1 of 6 done, 1 running, 2 failed, 2 waiting, about ")
    for run in runs[4:]:
        begin(sweep, run)
    for run in runs[3:]:
        finish(sweep, run)
    progress.update()
    assert progress.line().plain == "sweep: 4 of 6 done, 2 failed"


def test_a_search_knows_of_more_runs_than_it_has_begun(tmp_path: Path) -> None:
    progress = SweepProgress(begun_sweep(tmp_path, *cells(2)), total=8)
    progress.update()
    assert progress.line().plain == "sweep: 0 of 8 done, 8 waiting"


def test_in_a_log_the_counts_follow_each_end(tmp_path: Path) -> None:
    runs, out = cells(2), io.StringIO()
    sweep = begun_sweep(tmp_path, *runs)
    with Watch(sweep, runs, Console(file=out, width=80), progress=SweepProgress(sweep)) as watch:
        begin(sweep, runs[0])
        watch.look()
        finish(sweep, runs[0])
        watch.look()
    lines = out.getvalue().splitlines()
    assert lines[0].endswith("(s0): started")
    assert lines[1].endswith("(s0): finished, 50.0 % single-shot, 3 s of work")
    assert lines[2].startswith("sweep: 1 of 2 done, 1 waiting")


def test_runs_of_this_process_are_counted_and_not_announced_again(tmp_path: Path) -> None:
    runs, out = cells(1), io.StringIO()
    sweep = begun_sweep(tmp_path, *runs)
    with Watch(sweep, runs, Console(file=out, width=80), progress=SweepProgress(sweep), announce=False) as watch:
        begin(sweep, runs[0])
        finish(sweep, runs[0])
        watch.look()
    assert out.getvalue() == "sweep: 1 of 1 done\n"


def test_on_a_terminal_the_counts_stay_at_the_bottom(tmp_path: Path) -> None:
    runs, out = cells(1), io.StringIO()
    sweep = begun_sweep(tmp_path, *runs)
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with Watch(sweep, runs, console, progress=SweepProgress(sweep)):
        begin(sweep, runs[0])
    assert "sweep: 0 of 1 done, 1 waiting" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[2K\x1b[?25h\r")  # removed at the end


def test_the_verdict_has_difference_interval_and_p_of_each_accuracy(tmp_path: Path) -> None:
    for seed in range(3):
        for condition, after in (("grpo", [0.25, 0.5, 0.75]), ("igrpo", [0.5, 0.75, 1.0])):
            name = tmp_path / f"{condition}{seed}"
            write_run(name, f"condition={condition}", seed=seed, after=after)
    report = build_report(find_runs([tmp_path]), title=None, sources=())
    out = io.StringIO()
    print_verdict(report, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert {c.metric for c in report.comparisons} >= {"test/single_shot/accuracy"}
    rows = [number for number, line in enumerate(lines) if "igrpo \N{MINUS SIGN} grpo" in line]
    assert len(rows) == len(report.comparisons) > 1
    assert "+25.0 [" in lines[rows[0]]
    said = " ".join(" ".join(lines[: rows[0]]).split())  # the sentences are first
    assert all(f"- {sentence}" in said for sentence in sentences(report))
    assert all(len(line) <= 80 for line in lines)


def test_without_a_comparison_there_is_no_verdict(tmp_path: Path) -> None:
    write_run(tmp_path / "only", "condition=grpo", seed=0, after=[0.5, 0.25])
    out = io.StringIO()
    print_verdict(build_report(find_runs([tmp_path]), title=None, sources=()), Console(file=out))
    assert out.getvalue() == ""
