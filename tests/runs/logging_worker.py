"""One cell that logs as fast as it can: ``logging_worker.py RUN_DIR URI PARENT_RUN_ID CELL STEPS METRICS``."""

import sys
from collections.abc import Iterator

from igrpo.runs.lifecycle import run_lifecycle
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker

EXPERIMENT = "parallel"


def values(cell: int, steps: int, metrics: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Every (step, metrics) of a cell; no two values of a cell are the same, and none is the same in two cells."""
    for step in range(1, steps + 1):
        yield step, {f"group/metric_{number:02d}": cell + step / 1000 + number / 1e6 for number in range(metrics)}


def main() -> None:
    path, uri, parent_run_id = sys.argv[1:4]
    cell, steps, metrics = (int(text) for text in sys.argv[4:])
    directory = RunDirectory(path)
    with run_lifecycle(directory) as run:
        run.begin()
        swept = {"algorithm": "igrpo", "seed": str(cell)}
        tracker = Tracker(
            directory,
            tracking_uri=uri,
            experiment=EXPERIMENT,
            run_name=f"cell {cell}",
            parent_run_id=parent_run_id,
            swept=swept,
        )
        run.on_end(tracker.close)
        tracker.log_params({"seed": cell, "trainer": {"steps": steps}})
        for step, found in values(cell, steps, metrics):
            tracker.log_metrics(step, found)


if __name__ == "__main__":
    main()
