"""`igrpo publish`: what is in a bundle and what is not, and that `igrpo report` makes the same of it as of the runs."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from igrpo.cli.main import main
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import CellRecord, SweepDirectory
from igrpo.tools.publish import _adapters_suffice
from tests.report.run_dirs import change_json, write_run
from tests.trained_runs import LORA, trained_run

PASSWORD, KEY, HOST = "pa55-w0rd-of-ann", "key-0123456789", "box-of-ann"
RIGHT = {"grpo": [0.75, 1.0, 0.25], "igrpo": [0.5, 0.75, 0.5]}


def rollout(question: str) -> dict[str, Any]:
    """Samples of a question: a wrong draft and its right refinement."""
    samples = [
        {"id": [1, 0], "role": "draft", "context": [], "text": "5", "score": {"correct": False, "value": 0.0}},
        {
            "id": [1, 1],
            "role": "refinement",
            "context": [[1, 0]],
            "text": "7",
            "score": {"correct": True, "value": 1.0},
        },
    ]
    return {"step": 1, "question": {"id": question, "problem": "3 + 4", "answer": "7"}, "samples": samples}


def make_sweep(folder: Path) -> Path:
    """A sweep of two conditions and two seeds, with secrets and paths wherever a real one may have them."""
    project = folder / "user-ann" / "project-of-ann"
    sweep = project / "multirun" / "sweep-of-ann"
    uri = f"http://ann:{PASSWORD}@mlflow.example.org"
    cells = []
    for number, (name, seed) in enumerate([(name, seed) for name in RIGHT for seed in (0, 1)]):
        changes = {
            "tracking.uri": uri,
            "condition": name,
            "reward.arguments": {"api_key": KEY, "folder": str(project / "rules"), "other": "/srv/of-ann/rules/x.json"},
        }
        run = write_run(
            sweep / f"00{number}-{name}_s{seed}",
            f"algorithm={name}", "reward=python", "reward.target=mine:reward",
            seed=seed, after=[one if seed else one / 2 for one in RIGHT[name]], samples=8, changes=changes,
        )  # fmt: skip
        command = [str(project / "venv/bin/igrpo"), "train", f"reward.arguments.api_key={KEY}", f"tracking.uri={uri}"]
        change_json(
            run / "run.json", host=HOST, pid=918273, command=command, mlflow_tracking_uri=uri, mlflow_run_id="r-of-ann"
        )
        rollouts = run / "rollouts" / "steps-000001-000020.jsonl.gz"
        rollouts.write_bytes(gzip.compress(json.dumps(rollout(run.name)).encode() + b"\n"))
        (run / "decontamination.json").write_text('{"method": "exact", "checked": 9}')
        (run / "checkpoints" / "step-000004.ckpt").write_bytes(b"c")
        (run / "log.txt").write_text(f"MLflow at {uri}")
        overrides = (f"condition={name}", rf"tracking.uri=http\://ann\:{PASSWORD}@mlflow.example.org")
        cells.append(CellRecord(number=number, folder=run.name, swept={"seed": str(seed)}, overrides=overrides))
    record = SweepDirectory(sweep).begin(
        "my grid", [f"tracking.uri={uri}", f"data.path={project}/data.jsonl"], cells,
        swept_keys=["seed"], is_search=False, tracking_uri=uri, experiment="e",
    )  # fmt: skip
    (sweep / "search.json").write_text(json.dumps({"best": {"model.name_or_path": str(project / "models" / "m")}}))
    SweepDirectory(sweep).write(record.model_copy(update={"working_directory": str(project)}))
    return sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def bundle(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert main(["publish", str(sweep), "--out", str(out)]) == 0
    (made,) = out.iterdir()
    return made


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IGRPO_CACHE_DIR", str(tmp_path / "cache"))


def contents(bundle: Path) -> dict[str, bytes]:
    """All files of a bundle, decompressed."""
    with tarfile.open(bundle) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    return {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in found.items()}


def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the bundle's report out, which takes the most time."""
    monkeypatch.setattr("igrpo.tools.publish._write_report", lambda *_: [])


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.report.figures.draw_figures", lambda _: [])


