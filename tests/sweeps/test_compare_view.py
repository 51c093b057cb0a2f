"""What is stored for the MLflow UI, and that the link names it. What the UI makes of it: tests/browser."""

import json
from typing import Any
from urllib.parse import parse_qs

from igrpo.sweeps.compare_view import compare_view, store_compare_view

BASE = "http://127.0.0.1:5000"
#: What MLflow took as an experiment's tag before it took 20,000 characters.
LONGEST_TAG = 5000


class Client:
    """Keeps the experiment tags that it is given, in order."""

    def __init__(self) -> None:
        self.tags: dict[tuple[str, str], str] = {}

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        self.tags[experiment_id, key] = value


def shared_key(link: str) -> str:
    return parse_qs(link.partition("?")[2])["viewStateShareKey"][0]


def test_link_names_the_stored_view() -> None:
    client = Client()
    link = store_compare_view(client, BASE, "3", "abc")  # type: ignore[arg-type]
    ((experiment, tag), text) = next(iter(client.tags.items()))
    assert link.startswith(f"{BASE}/#/experiments/3/runs?")
    assert experiment == "3"
    assert tag == f"mlflow.sharedViewState.{shared_key(link)}"
    assert json.loads(text) == compare_view("abc")


def test_views_of_other_sweeps_and_groupings_stay() -> None:
    client = Client()
    links = [
        store_compare_view(client, BASE, "3", parent, group_by=name, group_by_kind=kind)  # type: ignore[arg-type]
        for parent in ("abc", "def")
        for name, kind in (("algorithm", "tag"), ("a b/c", "tag"), ("algorithm", "param"))
    ]
    stored = {tag.removeprefix("mlflow.sharedViewState.") for _, tag in client.tags}
    assert {shared_key(link) for link in links} == stored
    assert len(stored) == 6


def test_filter_and_grouping() -> None:
    view = compare_view("abc", group_by="algorithm.name", group_by_kind="param", metrics=["m"])
    assert view["searchFilter"] == "tags.`mlflow.parentRunId` = 'abc'"
    assert view["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "algorithm.name"}]
    assert [chart["metricKey"] for chart in view["compareRunCharts"]] == ["m"]


def test_view_fits_into_a_tag() -> None:
    client = Client()
    store_compare_view(client, BASE, "3", "a" * 32)  # type: ignore[arg-type]
    assert len(next(iter(client.tags.values()))) <= LONGEST_TAG
