"""View of a sweep in the MLflow UI: its runs in groups, with charts of each group's mean and range.

The UI stores a shared view as JSON in a tag of the experiment, and opens it by its key. MLflow ignores unknown fields
of this JSON, and uses defaults for missing fields. Verified with MLflow 3.17 in a browser, by tests/browser.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from igrpo.runs.links import grouped_runs_link

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Metrics for a comparison of algorithms, in the order of the charts.
CHARTS = (
    "development/single_shot/accuracy",
    "development/draft_conditioned/accuracy",
    "train/entropy",
    "train/reward",
)
_TAG_PREFIX = "mlflow.sharedViewState."
_SECTION = "igrpo"


def store_compare_view(
    client: MlflowClient,
    base: str,
    experiment_id: str,
    parent_run_id: str,
    *,
    group_by: str = "algorithm",
    group_by_kind: Literal["tag", "param"] = "tag",
    metrics: Sequence[str] = CHARTS,
) -> str:
    """Store the view of a sweep in its experiment and return the link that opens it. Blocks.

    An existing view is replaced. Metrics that are not in ``metrics`` get MLflow's own charts, further below.

    Args:
        client: MLflow's client.
        base: the UI's address, such as http://127.0.0.1:5000.
        experiment_id: the experiment of the sweep.
        parent_run_id: the sweep's run, whose children are shown.
        group_by: tag or parameter by whose values runs are grouped.
        group_by_kind: whether ``group_by`` is a tag or a parameter.
        metrics: metrics of the first charts, plotted over the step.

    Raises:
        OSError, mlflow.exceptions.MlflowException: MLflow cannot be reached or refuses the request.
    """
    state = compare_view(parent_run_id, group_by=group_by, group_by_kind=group_by_kind, metrics=metrics)
    tag = _TAG_PREFIX + _view_key(parent_run_id, group_by, group_by_kind)
    client.set_experiment_tag(experiment_id, tag, json.dumps(state, separators=(",", ":")))
    return compare_view_link(base, experiment_id, parent_run_id, group_by=group_by, group_by_kind=group_by_kind)


def compare_view_link(
    base: str,
    experiment_id: str,
    parent_run_id: str,
    *,
    group_by: str = "algorithm",
    group_by_kind: Literal["tag", "param"] = "tag",
) -> str:
    """Return the link that opens the stored view of a sweep; see ``store_compare_view``."""
    return grouped_runs_link(base, experiment_id, _view_key(parent_run_id, group_by, group_by_kind))


def _view_key(parent_run_id: str, group_by: str, group_by_kind: str) -> str:
    return f"igrpo-{parent_run_id}-{group_by_kind}-{group_by}"


def compare_view(
    parent_run_id: str,
    *,
    group_by: str = "algorithm",
    group_by_kind: Literal["tag", "param"] = "tag",
    metrics: Sequence[str] = CHARTS,
) -> dict[str, Any]:
    """Return the state of the UI's runs page; see ``store_compare_view``."""
    return {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent_run_id}'",
        # Not sorted by date: MLflow would then also show the sweep's own run, without a group.
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": True,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": group_by_kind, "groupByData": group_by}],
        },
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        # Mark the order as the user's, else MLflow sorts this section among its own.
        "isAccordionReordered": True,
        "compareRunSections": [
            {
                "uuid": _SECTION,
                "name": "Accuracy, entropy and reward",
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
                "columns": 2,
                "cardHeight": 300,
            }
        ],
        "compareRunCharts": [_line_chart(metric) for metric in metrics],
    }


def _line_chart(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": f"{_SECTION}/{metric}",
        "metricSectionId": _SECTION,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
    }
