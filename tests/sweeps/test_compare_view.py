"""What is stored for the MLflow UI, and that the link names it. What the UI makes of it: tests/browser."""

import base64
import json
import zlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from igrpo.sweeps.compare_view import COLUMNS, CompareView, store_compare_view

BASE = "http://127.0.0.1:5000"
#: What MLflow took as an experiment's tag before it took 20,000 characters.
LONGEST_TAG = 5000
VIEW = CompareView(name="grpo_vs_igrpo 12-00-00", parent_run_id="abc", runs=10)


class Client:
    """Keeps the experiment tags that it is given, in order."""

    def __init__(self) -> None:
        self.tags: dict[tuple[str, str], str] = {}

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        self.tags[experiment_id, key] = value


def stored(view: CompareView) -> tuple[str, dict[str, Any]]:
    """The tag that the view is stored in, and its content."""
    client = Client()
    store_compare_view(client, "3", view)  # type: ignore[arg-type]
    ((_, tag), text) = next(iter(client.tags.items()))
    return tag, json.loads(text)


def test_both_links_name_the_stored_view() -> None:
    tag, _ = stored(VIEW)
    for charts in (True, False):
        link = VIEW.link(BASE, "3", charts=charts)
        assert link.startswith(f"{BASE}/#/experiments/3/runs?")
        assert tag == f"mlflow.sharedViewState.{parse_qs(link.partition('?')[2])['viewStateShareKey'][0]}"


def test_old_and_new_versions_of_mlflow_find_the_same_state() -> None:
    _, content = stored(VIEW)
    assert content["name"] == VIEW.name
    assert content["createdAt"] > 1_700_000_000_000  # milliseconds
    kind, _, packed = content["state"].partition(";")
    assert kind == "deflate"
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert state == VIEW.state()
    assert state == {key: content[key] for key in state}


def test_views_of_other_sweeps_stay() -> None:
    tags = {stored(replace(VIEW, parent_run_id=parent, group_by=name))[0] for parent in "ab" for name in ("x", "y")}
    assert len(tags) == 4


def test_filter_grouping_and_first_columns() -> None:
    state = replace(VIEW, settings=["condition", "learning_rate", "seed"]).state()
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'abc'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "condition"}]
    assert state["columnOrder"] == [
        *("params.`condition`", "params.`learning_rate`", "params.`seed`"),
        *(f"metrics.`{name}`" for name in COLUMNS),
    ]
    assert state["selectedColumns"] == state["columnOrder"]


def test_large_sweeps_are_collapsed_and_sorted_by_seed() -> None:
    """So that the runs that MLflow loads at first have all conditions, and its button for more is in sight."""
    few = replace(VIEW, groups=["grpo", "igrpo"]).state()
    many = replace(VIEW, groups=["grpo", "igrpo"], runs=101).state()
    assert (few["groupsExpanded"], few["orderByKey"]) == ({}, "tags.`mlflow.runName`")
    assert many["groupsExpanded"] == {"tag.condition.grpo": False, "tag.condition.igrpo": False}
    assert many["orderByKey"] == "params.`seed`"


def test_view_fits_into_a_tag() -> None:
    groups = [f"igrpo_internalize_{number}" for number in range(10)]
    client = Client()
    store_compare_view(client, "3", replace(VIEW, parent_run_id="a" * 32, runs=200, groups=groups))  # type: ignore[arg-type]
    assert len(next(iter(client.tags.values()))) <= LONGEST_TAG
