"""A small sweep in MLflow whose means, lowest and highest values are known: a parent, and a run per algorithm and seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from igrpo.runs.mlflow_client import MlflowRun, RunTarget, open_run
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker

ALGORITHMS = ("grpo", "igrpo")
SEEDS = (0, 1, 2)
STEPS = range(1, 13)
EVALUATED = STEPS[3::4]  # 4, 8, 12


def value(metric: str, algorithm: str, seed: float, step: int) -> float:
    """Straight lines, 0.03 apart between seeds: the mean over seeds 0, 1, 2 is seed 1, the range seeds 0 to 2."""
    start, slope = {
        "development/single_shot/accuracy": (0.1, 0.03),
        "development/draft_conditioned/accuracy": (0.15, 0.04),
        "train/entropy": (1.5, -0.08),
        "train/reward": (0.2, 0.01),
    }[metric]
    advantage = 0.2 if algorithm == "igrpo" else 0.0
    return start + advantage + slope * step + 0.03 * seed


@dataclass(frozen=True)
class SmallSweep:
    """Ids of the experiment, the sweep's run and its children by name."""

    experiment_id: str
    parent_run_id: str
    children: dict[str, str]


def log_small_sweep(server: str, folder: Path, experiment: str) -> SmallSweep:
    """Log it as training does, through trackers."""
    parent = _log(server, folder / "sweep", experiment, {"igrpo.kind": "sweep"})
    children = {}
    for algorithm in ALGORITHMS:
        for seed in SEEDS:
            name = f"{algorithm}-seed{seed}"
            children[name] = _log(server, folder / name, experiment, _tags(algorithm, seed), parent.run_id).run_id
    return SmallSweep(parent.experiment_id, parent.run_id, children)


def _tags(algorithm: str, seed: int) -> dict[str, str]:
    return {"condition": algorithm, "algorithm": algorithm, "seed": str(seed)}


def _log(
    server: str, folder: Path, experiment: str, tags: dict[str, str], parent_run_id: str | None = None
) -> MlflowRun:
    directory = RunDirectory(folder)
    directory.create()
    with directory.acquire():
        directory.begin(["test"])
        tracker = Tracker(
            directory,
            tracking_uri=server,
            experiment=experiment,
            tags=tags,
            parent_run_id=parent_run_id,
            interval_s=0.1,
        )
        if parent_run_id is not None:
            settings = {"algorithm": {"name": tags["algorithm"]}, "condition": tags["condition"]}
            tracker.log_params(settings | {"seed": int(tags["seed"])})
            for step in STEPS:
                tracker.log_metrics(step, _metrics(tags["algorithm"], int(tags["seed"]), step))
        tracker.close("FINISHED")
        directory.finish("FINISHED")
    assert tracker.run is not None
    return tracker.run


def _metrics(algorithm: str, seed: int, step: int) -> dict[str, float]:
    names = ["train/entropy", "train/reward"]
    names += ["development/single_shot/accuracy", "development/draft_conditioned/accuracy"] if step in EVALUATED else []
    return {name: value(name, algorithm, seed, step) for name in names} | {"train/loss": 1 / step, "alarm/copying": 0.0}


MANY_CONDITIONS = ("bare", "best_of_n", "grpo", "igrpo")
MANY_SEEDS = range(30)


def log_many_runs(uri: str, experiment: str) -> SmallSweep:
    """Log a sweep of 120 runs with few measurements, straight to the database: through trackers it takes a minute."""
    parent = open_run(RunTarget(uri, experiment, "many", tags={"igrpo.kind": "sweep"}))
    children = {}
    for condition in MANY_CONDITIONS:
        for seed in MANY_SEEDS:
            name = f"{condition} s{seed}"
            tags = {"condition": condition, "seed": str(seed), "mlflow.parentRunId": parent.run_id}
            run = MlflowRun(parent.client, _created(parent, name, tags), parent.experiment_id)
            metrics = many_metrics(condition, seed) | {"alarm/copying": 0.0}
            run.log_points([{"step": step, "time": float(step), **metrics} for step in (1, 2)])
            run.log_params({"condition": condition, "learning_rate": "0.1", "seed": str(seed)})
            children[name] = run.run_id
    return SmallSweep(parent.experiment_id, parent.run_id, children)


def many_metrics(condition: str, seed: int) -> dict[str, float]:
    """Known accuracies, which differ between conditions and seeds."""
    accuracy = MANY_CONDITIONS.index(condition) / 10 + seed / 100
    return {"test/single_shot/accuracy": accuracy, "development/single_shot/accuracy": accuracy + 0.05}


def _created(parent: MlflowRun, name: str, tags: dict[str, str]) -> str:
    return str(parent.client.create_run(parent.experiment_id, run_name=name, tags=tags).info.run_id)
