"""A run in a process of its own, for the tests: ``tracked_run.py RUN_DIR URI normal|exception|wait [RESUME_STEP]``."""

import sys
import time

from igrpo.runs.lifecycle import run_lifecycle
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker


def main() -> None:
    path, uri, mode = sys.argv[1:4]
    resume_step = int(sys.argv[4]) if len(sys.argv) > 4 else None
    directory = RunDirectory(path)
    with run_lifecycle(directory) as run:
        run.begin()
        tracker = Tracker(directory, tracking_uri=uri, experiment="endings", resume_step=resume_step, interval_s=0.1)
        run.on_end(tracker.close)
        assert tracker.run is not None
        tracker.log_params({"algorithm": {"name": "igrpo", "drafts": 4}, "mode": mode})
        for step in range(1 + (resume_step or 0), 7):
            tracker.log_metrics(step, {"train/loss": step / 2})
        if mode == "exception":
            raise RuntimeError("boom")
        if mode == "wait":
            while not everything_arrived(tracker):
                time.sleep(0.05)
            print("READY", flush=True)
            time.sleep(60)


def everything_arrived(tracker: Tracker) -> bool:
    """The points of the last step, and the parameters, which follow them."""
    assert tracker.run is not None
    run_id, client = tracker.run.run_id, tracker.run.client
    points = client.get_metric_history(run_id, "train/loss")
    return bool(client.get_run(run_id).data.params) and max((point.step for point in points), default=0) == 6


if __name__ == "__main__":
    main()
