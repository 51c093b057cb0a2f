import shlex
from pathlib import Path

import pytest

from igrpo.tracking.links import (
    absolute_tracking_uri,
    default_tracking_uri,
    experiment_link,
    is_server,
    run_link,
    sqlite_path,
    ui_command,
)


def test_ui_command_is_exact() -> None:
    assert ui_command("sqlite:////data/mlflow.db") == (
        "mlflow ui --backend-store-uri sqlite:////data/mlflow.db --port 5000"
    )


def test_ui_command_survives_the_shell() -> None:
    uri = default_tracking_uri(Path("/home/a b/it's $HOME"))
    assert shlex.split(ui_command(uri, port=5001)) == ["mlflow", "ui", "--backend-store-uri", uri, "--port", "5001"]


def test_ui_command_refuses_a_server() -> None:
    with pytest.raises(ValueError, match="http://host:5000 is a tracking server: open it in a browser"):
        ui_command("http://host:5000")


def test_links_open_the_run_view() -> None:
    query = "?workflowType=machine_learning"
    assert experiment_link("http://127.0.0.1:5000/", "3") == f"http://127.0.0.1:5000/#/experiments/3/runs{query}"
    assert run_link("http://h", "3", "abc") == f"http://h/#/experiments/3/runs/abc{query}"


def test_addresses() -> None:
    assert default_tracking_uri(Path("/w")) == "sqlite:////w/mlflow.db"
    assert absolute_tracking_uri("sqlite:///mlflow.db", Path("/w")) == "sqlite:////w/mlflow.db"
    assert absolute_tracking_uri("sqlite:////v/m.db", Path("/w")) == "sqlite:////v/m.db"
    assert absolute_tracking_uri("http://h:1", Path("/w")) == "http://h:1"
    assert sqlite_path("sqlite:////v/m.db?timeout=9") == Path("/v/m.db")
    assert sqlite_path("postgresql://h/db") is None
    assert [is_server(uri) for uri in ("http://h", "https://h", "sqlite:////v/m.db")] == [True, True, False]
