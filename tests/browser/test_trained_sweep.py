"""A small sweep that was really trained: the links that it prints open what they promise, and so does its report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from igrpo.runs.links import run_link
from igrpo.sweeps.compare_view import CHARTS
from tests.browser import mlflow_pages
from tests.browser.watch import watch
from tests.end_to_end.runs import metrics, run
from tests.end_to_end.sweeps import folders, in_mlflow, sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def trained(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the sweep, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    grid = (
        "condition=grpo,igrpo",
        f"seed={','.join(map(str, SEEDS))}",
        "trainer.steps=4",
        f"tracking.uri={mlflow_server}",
    )
    return folder, run(sweep(folder, *grid), folder)


def link(printed: str, name: str) -> str:
    """The address behind a name in the sweep's last lines."""
    found = re.search(rf"{name} +(http\S+)", printed)
    assert found is not None, printed
    return found[1]


def test_curves_by_group(browser: Browser, mlflow_server: str, trained: tuple[Path, str], screenshots: Path) -> None:
    folder, printed = trained
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    seen = watch(page)
    mlflow_pages.open_grouped_runs(page, link(printed, "curves by group"), CHARTS)
    page.screenshot(path=screenshots / "mlflow-trained-grouped.png")
    assert mlflow_pages.listed_runs(page) == {name: [f"{name} s{seed}" for seed in SEEDS] for name in ("grpo", "igrpo")}
    entropy = {
        path.name.partition("-")[2]: [line["train/entropy"] for line in metrics(path) if "train/entropy" in line]
        for path in folders(folder)
    }
    drawn = mlflow_pages.chart_lines(page, "train/entropy")
    for name in ("grpo", "igrpo"):
        both = [entropy[f"{name}_s{seed}"] for seed in SEEDS]
        assert drawn[name].steps == [1, 2, 3, 4]
        assert drawn[name].mean == pytest.approx([sum(values) / 2 for values in zip(*both, strict=True)], rel=1e-3)
    assert mlflow_pages.chart_lines(page, "development/single_shot/accuracy").keys() == {"grpo", "igrpo"}
    assert mlflow_pages.errors(seen, mlflow_server) == []
    page.close()


def test_table_of_runs(browser: Browser, mlflow_server: str, trained: tuple[Path, str], screenshots: Path) -> None:
    _, printed = trained
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    seen = watch(page)
    mlflow_pages.open_table(page, link(printed, "table of runs"))
    page.screenshot(path=screenshots / "mlflow-trained-table.png")
    assert mlflow_pages.columns(page)[:3] == ["condition", "seed", "test/single_shot/accuracy"]
    assert mlflow_pages.group_sizes(page) == {"grpo": len(SEEDS), "igrpo": len(SEEDS)}
    assert mlflow_pages.errors(seen, mlflow_server) == []
    page.close()


def test_page_of_a_run(browser: Browser, mlflow_server: str, trained: tuple[Path, str], screenshots: Path) -> None:
    folder, _ = trained
    _, cells = in_mlflow(folder)
    run = cells[-1].info
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    page.goto(run_link(mlflow_server, run.experiment_id, run.run_id))
    for text in ("iGRPO on tiny, chains, 4 steps", "accuracy on the test split", "chains ("):
        page.get_by_text(text).first.wait_for(timeout=mlflow_pages.DEADLINE_MS)
    page.screenshot(path=screenshots / "mlflow-trained-run.png", full_page=True)
    page.close()


def test_its_report(browser: Browser, trained: tuple[Path, str], screenshots: Path) -> None:
    folder, _ = trained
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    seen = watch(page)
    page.goto((folder / "sweep" / "report" / "report.html").as_uri())
    page.screenshot(path=screenshots / "report-trained.png", full_page=True)
    assert page.locator("figure svg").count() >= 10
    assert "2 seeds" in page.locator("body").inner_text(), "it says that two are too few"
    assert seen.console + seen.thrown == []
    page.close()
