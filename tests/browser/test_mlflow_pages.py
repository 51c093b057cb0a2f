"""The two links of a sweep, opened in a real MLflow with a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from igrpo.runs.links import run_link
from igrpo.runs.mlflow_client import mlflow_client
from igrpo.sweeps.compare_view import CHARTS, CompareView, store_compare_view
from tests.browser import mlflow_pages
from tests.browser.small_sweep import (
    ALGORITHMS,
    EVALUATED,
    MANY_CONDITIONS,
    MANY_SEEDS,
    SEEDS,
    STEPS,
    SmallSweep,
    log_many_runs,
    log_small_sweep,
    many_metrics,
    value,
)
from tests.browser.watch import watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def sweep(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> SmallSweep:
    """The second sweep of an experiment: what belongs to the first must not show."""
    log_small_sweep(mlflow_server, tmp_path_factory.mktemp("earlier"), "browser")
    return log_small_sweep(mlflow_server, tmp_path_factory.mktemp("sweep"), "browser")


def view(mlflow_server: str, sweep: SmallSweep, **fields: Any) -> CompareView:
    """The view of a sweep, stored."""
    fields = {"name": "small 10-00-00", "runs": len(sweep.children)} | fields
    made = CompareView(parent_run_id=sweep.parent_run_id, **fields)
    store_compare_view(mlflow_client(mlflow_server), sweep.experiment_id, made)
    return made


def test_grouped_runs_page(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    link = view(mlflow_server, sweep).link(mlflow_server, sweep.experiment_id, charts=True)
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    seen = watch(page)
    mlflow_pages.open_grouped_runs(page, link, CHARTS)
    page.screenshot(path=screenshots / "mlflow-grouped-runs.png")

    assert mlflow_pages.listed_runs(page) == {
        algorithm: [f"{algorithm}-seed{seed}" for seed in SEEDS] for algorithm in ALGORITHMS
    }
    for metric in CHARTS:
        lines = mlflow_pages.chart_lines(page, metric)
        assert set(lines) == set(ALGORITHMS), metric
        steps = list(EVALUATED if metric.startswith("development/") else STEPS)
        for algorithm, line in lines.items():
            assert line.steps == steps
            assert line.mean == pytest.approx([value(metric, algorithm, 1, step) for step in steps])
            assert line.low == pytest.approx([value(metric, algorithm, 0, step) for step in steps])
            assert line.high == pytest.approx([value(metric, algorithm, 2, step) for step in steps])
    assert mlflow_pages.errors(seen, mlflow_server) == []
    page.close()


def test_table_of_runs(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    stored = view(mlflow_server, sweep)
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    seen = watch(page)
    mlflow_pages.open_table(page, stored.link(mlflow_server, sweep.experiment_id, charts=False))
    page.screenshot(path=screenshots / "mlflow-table.png")
    assert mlflow_pages.columns(page)[:3] == ["condition", "seed", "development/single_shot/accuracy"]
    assert mlflow_pages.listed_runs(page).keys() == set(ALGORITHMS)
    assert page.get_by_role("button", name=stored.name).is_visible(), "the menu of views has it under its name"
    assert mlflow_pages.errors(seen, mlflow_server) == []
    page.close()


def test_page_of_a_run(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    link = run_link(mlflow_server, sweep.experiment_id, sweep.children["igrpo-seed2"])
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    page.goto(link.replace("?", "/model-metrics?"))
    assert mlflow_pages.sections(page)[:2] == ["accuracy", "alarm"]
    page.screenshot(path=screenshots / "mlflow-run-metrics.png")
    page.goto(link)
    metrics = page.get_by_role("link", name="accuracy").all_inner_texts
    page.get_by_text("Metrics (", exact=False).wait_for(timeout=mlflow_pages.DEADLINE_MS)
    page.screenshot(path=screenshots / "mlflow-run.png")
    assert metrics()[0] == "accuracy/development"
    page.close()


@pytest.fixture(scope="module")
def many(mlflow_server: str, mlflow_folder: Path) -> SmallSweep:
    """A sweep of more runs than MLflow's pages load at once."""
    return log_many_runs(f"sqlite:///{mlflow_folder / 'mlflow.db'}", "many")


def test_120_runs(browser: Browser, mlflow_server: str, many: SmallSweep, screenshots: Path) -> None:
    settings = ("condition", "learning_rate", "seed")
    stored = view(mlflow_server, many, name="many 10-00-00", settings=settings, groups=MANY_CONDITIONS)
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    mlflow_pages.open_table(page, stored.link(mlflow_server, many.experiment_id, charts=False))
    page.screenshot(path=screenshots / "mlflow-120-table.png")
    assert mlflow_pages.columns(page)[:5] == [
        *settings,
        *("test/single_shot/accuracy", "development/single_shot/accuracy"),
    ]
    assert mlflow_pages.group_sizes(page) == dict.fromkeys(MANY_CONDITIONS, 25)  # as many of each: 100 of 120
    mlflow_pages.load_more(page, 120)
    page.screenshot(path=screenshots / "mlflow-120-table-whole.png")
    assert mlflow_pages.group_sizes(page) == dict.fromkeys(MANY_CONDITIONS, 30)

    charts = CHARTS[:1]
    mlflow_pages.open_grouped_runs(page, stored.link(mlflow_server, many.experiment_id, charts=True), charts)
    mlflow_pages.load_more(page, 120)
    assert mlflow_pages.sections(page)[:2] == ["Accuracy, entropy and reward", "accuracy"]
    whole = [many_metrics("igrpo", seed)[charts[0]] for seed in MANY_SEEDS]

    def drawn() -> mlflow_pages.Line:
        return mlflow_pages.chart_lines(page, charts[0])["igrpo"]

    mlflow_pages.wait_until(page, lambda: drawn().high == pytest.approx([max(whole)] * 2))
    page.screenshot(path=screenshots / "mlflow-120-charts.png")
    assert drawn().mean == pytest.approx([sum(whole) / len(whole)] * 2)
    assert drawn().low == pytest.approx([min(whole)] * 2)
    page.close()
