"""View of a sweep in the MLflow UI: its runs in groups, the columns of their table, and charts of each group.

The UI stores a shared view as JSON in a tag of the experiment, and opens it by its key. It ignores unknown fields of
this JSON, and uses defaults for missing ones. Verified with MLflow 3.17 in a browser, by tests/browser.

The UI loads at most 100 runs at once, whatever the link says (and drops pinned runs, which it loads in addition, from
shared views); a click on "Load more" loads the next 100. A larger sweep is sorted by seed, so that the first 100 runs
have all conditions, and its groups are collapsed, so that this button is in sight.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igrpo.runs.links import view_link

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Number of runs that the UI loads at once.
PAGE = 100

#: Metrics of the first charts, in their order.
CHARTS = (
    "development/single_shot/accuracy",
    "development/draft_conditioned/accuracy",
    "train/entropy",
    "train/reward",
)
#: Metrics in the table, in their order.
COLUMNS = (
    "test/single_shot/accuracy",
    "test/draft_conditioned/accuracy",
    "development/single_shot/accuracy",
    "development/draft_conditioned/accuracy",
)
_TAG_PREFIX = "mlflow.sharedViewState."
_SECTION = "igrpo"
_METRIC_WIDTH = 200
#: Largest number of runs that are listed below their groups at first: about one screen.
_MAX_EXPANDED = 30


@dataclass(frozen=True, slots=True)
class CompareView:
    """A view of a sweep's runs.

    Attributes:
        name: its name in the UI's menu of views.
        parent_run_id: the sweep's run, whose children are shown.
        runs: number of its children.
        settings: parameters to show as the first columns.
        group_by: tag by whose values runs are grouped.
        groups: these values; if there are many runs, these groups are collapsed.
    """

    name: str
    parent_run_id: str
    runs: int
    settings: Sequence[str] = ("condition", "seed")
    group_by: str = "condition"
    groups: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Key of the view in its experiment."""
        return f"igrpo-{self.parent_run_id}-{self.group_by}"

    def link(self, base: str, experiment_id: str, *, charts: bool) -> str:
        """Return the link that opens the stored view. ``base`` is the UI's address, such as http://127.0.0.1:5000."""
        return view_link(base, experiment_id, self.key, charts=charts)

    def state(self) -> dict[str, Any]:
        """Return the state of the UI's runs page."""
        metrics = [f"metrics.`{name}`" for name in COLUMNS]
        columns = [*(f"params.`{name}`" for name in self.settings), *metrics]
        collapsed = self.groups if self.runs > _MAX_EXPANDED else ()
        return {
            "searchFilter": f"tags.`mlflow.parentRunId` = '{self.parent_run_id}'",
            # Not sorted by date: MLflow would then also show the sweep's own run, without a group.
            "orderByKey": "tags.`mlflow.runName`" if self.runs <= PAGE else "params.`seed`",
            "orderByAsc": True,
            "selectedColumns": columns,
            "columnOrder": columns,
            "columnWidths": dict.fromkeys(metrics, _METRIC_WIDTH),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "tag", "groupByData": self.group_by}],
            },
            "groupsExpanded": {f"tag.{self.group_by}.{value}": False for value in collapsed},
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
            "compareRunCharts": [_line_chart(metric) for metric in CHARTS],
        }


def store_compare_view(client: MlflowClient, experiment_id: str, view: CompareView) -> None:
    """Store the view in its experiment, replacing an earlier one. Blocks.

    Metrics without a chart in the view get MLflow's own charts, further below.

    Raises:
        OSError, mlflow.exceptions.MlflowException: MLflow cannot be reached or refuses the request.
    """
    state = view.state()
    # MLflow 3.17 lists the view under its name and reads ``state``; older versions read the other fields.
    packed = f"deflate;{base64.b64encode(zlib.compress(_compact(state).encode())).decode()}"
    named = {"name": view.name, "createdAt": int(time.time() * 1000), "state": packed} | state
    client.set_experiment_tag(experiment_id, _TAG_PREFIX + view.key, _compact(named))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


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
