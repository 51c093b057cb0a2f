"""Reservation of directories: what a failed start leaves."""

from __future__ import annotations

from pathlib import Path

from igrpo.runs.claim import remove_unbegun


def test_a_directory_with_anything_of_its_own_is_kept(tmp_path: Path) -> None:
    for name in (".lock", "log.txt", "server.log"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).touch()
    remove_unbegun(tmp_path / "run")
    assert len(list((tmp_path / "run").iterdir())) == 3
    (tmp_path / "run" / "server.log").unlink()
    remove_unbegun(tmp_path / "run")
    remove_unbegun(tmp_path / "run")
    assert not (tmp_path / "run").exists()
