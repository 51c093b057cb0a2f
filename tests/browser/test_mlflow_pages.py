"""The two links of a sweep, opened in a real MLflow with a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from igrpo.runs.links import compare_link
from igrpo.runs.mlflow_client import mlflow_client
from igrpo.sweeps.compare_view import CHARTS, store_compare_view
from tests.browser import mlflow_pages
from tests.browser.small_sweep import ALGORITHMS, EVALUATED, SEEDS, STEPS, SmallSweep, log_small_sweep, value
from tests.browser.watch import watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def sweep(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> SmallSweep:
    """The second sweep of an experiment: what belongs to the first must not show."""
    log_small_sweep(mlflow_server, tmp_path_factory.mktemp("earlier"), "browser")
    return log_small_sweep(mlflow_server, tmp_path_factory.mktemp("sweep"), "browser")


def test_grouped_runs_page(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    client = mlflow_client(mlflow_server)
    link = store_compare_view(client, mlflow_server, sweep.experiment_id, sweep.parent_run_id)
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


def test_grouping_by_a_parameter(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    link = store_compare_view(
        mlflow_client(mlflow_server),
        mlflow_server,
        sweep.experiment_id,
        sweep.parent_run_id,
        group_by="seed",
        group_by_kind="param",
        metrics=["train/entropy"],
    )
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    mlflow_pages.open_grouped_runs(page, link, ["train/entropy"])
    page.screenshot(path=screenshots / "mlflow-grouped-by-seed.png")
    assert mlflow_pages.listed_runs(page) == {str(seed): [f"grpo-seed{seed}", f"igrpo-seed{seed}"] for seed in SEEDS}
    # the mean of the two algorithms, which are 0.2 apart: 0.1 above grpo
    line = mlflow_pages.chart_lines(page, "train/entropy")["2"]
    assert line.mean == pytest.approx([value("train/entropy", "grpo", 2, step) + 0.1 for step in STEPS])
    page.close()


def test_comparison_page(browser: Browser, mlflow_server: str, sweep: SmallSweep, screenshots: Path) -> None:
    runs = list(sweep.children.values())
    page = browser.new_page(viewport=mlflow_pages.VIEWPORT)
    seen = watch(page)
    mlflow_pages.open_comparison(page, compare_link(mlflow_server, [sweep.experiment_id], runs))
    # the address cannot choose metrics: entropy is there by itself or not, as MLflow happens to order them
    wanted = ["train/entropy", "development/single_shot/accuracy"]
    for metric in wanted:
        if metric not in mlflow_pages.plotted_axes(page):
            mlflow_pages.plot_metric_too(page, metric)
    page.screenshot(path=screenshots / "mlflow-compare-runs.png")

    assert sorted(mlflow_pages.compared_runs(page)) == sorted(runs)
    axes = mlflow_pages.plotted_axes(page)
    names = list(sweep.children)
    assert axes["algorithm.name"] == [name.partition("-")[0] for name in names]
    for metric in wanted:
        last = [value(metric, algorithm, seed, STEPS[-1]) for algorithm in ALGORITHMS for seed in SEEDS]
        assert axes[metric] == pytest.approx(last)
    assert mlflow_pages.errors(seen, mlflow_server) == []
    page.close()
