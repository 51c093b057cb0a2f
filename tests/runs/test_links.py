import os
import shlex
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from igrpo.runs.links import (
    absolute_tracking_uri,
    default_tracking_uri,
    is_server,
    run_link,
    sqlite_path,
    ui_address,
    ui_command,
    view_link,
    without_password,
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


@pytest.mark.parametrize(("charts", "mode"), [(True, "CHART"), (False, "TABLE")])
def test_view_link_opens_a_view(charts: bool, mode: str) -> None:
    page, _, query = view_link("http://h/", "3", "a b&c", charts=charts).partition("?")
    assert page == "http://h/#/experiments/3/runs"
    assert parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": [mode],
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:s3cret@host:5000/x", "http://host:5000/x"),
        ("http://ann:pass@word@host", "http://host"),
        ("a tracking.uri=https://ann:s3cret@host b=c@d", "a tracking.uri=https://host b=c@d"),
        (r"tracking.uri=http\://ann\:s3cret@host", r"tracking.uri=http\://host"),
        ("uri: postgresql+psycopg2://ann:s3cret@db/mlflow\n", "uri: postgresql+psycopg2://db/mlflow\n"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_addresses_are_shown_without_passwords(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_links_and_commands_have_no_password() -> None:
    assert ui_address("http://ann:s3cret@host:5000") == "http://host:5000"
    assert "s3cret" not in ui_command("postgresql://ann:s3cret@db/mlflow")
