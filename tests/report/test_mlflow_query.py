"""Runs found through a real MLflow store are read from their folders, or from MLflow if these are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from igrpo.cli.main import main
from igrpo.report.compare import build_report
from igrpo.report.curves import is_read
from igrpo.report.mlflow_query import runs_from_mlflow
from igrpo.report.runs import LoadedRun, find_runs
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, mlflow_client, open_run
from igrpo.runs.run_directory import RunDirectory
from tests.report.run_dirs import change_json, write_run

EXPERIMENT = "reports"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty database, made once: its tables take seconds."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    open_run(RunTarget(uri, EXPERIMENT, "somebody's", tags={"algorithm": "none"})).terminate("FINISHED")
    return uri


def sent(uri: str, path: Path, *, artifacts: bool = True) -> MlflowRun:
    """Send the run of a folder to MLflow as training does."""
    directory = RunDirectory(path)
    run = open_run(
        RunTarget(uri, EXPERIMENT, path.name, tags={"igrpo.run_directory": str(path), "test": str(path.parent)})
    )
    run.log_points(list(read_metrics(directory.metrics)))
    if artifacts:
        run.upload(directory.config, None)
        run.upload(directory.summary, None)
        run.upload(directory.fingerprints, None)
        for file in sorted(directory.evaluations.glob("test-*.json")):
            run.upload(file, "evaluations")
    run.terminate("FINISHED")
    directory.attach_mlflow(uri, run.experiment_id, run.run_id)
    return run


def found(uri: str, folder: Path) -> list[LoadedRun]:
    return runs_from_mlflow(uri, EXPERIMENT, f"tags.test = '{folder}'")


def test_a_run_whose_folder_is_gone_is_read_from_mlflow(
    store: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, right in (("grpo", 0.75), ("igrpo", 0.5)):
        for seed in (0, 1):
            sent(
                store,
                write_run(tmp_path / f"{name}-{seed}", f"algorithm={name}", seed=seed, after=[right, 0.25 * seed]),
            )
    here, linked = find_runs([tmp_path]), found(store, tmp_path)
    assert [run.path for run in linked] == [
        tmp_path / f"{name}-{seed}" for name in ("grpo", "igrpo") for seed in (0, 1)
    ]
    for run in here:
        assert run.path is not None
        shutil.rmtree(run.path)
    capfd.readouterr()
    away = found(store, tmp_path)
    assert capfd.readouterr().err == ""  # no progress bars
    assert [(run.path, run.name, run.problem, run.status) for run in away] == [
        (None, run.name, None, "FINISHED") for run in here
    ]
    assert [(run.config, run.summary, run.before, run.after, run.fingerprints) for run in away] == [
        (run.config, run.summary, run.before, run.after, run.fingerprints) for run in here
    ]
    local = build_report(here, title="t", sources=[])
    remote = build_report(away, title="t", sources=[])
    # folders are gone; these runs were logged without their ids in run.json
    elsewhere = {"runs": tuple(run.model_copy(update={"folder": None}) for run in local.runs), "links": remote.links}
    assert remote.model_copy(update={"created": local.created}) == local.model_copy(update=elsewhere)
    assert [link.name for link in remote.links][-1] == "MLflow: runs side by side"
    assert all(run.mlflow is not None and run.mlflow.run_id in remote.links[-1].address for run in away)
    assert any(c.axis == "flops" for c in remote.curves)


def test_only_what_a_report_shows_is_asked_for() -> None:
    assert is_read("development/single_shot/accuracy")
    assert is_read("seconds/update")
    assert is_read("budget/flops")
    assert not is_read("train/loss")
    assert not is_read("step_seconds/update")


def test_of_a_step_that_was_done_twice_the_newer_value_counts(store: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    run = sent(store, path)
    line = {"step": 2, "time": 4e9, "draft/entropy": 0.125}  # resumed: later than everything in the file
    run.log_points([line])
    shutil.rmtree(path)
    (away,) = found(store, tmp_path)
    assert [one["draft/entropy"] for one in away.metrics if "draft/entropy" in one] == [1.0, 0.125, 1 / 3, 0.25]


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("config.yaml", "its folder is not here, and MLflow has no artifact config.yaml"),
        ("summary.json", "its folder is not here, and MLflow has no artifact summary.json"),
        ("evaluations", "its folder is not here, and MLflow has no artifact evaluations"),
    ],
)
def test_what_mlflow_lacks_excludes_the_run(store: str, tmp_path: Path, gone: str, words: str) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    run = sent(store, path)
    shutil.rmtree(path)
    root = Path(run.client.get_run(run.run_id).info.artifact_uri.removeprefix("file://"))
    shutil.rmtree(root / gone) if gone == "evaluations" else (root / gone).unlink()
    (away,) = found(store, tmp_path)
    assert away.problem is not None
    assert words in away.problem


def test_a_problem_names_the_server_without_its_password(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    sent(store, path, artifacts=False)
    shutil.rmtree(path)
    client = mlflow_client(store)
    monkeypatch.setattr("igrpo.report.mlflow_query.mlflow_client", lambda uri: client)
    (away,) = runs_from_mlflow("http://ann:s3cret@host", EXPERIMENT, f"tags.test = '{tmp_path}'")
    assert away.problem is not None
    assert "http://host, run " in away.problem
    here = find_runs([write_run(tmp_path / "here", seed=1, after=[1.0, 0.5])])
    assert "s3cret" not in build_report([away, *here], title="t", sources=[]).model_dump_json()


def test_a_run_that_has_not_ended_is_excluded(store: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    sent(store, path).terminate("FAILED")
    shutil.rmtree(path)
    (away,) = found(store, tmp_path)
    assert (away.problem, away.status) == ("its status in MLflow is FAILED", "FAILED")


def test_a_folder_of_another_run_is_not_taken_for_this_one(store: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", seed=1, after=[1.0])
    sent(store, path)
    change_json(path / "run.json", mlflow_run_id="another")
    (away,) = found(store, tmp_path)
    assert (away.path, away.seed) == (None, 1)


def test_without_a_name_all_experiments_are_searched(store: str, tmp_path: Path) -> None:
    sent(store, write_run(tmp_path / "one", after=[1.0]))
    other = write_run(tmp_path / "two", seed=1, after=[1.0])
    tags = {"igrpo.run_directory": str(other), "test": str(tmp_path)}
    run = open_run(RunTarget(store, "another", "two", tags=tags))
    RunDirectory(other).attach_mlflow(store, run.experiment_id, run.run_id)
    query = f"tags.test = '{tmp_path}'"
    assert len(runs_from_mlflow(store, EXPERIMENT, query)) == 1
    assert [run.path for run in runs_from_mlflow(store, None, query)] == [tmp_path / "one", tmp_path / "two"]


def test_wrong_addresses_names_and_filters(store: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no database .*gone\.db"):
        runs_from_mlflow(f"sqlite:///{tmp_path}/gone.db", EXPERIMENT, "")
    assert not (tmp_path / "gone.db").exists()
    with pytest.raises(ValueError, match="nothing answers there"):
        runs_from_mlflow("http://127.0.0.1:9", EXPERIMENT, "")
    with pytest.raises(ValueError, match=f"--experiment nosuch: .*{EXPERIMENT}"):
        runs_from_mlflow(store, "nosuch", "")
    with pytest.raises(ValueError, match="--mlflow 'seed is 3': MLflow says: "):
        runs_from_mlflow(store, EXPERIMENT, "seed is 3")
    with pytest.raises(ValueError, match=f"experiment '{EXPERIMENT}'; 1 others"):
        runs_from_mlflow(store, EXPERIMENT, "tags.algorithm = 'none'")


def test_a_broken_folder_is_read_as_one(store: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", after=[1.0])
    sent(store, path)
    (path / "run.json").write_text(json.dumps({"schema_version": 99}))
    (run,) = found(store, tmp_path)
    assert run.path == path
    assert run.problem is not None
    assert "schema version 99" in run.problem


def test_a_run_that_is_found_both_ways_counts_once(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        sent(store, write_run(tmp_path / "sweep" / str(seed), seed=seed, after=[1.0, 0.5]))
    shutil.rmtree(tmp_path / "sweep" / "1")
    query = f"tags.test = '{tmp_path / 'sweep'}'"
    assert main(["report", "sweep", "--mlflow", query, "--uri", store, "--experiment", EXPERIMENT]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(run["name"], run["seed"], run["excluded"]) for run in report["runs"]] == [("0", 0, None), ("1", 1, None)]
    assert report["sources"] == ["sweep", f"MLflow: {query}"]
