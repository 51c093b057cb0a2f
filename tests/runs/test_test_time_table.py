"""The test-time curve on the console."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from igrpo.runs.test_time_table import print_test_time
from tests.evaluation.modes import MODES, run_modes


def test_the_table_has_every_step_and_fits_a_terminal() -> None:
    result = run_modes(MODES).test_time
    assert result is not None
    out = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    print_test_time("test", result, out)
    text = out.file.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["test:", "accuracy", "against", "samples", "per", "question"]
    assert [line[0] for line in lines if line and line[0] in {"single-shot", *MODES}] == ["single-shot", *MODES]
    for curve in result.curves:
        for point in curve.points:
            assert any(point.step in line and f"{point.samples:g}" in line for line in lines)
    assert " ".join(text.split()).count("paired by question (2 questions; ") == 3