@pytest.mark.usefixtures("no_figures")
def test_its_report_is_that_of_the_runs(sweep: Path, bundle: Path, tmp_path: Path) -> None:
    assert main(["report", str(bundle), "--out", "of-bundle"]) == 0
    shutil.copytree(sweep, tmp_path / "original")
    assert main(["report", "original", "--out", "of-sweep"]) == 0
    tables = [(tmp_path / out / "tables.md").read_text().splitlines()[3:] for out in ("of-bundle", "of-sweep")]
    assert len(tables[0]) > 20
    assert tables[0] == tables[1]
    reports = [json.loads((tmp_path / out / "report.json").read_text()) for out in ("of-bundle", "of-sweep")]
    reports.append(json.loads(contents(bundle)["report/report.json"]))
    for report in reports:
        for name in ("created", "sources", "links"):
            del report[name]
    folders = [[run.pop("folder") for run in report["runs"]] for report in reports]
    assert folders[1][0] == "../original/000-grpo_s0"
    assert folders[2][0] == "../my-grid/000-grpo_s0"
    assert {example["question_id"] for example in reports[1]["examples"]} >= {"002-igrpo_s0", "003-igrpo_s1"}
    assert reports[0] == reports[1] == reports[2]


@pytest.mark.usefixtures("no_figures")
def test_without_rollouts_its_report_has_no_examples(sweep: Path, tmp_path: Path) -> None:
    assert main(["publish", str(sweep), "--no-rollouts", "--out", "b"]) == 0
    files = contents(tmp_path / "b")
    assert json.loads(files["report/report.json"])["examples"] == []
    assert not [name for name in files if "rollouts" in name]
    assert len(list(sweep.glob("*/rollouts/*.gz"))) == 4


