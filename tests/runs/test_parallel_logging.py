"""Eight real processes log as fast as they can, to one database and to one server: nothing is lost, nothing doubled."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from igrpo.runs.links import default_tracking_uri
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, open_run
from igrpo.runs.run_directory import RunDirectory
from tests.mlflow_server import mlflow_server
from tests.runs.logging_worker import EXPERIMENT, values

CELLS, STEPS, METRICS = 8, 500, 50

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def log_in_parallel(folder: Path, uri: str) -> MlflowRun:
    """Open the parent run, then let the cells log beneath it; each must end well and in silence."""
    parent = open_run(RunTarget(uri, EXPERIMENT, "sweep"))
    numbers = [str(number) for number in (STEPS, METRICS)]
    cells = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.runs.logging_worker"),
                *(str(folder / "runs" / str(cell)), uri, parent.run_id, str(cell), *numbers),
            ],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for cell in range(CELLS)
    ]
    assert [(process.communicate()[0], process.returncode) for process in cells] == [("", 0)] * CELLS
    parent.terminate("FINISHED")
    return parent


def stored(database: Path, query: str, *arguments: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, arguments).fetchall()


def assert_nothing_lost(folder: Path, database: Path, parent: MlflowRun) -> None:
    expected_runs = {f"cell {cell}": "FINISHED" for cell in range(CELLS)}
    runs = stored(database, "SELECT name, status FROM runs ORDER BY name")
    assert runs == [*sorted(expected_runs.items()), ("sweep", "FINISHED")]  # each once, and none beside them
    for cell in range(CELLS):
        expected = list(values(cell, STEPS, METRICS))
        directory = RunDirectory(folder / "runs" / str(cell))
        record = directory.read_record()
        assert record.status == "FINISHED"
        tags = dict(stored(database, "SELECT key, value FROM tags WHERE run_uuid = ?", str(record.mlflow_run_id)))
        assert tags["mlflow.parentRunId"] == parent.run_id
        assert record.mlflow_run_id is not None
        kept = [(line.pop("step"), line) for line in read_metrics(directory.metrics) if line.pop("time")]
        assert kept == expected
        query = "SELECT step, key, value FROM metrics WHERE run_uuid = ? ORDER BY step, key"
        points = stored(database, query, record.mlflow_run_id)
        assert len(points) == STEPS * METRICS
        assert points == [(step, name, value) for step, found in expected for name, value in found.items()]
        params = dict(stored(database, "SELECT key, value FROM params WHERE run_uuid = ?", record.mlflow_run_id))
        assert params == {"algorithm": "igrpo", "seed": str(cell), "trainer.steps": str(STEPS)}


def test_a_database_that_did_not_exist(tmp_path: Path) -> None:
    uri = default_tracking_uri(tmp_path / "db")
    parent = log_in_parallel(tmp_path, uri)
    assert_nothing_lost(tmp_path, tmp_path / "db" / "mlflow.db", parent)


def test_a_server(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as uri:
        parent = log_in_parallel(tmp_path, uri)
        assert_nothing_lost(tmp_path, tmp_path / "mlflow.db", parent)
