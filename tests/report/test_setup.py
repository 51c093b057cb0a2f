"""What a report says was compared, and where it comes from: the set-up, the sweep's question, MLflow's pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.report.model import Report, SetupRow
from igrpo.report.page import html
from tests.begun import begun_sweep
from tests.report.run_dirs import GRPO, IGRPO, change_json, report_of, write_condition, write_run


def rows(report: Report) -> dict[str, SetupRow]:
    return {row.name: row for row in report.setup}


def two(folder: Path) -> None:
    write_condition(folder, "grpo", GRPO, "algorithm=grpo")
    write_condition(folder, "igrpo", IGRPO, changes={"trainer.learning_rate": 1e-4})


def test_what_is_shared_and_what_differs(tmp_path: Path) -> None:
    two(tmp_path)
    for run in tmp_path.iterdir():
        change_json(
            run / "summary.json",
            parameters=337152,
            hardware="2 x H",
            versions={"igrpo": "1", "torch": "2"},
            commit="ab" * 20 + "-dirty",
        )
    found = rows(report_of(tmp_path))
    assert found["learning rate"] == SetupRow(name="learning rate", value="0.0003 (grpo); 0.0001 (igrpo)", differs=True)
    assert [name for name, row in found.items() if row.differs] == ["completions", "trained on", "learning rate"]
    assert found["completions"].value == "8 answers (grpo); 8 = 4 drafts + 4 refinements (igrpo)"
    assert found["trained on"].value.endswith(" (igrpo)")
    said = {name: row.value for name, row in found.items()}
    assert said["model"] == "tiny, 337,152 parameters"
    assert said["data"].startswith("chains")
    assert said["tested on"] == "4 questions × 4 samples at temperature 1.0"
    assert said["reward"] == "math_verify, answer: boxed"
    assert said["budget"] == "4 steps × 16 questions × 8 completions = 512 samples"
    assert said["hardware"] == "2 x H"
    assert said["versions"] == "igrpo 1, torch 2"
    assert said["commit"] == "abababababab with uncommitted changes"
    assert len(said["fingerprint of questions"]) == 12


def test_settings_of_another_version_have_no_plan(tmp_path: Path) -> None:
    write_run(tmp_path / "run", after=[0.5, 1.0])
    assert "completions" in rows(report_of(tmp_path))
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("  epochs: 1", "  epochs: 1\n  gone: 1"))
    found = rows(report_of(tmp_path))
    assert "completions" not in found
    assert "budget" in found


def test_what_differs_by_seed_is_no_difference_between_conditions(tmp_path: Path) -> None:
    for name, algorithm in (("a", "grpo"), ("b", "igrpo")):
        for seed in (0, 1):
            run = write_run(tmp_path / f"{name}{seed}", f"algorithm={algorithm}", seed=seed, after=GRPO[seed])
            change_json(run / "summary.json", hardware=f"machine {seed}")
    assert rows(report_of(tmp_path))["hardware"] == SetupRow(
        name="hardware", value="machine 0 (seed 0); machine 1 (seed 1)", differs=False
    )
    change_json(tmp_path / "b1" / "summary.json", hardware="another")
    assert rows(report_of(tmp_path))["hardware"].differs


def test_the_title_is_the_question_of_the_sweep(tmp_path: Path) -> None:
    two(tmp_path)
    assert report_of(tmp_path, title=None).title == "igrpo against grpo"
    begun_sweep(tmp_path, name="sweep")
    assert report_of(tmp_path, title=None).title == "igrpo against grpo"
    begun_sweep(tmp_path, name="quick/grpo_vs_igrpo")  # as an older igrpo wrote it, without its question
    assert report_of(tmp_path, title=None).title.startswith("Does self-feedback beat plain GRPO")
    change_json(tmp_path / "sweep.json", question="What of it?")
    assert report_of(tmp_path, title=None).title == "What of it?"
    assert report_of(tmp_path, title="mine").title == "mine"


@pytest.mark.parametrize(
    ("uri", "address", "command"),
    [
        ("sqlite:////tmp/a.db", "http://127.0.0.1:5000/#/", "ui --backend-store-uri sqlite:////tmp/a.db --port 5000"),
        ("http://me:secret@host:8080", "http://host:8080/#/", None),
    ],
)
def test_links_to_mlflow(tmp_path: Path, uri: str, address: str, command: str | None) -> None:
    two(tmp_path)
    for number, run in enumerate(sorted(tmp_path.iterdir())):
        change_json(run / "run.json", mlflow_run_id=f"r{number}", mlflow_experiment_id="7", mlflow_tracking_uri=uri)
    begun_sweep(tmp_path).attach_mlflow("7", "parent")
    report = report_of(tmp_path)
    links = {link.name: link.address for link in report.links}
    assert links["MLflow: the sweep"].startswith(f"{address}experiments/7/runs/parent")
    assert links["MLflow: runs side by side"].startswith(f"{address}compare-runs?runs=%5B%22r0%22%2C%22r1%22")
    assert (command is None) == ("MLflow starts with" not in links)
    assert links.get("MLflow starts with", "").endswith(command or "")
    source = html(report, [])
    assert f'href="{address}experiments/7' in source
    assert "secret" not in source + report.model_dump_json()
    change_json(tmp_path / "grpo-0" / "run.json", mlflow_tracking_uri="http://elsewhere")
    assert report_of(tmp_path).links == ()
