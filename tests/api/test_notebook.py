"""The notebook in docs runs from its first cell to its last, and its committed outputs are complete and clean."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.trained_runs import SMALL

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "first_comparison.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a smaller model and fewer steps: what is added to the cell of its settings."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    notebook = read()
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    settings.source += f"\nsettings += {[*SMALL, 'data.train=64']!r}"
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "\n".join(outputs(notebook))
    assert "<td>grpo, seed 0" in text
    assert "<td>igrpo, seed 0" in text
    assert "refused" in text
    assert list(tmp_path.glob("report/report.html"))


def outputs(notebook: Any) -> list[str]:
    """Texts of the outputs of every cell with code."""
    found = []
    for output in (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs):
        data = output.get("data", {"text/plain": output.get("text", "")})
        found += ["".join(text) for kind, text in data.items() if kind.startswith("text/")]
    return found


def test_its_outputs_are_committed_whole_and_clean() -> None:
    notebook = read()
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from the top"
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    text = "\n".join(outputs(notebook))
    assert not re.search(r"/(tmp|home|root|work|Users)/", text), "paths of the machine that ran it"
    assert sys.executable not in text
    assert NOTEBOOK.stat().st_size < 300_000
