import json
import os
import shlex
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from igrpo.runs.links import (
    absolute_tracking_uri,
    compare_link,
    default_tracking_uri,
    grouped_runs_link,
    is_server,
    run_link,
    sqlite_path,
    ui_command,
)


@pytest.fixture
def _activated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in which this environment comes first, as after `source .venv/bin/activate`."""
    programs = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([programs, os.environ["PATH"]]))


def test_ui_command_runs_where_the_environment_is_not_activated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = Path(shlex.split(ui_command("sqlite:////data/mlflow.db"))[0])
    assert program.resolve().parent == Path(sys.executable).parent.resolve()
    assert program.exists()


@pytest.mark.usefixtures("_activated")
def test_ui_command_is_exact() -> None:
    assert ui_command("sqlite:////data/mlflow.db") == (
        "mlflow ui --backend-store-uri sqlite:////data/mlflow.db --port 5000"
    )


@pytest.mark.usefixtures("_activated")
def test_ui_command_survives_the_shell() -> None:
    uri = default_tracking_uri(Path("/home/a b/it's $HOME"))
    assert shlex.split(ui_command(uri, port=5001)) == ["mlflow", "ui", "--backend-store-uri", uri, "--port", "5001"]


def test_ui_command_refuses_a_server() -> None:
    with pytest.raises(ValueError, match="http://host:5000 is a tracking server"):
        ui_command("http://host:5000")


def test_links_open_the_run_view() -> None:
    query = "?workflowType=machine_learning"
    assert run_link("http://h", "3", "abc") == f"http://h/#/experiments/3/runs/abc{query}"


def test_compare_link_carries_ids_as_json() -> None:
    page, _, query = compare_link("http://h/", ["3", "4"], ["abc", "def"]).partition("?")
    assert page == "http://h/#/compare-runs"
    assert not set(query) & set(' "[]')  # a terminal must take it for one word
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert json.loads(fields["runs"]) == ["abc", "def"]
    assert json.loads(fields["experiments"]) == ["3", "4"]
    assert fields["workflowType"] == "machine_learning"


def test_grouped_runs_link_opens_charts_of_a_view() -> None:
    page, _, query = grouped_runs_link("http://h", "3", "a b&c").partition("?")
    assert page == "http://h/#/experiments/3/runs"
    assert parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": ["a b&c"],
    }


def test_addresses() -> None:
    assert default_tracking_uri(Path("/w")) == "sqlite:////w/mlflow.db"
    assert absolute_tracking_uri("sqlite:///mlflow.db", Path("/w")) == "sqlite:////w/mlflow.db"
    assert absolute_tracking_uri("sqlite:////v/m.db", Path("/w")) == "sqlite:////v/m.db"
    assert absolute_tracking_uri("http://h:1", Path("/w")) == "http://h:1"
    assert sqlite_path("sqlite:////v/m.db?timeout=9") == Path("/v/m.db")
    assert sqlite_path("postgresql://h/db") is None
    assert [is_server(uri) for uri in ("http://h", "https://h", "sqlite:////v/m.db")] == [True, True, False]