def test_sweeps_of_any_name_have_folders_of_their_own(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    names = ["a", "a-3", "a", "a", "A", "report", "runs", "bundle.json"]
    for number, name in enumerate(names):
        folder = tmp_path / "all" / f"sweep-{number}"
        shutil.copytree(sweep / "000-grpo_s0", folder / "run")
        SweepDirectory(folder).begin(
            name, [], [CellRecord(number=0, folder="run", swept={}, overrides=())],
            swept_keys=[], is_search=False, tracking_uri=None, experiment="e",
        )  # fmt: skip
    shutil.copytree(sweep / "001-grpo_s1", tmp_path / "all" / "alone")
    assert main(["publish", "all", "--out", "b"]) == 0
    expected = ["a", "a-3", "a-2", "a-4", "A-5", "report-2", "runs-2", "bundle.json-2"]
    runs = json.loads(contents(tmp_path / "b")["bundle.json"])["runs"]
    assert set(runs) == {*(f"{name}/run" for name in expected), "runs/alone"}


def test_what_is_in_it(bundle: Path) -> None:
    assert bundle.name == "my-grid-2027-01-15.igrpo.tar.gz"
    files = contents(bundle)
    run = {
        "config.yaml", "run.json", "summary.json", "metrics.jsonl", "fingerprints.json", "decontamination.json",
        "evaluations/test-000000.json", "evaluations/test-000004.json", "rollouts/steps-000001-000020.jsonl.gz",
    }  # fmt: skip
    runs = [f"00{number}-{name}_s{number % 2}" for number, name in enumerate(("grpo", "grpo", "igrpo", "igrpo"))]
    expected = {
        "bundle.json",
        "my-grid/sweep.json",
        "my-grid/search.json",
        *(f"my-grid/{one}/{name}" for one in runs for name in run),
    }
    assert {name for name in files if not name.startswith("report/")} == expected
    assert {"report/report.html", "report/tables.md", "report/tables.tex"} <= files.keys()
    manifest = json.loads(files["bundle.json"])
    assert manifest["runs"] == {f"my-grid/{one}": "FINISHED" for one in runs}
    assert manifest["left_out"] == ["checkpoints", "log.txt"]
    assert manifest["files"].keys() == files.keys() - {"bundle.json"}
    assert b"003-igrpo_s1" in files["my-grid/003-igrpo_s1/rollouts/steps-000001-000020.jsonl.gz"]
    settings = yaml.safe_load(files["my-grid/002-igrpo_s0/config.yaml"])
    assert settings["reward"]["arguments"] == {"api_key": "***", "folder": "rules", "other": "<folder-1>/x.json"}
    assert settings["tracking"]["uri"] is None
    assert json.loads(files["my-grid/sweep.json"])["overrides"] == ["data.path=data.jsonl"]
    assert json.loads(files["my-grid/search.json"]) == {"best": {"model.name_or_path": "models/m"}}


def test_no_secret_and_no_name_of_the_machine_is_in_it(sweep: Path, bundle: Path, tmp_path: Path) -> None:
    words = [
        PASSWORD,
        KEY,
        HOST,
        "of-ann",
        "user-ann",
        "918273",
        "mlflow.example",
        str(tmp_path),
        str(sweep),
        str(bundle.parent),
    ]
    for name, data in contents(bundle).items():
        assert not [word for word in words if word.encode() in data], name


def test_the_machine_can_be_kept_but_no_secret(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_report(monkeypatch)
    assert main(["publish", str(sweep / "002-igrpo_s0"), "--with-machine", "--no-rollouts", "--out", "b"]) == 0
    files = contents(tmp_path / "b")
    record = json.loads(files["my-grid/002-igrpo_s0/run.json"])
    assert (record["host"], record["pid"]) == (HOST, 918273)
    assert record["mlflow_tracking_uri"] == "http://mlflow.example.org"
    assert record["command"][1:] == ["train", "reward.arguments.api_key=***"]
    settings = yaml.safe_load(files["my-grid/002-igrpo_s0/config.yaml"])
    assert settings["tracking"]["uri"] == "http://mlflow.example.org"
    assert settings["reward"]["arguments"]["folder"] == str(sweep.parents[1] / "rules")
    assert not [name for name in files if "rollouts" in name]
    assert "rollouts" in json.loads(files["bundle.json"])["left_out"]
    assert not [word for word in (PASSWORD, KEY) for data in files.values() if word.encode() in data]


def test_the_same_runs_give_the_same_bytes(
    sweep: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "elsewhere" / "multirun" / "other-name"
    shutil.copytree(sweep, again)  # other times of files, another place
    assert main(["publish", str(again)]) == 0
    made = tmp_path / bundle.name
    assert made.read_bytes() == bundle.read_bytes()
    printed = capsys.readouterr().out
    assert str(made) in printed
    assert "4 runs" in printed
    assert f"igrpo report {bundle.name}" in printed
    assert main(["publish", str(again)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_unfinished_runs(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs-here"
    for name in ("001-grpo_s1", "003-igrpo_s1"):
        shutil.copytree(sweep / name, runs / name)
    RunDirectory(runs / "003-igrpo_s1").begin(["igrpo", "train"])
    assert main(["publish", "runs-here"]) == 2
    error = capsys.readouterr().err
    assert "1 of 2 runs did not finish (003-igrpo_s1)" in error
    assert "--unfinished" in error
    assert not list(tmp_path.glob("*.gz"))

    without_report(monkeypatch)
    assert main(["publish", "runs-here", "--unfinished", "--out", "b"]) == 0
    assert "003-igrpo_s1 is in the bundle, but not in its report: still running" in capsys.readouterr().err
    files = contents(tmp_path / "b")
    record = json.loads(files["runs/003-igrpo_s1/run.json"])
    assert (record["status"], record["host"]) == ("KILLED", "")  # no reader can see its process
    assert json.loads(files["bundle.json"])["runs"] == {
        "runs/001-grpo_s1": "FINISHED",
        "runs/003-igrpo_s1": "KILLED",
    }
    assert main(["report", "b", "--out", "r"]) == 0
    entries = json.loads((tmp_path / "r" / "report.json").read_text())["runs"]
    assert [entry["excluded"] is None for entry in entries] == [True, False]


def test_a_bundle_without_a_report_says_why(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(sweep / "001-grpo_s1", tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    assert main(["publish", "run"]) == 0
    error = capsys.readouterr().err
    assert "no report is in the bundle" in error
    assert str(tmp_path / ".") not in error.split("no report")[1]
    assert not [name for name in contents(tmp_path / "run.igrpo.tar.gz") if name.startswith("report/")]


def test_weights_are_exported_and_not_read_by_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # the folder of trained runs is in the cache of the session
    monkeypatch.chdir(tmp_path)
    run = trained_run(*LORA)  # of a model that others do not have: its adapters alone would be no use
    without_report(monkeypatch)
    assert main(["publish", str(run), "--weights", "best", "--out", "b"]) == 0
    files = contents(tmp_path / "b")
    assert f"runs/{run.name}/weights/model.safetensors" in files
    assert f"runs/{run.name}/weights/igrpo.json" in files
    assert not [name for name in files if name.endswith(".ckpt")]
    assert not [name for name, data in files.items() if str(run.parent).encode() in data]

    from igrpo.report.bundles import resolve_sources

    (folder,) = resolve_sources([tmp_path / "b"])
    assert (folder / "runs" / run.name / "summary.json").is_file()
    assert not (folder / "runs" / run.name / "weights").exists()


def test_adapters_alone_are_enough_where_others_have_the_model(tmp_path: Path) -> None:
    def config(rank: int, **model: str) -> dict[str, Any]:
        return {"model": model, "lora": {"rank": rank}}

    assert _adapters_suffice(config(8, name_or_path="Qwen/Qwen3-0.6B"))
    assert not _adapters_suffice(config(0, name_or_path="Qwen/Qwen3-0.6B"))
    assert not _adapters_suffice(config(8, name_or_path=str(tmp_path)))
    assert not _adapters_suffice(config(8, name="tiny"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give run or sweep directories"),
        (["gone"], "gone: there is no such folder"),
        (["empty"], "empty: no run in it"),
        (["SWEEP", "--weights", "last"], "checkpoint"),
        (["SWEEP", "--weights", "worst"], "--weights: invalid choice"),
        (["SWEEP", "--out", "file/b"], "--out"),
        (["SWEEP", "--unfinish"], "did you mean '--unfinished'?"),
    ],
)
def test_mistakes(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert main(["publish", *(str(sweep) if text == "SWEEP" else text for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("igrpo: ")
    assert message in error
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {"empty", "file"}  # nothing is left behind


def test_a_damaged_bundle_is_one_clear_error(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "half").write_bytes(bundle.read_bytes()[:20000])
    assert main(["report", "half"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("igrpo: half is no bundle of `igrpo publish`, or is damaged")
    assert error.count("\n") == 1


def test_a_secret_in_what_is_copied_stops_it(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(sweep / "001-grpo_s1", tmp_path / "run")
    (tmp_path / "run" / "prompts.txt").write_text(f"Say {KEY}.")
    assert main(["publish", "run"]) == 2
    assert "runs/run/prompts.txt holds a password or key" in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_bundles_and_folders_are_read_together(bundle: Path, sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "more")
    for seed, folder in ((2, "000-grpo_s0"), (3, "001-grpo_s1"), (2, "002-igrpo_s0"), (3, "003-igrpo_s1")):
        path = tmp_path / "more" / folder / "config.yaml"
        values: dict[str, Any] = yaml.safe_load(path.read_text())
        values["seed"] = values["model"]["warm_start"]["seed"] = seed
        values["reward"]["arguments"] = {"api_key": "***", "folder": "rules", "other": "<folder-1>/x.json"}
        path.write_text(yaml.safe_dump(values))
    assert main(["report", str(bundle), "more", "--out", "r"]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["sources"] == [str(bundle), "more"]
    assert [condition["seeds"] for condition in report["conditions"]] == [[0, 1, 2, 3], [0, 1, 2, 3]]
