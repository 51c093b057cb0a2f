"""What logging adds to a training step, in CPU-seconds: 50 metrics a step, to sqlite and to a real MLflow server.

    python benchmarks/logging_cost.py [--steps 60] [--processes 1 8] [--results benchmarks/results/logging_cost.json]

A step is 0.3 s of small matrix products, about what one of the small task takes. All that the process spends beside
them while the loop runs and the run is closed is the cost of logging, the thread that feeds MLflow included; imports
and the opening of the run, which happen once, are shown apart. Time of the processor, not of the clock: eight processes
share what cores there are, as a sweep's do. The server's own work is not in it: it has a machine of its own elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from igrpo.files import write_json_atomic
from igrpo.runs.links import default_tracking_uri
from igrpo.runs.mlflow_client import RunTarget, open_run
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.mlflow_server import mlflow_server

METRICS = 50
STEP_S = 0.3
TARGET = 0.05
_SIDE = 128


def work(products: int) -> None:
    """Small matrix products, one call of numpy each: a step is many small operations."""
    matrix = np.full((_SIDE, _SIDE), 1 / _SIDE)
    for _ in range(products):
        matrix = matrix @ matrix


def products_of_a_step() -> int:
    """How many products take STEP_S of CPU time here."""
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        work(500)
        seconds.append(time.thread_time() - start)
    return round(500 * STEP_S / statistics.median(seconds))


def run_cell(folder: str, uri: str, products: int, steps: int) -> None:
    """One run in a process of its own; prints what it cost as JSON."""
    directory = RunDirectory(folder)
    directory.create()
    directory.begin(["benchmark"])
    started = time.process_time()
    tracker = Tracker(directory, tracking_uri=uri or None, experiment="logging_cost")
    opened = time.process_time()
    worked, blocked = [], []
    for step in range(1, steps + 1):
        start = time.thread_time()
        work(products)
        worked.append(time.thread_time() - start)
        start = time.perf_counter()
        tracker.log_metrics(step, {f"group/metric_{i:02d}": step / (i + 7) for i in range(METRICS)})
        blocked.append(time.perf_counter() - start)
    tracker.close("FINISHED")
    spent = time.process_time() - opened - sum(worked)
    sizes = {"work_s": statistics.median(worked), "blocked_s": statistics.median(blocked)}
    print(json.dumps(sizes | {"cost_s": spent / steps, "opening_s": opened - started}))


@contextmanager
def address(kind: str, folder: Path) -> Iterator[str]:
    """The tracking address of a kind: none, sqlite or server."""
    if kind == "server":
        with mlflow_server(folder) as uri:
            yield uri
    else:
        yield default_tracking_uri(folder) if kind == "sqlite" else ""


def measure(kind: str, processes: int, products: int, steps: int) -> dict[str, float]:
    """Medians over the processes, in seconds."""
    with tempfile.TemporaryDirectory() as temporary, address(kind, Path(temporary)) as uri:
        folder = Path(temporary)
        if uri:  # as a sweep does: the database and the experiment exist before the first run
            open_run(RunTarget(uri, "logging_cost", "sweep")).terminate("FINISHED")
        cells = [
            subprocess.Popen(
                [sys.executable, __file__, "--cell", str(folder / str(cell)), uri, str(products), str(steps)],
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for cell in range(processes)
        ]
        costs = [json.loads(cell.communicate()[0]) for cell in cells]
    return {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "logging_cost.json")
    parser.add_argument("--cell", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        folder, uri, products, steps = arguments.cell
        run_cell(folder, uri, int(products), int(steps))
        return
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    products = products_of_a_step()
    rows = []
    print("processes tracking  work/step  logging/step   ratio  log_metrics blocks  opening (once)")
    for processes in arguments.processes:
        for kind in ("none", "sqlite", "server"):
            found = measure(kind, processes, products, arguments.steps)
            ratio = found["cost_s"] / found["work_s"]
            rows.append({"processes": processes, "tracking": kind, **found, "ratio": ratio})
            print(
                f"{processes:9d} {kind:8s} {1e3 * found['work_s']:6.0f} ms {1e3 * found['cost_s']:10.2f} ms "
                f"{100 * ratio:8.2f} % {1e3 * found['blocked_s']:14.2f} ms {found['opening_s']:12.1f} s",
                flush=True,
            )
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    versions = {name: version(name) for name in ("mlflow", "sqlalchemy", "numpy")}
    settings = {"metrics_a_step": METRICS, "steps": arguments.steps, "target_ratio": TARGET}
    write_json_atomic(arguments.results, {"machine": machine, "versions": versions, **settings, "rows": rows})
    worst = max(row["ratio"] for row in rows)
    print(f"worst ratio {100 * worst:.2f} %, target {100 * TARGET:.0f} %: {'met' if worst < TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
