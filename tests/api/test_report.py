"""`igrpo.report`: the files of the command, as an object that a notebook shows; and still a package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import igrpo
from igrpo.cli.main import main
from tests.report.run_dirs import GRPO, IGRPO, write_run


def runs(folder: Path) -> list[Path]:
    return [
        write_run(folder / f"{name}-{seed}", f"algorithm={name}", seed=seed, after=shares[seed])
        for name, shares in (("grpo", GRPO), ("igrpo", IGRPO))
        for seed in (0, 1)
    ]


def test_a_report_is_written_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = runs(tmp_path)
    report = igrpo.report([igrpo.Run.load(folder) for folder in folders])
    assert report.directory == tmp_path / "report"
    assert report.page.is_file()
    assert report.conditions == ("grpo", "igrpo")
    (verdict,) = report.verdicts
    assert verdict.startswith("no difference shown between igrpo and grpo")
    assert verdict in str(report)
    assert verdict in report._repr_html_()
    assert "<td>igrpo</td>" in report._repr_html_()
    assert report.numbers.baseline == "grpo"
    assert {path.suffix for path in report.figures.values()} == {".png"}
    assert all(path.is_file() for path in report.figures.values())
    assert main(["report", *map(str, folders), "--out", "other"]) == 0
    for name in ("tables.md", "report.html"):  # but for the time of the report
        mine, theirs = ((folder / name).read_text().splitlines() for folder in (report.directory, tmp_path / "other"))
        assert len(mine) == len(theirs)
        assert sum(a != b for a, b in zip(mine, theirs, strict=True)) <= 2


def test_one_folder_has_its_report_inside(tmp_path: Path) -> None:
    runs(tmp_path / "sweep")
    there = igrpo.report(str(tmp_path / "sweep"), title="<b>mine</b>", pairs="all")
    assert there.page == tmp_path / "sweep" / "report" / "report.html"
    assert "&lt;b&gt;mine" in there._repr_html_()
    assert "<b>mine" not in there._repr_html_()


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        igrpo.report([])
    with pytest.raises(ValueError, match="nowhere"):
        igrpo.report([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="gpro"):
        igrpo.report(runs(tmp_path), directory=tmp_path / "out", baseline="gpro")


def test_the_name_is_also_that_of_the_package() -> None:
    import igrpo.report.compare
    from igrpo.report import compare

    assert igrpo.report.compare is compare
    assert callable(igrpo.report)


def test_a_run_stands_for_its_directory(tmp_path: Path) -> None:
    run = igrpo.Run.load(write_run(tmp_path / "<i>", "algorithm=grpo", after=GRPO[0]))
    assert os.fspath(run) == str(run.directory) == str(tmp_path / "<i>")
    assert run.status == "FINISHED"
    assert run.accuracy == run.summary.single_shot.after == pytest.approx(0.625)
    assert "accuracy=0.625" in repr(run)
    shown = run._repr_html_()
    assert "&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert "62.5" in shown
    assert [line["step"] for line in run.metrics][-1] == 4
    with pytest.raises(igrpo.ConfigError, match=r"config\.yaml"):
        igrpo.Run.load(tmp_path)
