"""`igrpo report` from the command line to its files, and what it says when it cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from igrpo.cli.main import main
from igrpo.report.compare import build_report
from igrpo.report.console import print_report
from igrpo.report.model import Report
from igrpo.report.runs import find_runs
from tests.report.run_dirs import write_run


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GRPO and iGRPO, three seeds each; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, right in (("grpo", 0.75), ("igrpo", 0.5)):
        for seed in range(3):
            write_run(
                tmp_path / "sweep" / f"{name}-{seed}", f"algorithm={name}", seed=seed, after=[right, 0.25 * seed, 1.0]
            )
    return tmp_path / "sweep"


def test_a_sweep_gets_its_report_beside_its_runs(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(sweep), "--title", "A [bold]title"]) == 0
    printed = capsys.readouterr().out
    out = sweep / "report"
    report = Report.model_validate(json.loads((out / "report.json").read_text()))
    assert (report.title, report.sources, report.baseline) == ("A [bold]title", (str(sweep),), "grpo")
    assert [condition.name for condition in report.conditions] == ["grpo", "igrpo"]
    page = (out / "report.html").read_text()
    assert report.comparisons[0].verdict in page
    assert "A [bold]title" in page
    assert 'href="../grpo-0/"' in page  # relative: the sweep can be moved with its report
    assert str(sweep) not in page.replace(f"Read from: {sweep}", "")
    assert report.runs[0].folder == "../grpo-0"
    assert (out / "tables.md").read_text().count("igrpo") > 1
    assert "tabular" in (out / "tables.tex").read_text()
    names = {path.stem for path in (out / "figures").iterdir()}
    assert {path.suffix for path in (out / "figures").iterdir()} == {".svg", ".png"}
    assert "accuracy-by-samples" in names
    assert all((out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in names)
    assert "A [bold]title" in printed
    assert str(out / "report.html") in printed
    assert report.comparisons[0].difference == pytest.approx(-0.25 / 3)  # a quarter on one of three problems
    assert f"- {report.comparisons[0].verdict}" in " ".join(printed.split())
    said = " ".join(printed.split())
    assert "igrpo − grpo −8.3 [" in said
    assert said.index("on draft-conditioned accuracy") < said.index("A [bold]title")  # the verdict in words is first

    assert main(["report", str(sweep)]) == 0  # again: a report is no run
    assert len(Report.model_validate(json.loads((out / "report.json").read_text())).runs) == 6


def test_where_it_is_written(sweep: Path, tmp_path: Path) -> None:
    assert main(["report", str(sweep / "grpo-0"), str(sweep / "igrpo-0")]) == 0
    assert (tmp_path / "report" / "report.html").exists()
    assert (
        main(["report", str(sweep), "--out", str(tmp_path / "here" / "there"), "--pairs", "all", "--baseline", "igrpo"])
        == 0
    )
    report = Report.model_validate(json.loads((tmp_path / "here" / "there" / "report.json").read_text()))
    assert report.baseline == "igrpo"
    assert not (sweep / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give run or sweep directories, or --mlflow FILTER"),
        (["gone"], "gone: there is no such folder"),
        (["sweep", "--baseline", "x"], "baseline 'x': there is no such condition; there are grpo and igrpo"),
        (["sweep", "--out", "sweep/grpo-0/log"], "log: it, its folder 'figures' or a parent of it is no folder"),
        (["sweep", "--uri", "x"], "--uri and --experiment are for --mlflow FILTER"),
        (["sweep", "--pairs", "some"], "--pairs: invalid choice: 'some'"),
        (["sweep", "--base", "x"], "--base: no such option; did you mean '--baseline'?"),
        (["--mlflow", ""], "mlflow.db: there is no database"),
    ],
)
def test_mistakes(sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    (sweep / "grpo-0" / "log").write_text("")
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("igrpo: ")
    assert error.count("\n") == 1
    assert message in error


def test_every_table_of_the_console_fits_80_columns(tmp_path: Path) -> None:
    for size in (4, 8, 16, 32):
        for name in ("grpo", "igrpo"):
            changes = {"completions_per_question": size, "condition": f"a-rather-long-label-of-{name}-with-{size}"}
            write_run(tmp_path / f"{name}-{size}", f"algorithm={name}", after=[0.25, 1.0], changes=changes)
    report = build_report(find_runs([tmp_path]), title=None, sources=[])
    console = Console(file=io.StringIO(), width=80, no_color=True)
    paths = {name: Path(name) for name in ("page", "figures", "markdown", "latex", "numbers")}
    print_report(report, paths, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("condition ") for line in lines) == 1
    assert sum(line.startswith("comparison ") for line in lines) == 3
    assert not any("…" in line for line in lines)  # nothing is cut


def test_help_and_mistakes_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from igrpo.cli.main import main\n"
        "codes = [main(['report', '--help']), main(['report']), main(['report', '--zzz'])]\n"
        "print(codes, sorted({n.partition('.')[0] for n in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["numpy", "scipy", "torch", "mlflow", "matplotlib", "jinja2", "rich", "hydra", "lightning", "omegaconf"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "[0, 2, 2] []"
    assert "usage: igrpo report" in done.stdout
