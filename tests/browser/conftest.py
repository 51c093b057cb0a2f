"""A headless Chromium, a real MLflow server, and where the screenshots go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.mlflow_server import mlflow_server as run_mlflow_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REPOSITORY = Path(__file__).resolve().parents[2]


def _no_browser(reason: str) -> NoReturn:
    """CI must not pass because its browser is missing; a developer may work without one."""
    if os.environ.get("IGRPO_REQUIRE_BROWSER") == "1":
        pytest.fail(f"IGRPO_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


# Of a module, not of the session: while it lives, asyncio.run does not work in this thread (playwright runs a loop).
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with a new, empty profile."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        _no_browser(f"there is no {' or '.join(PROGRAMS)} on PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _no_browser("playwright is not installed: pip install -e '.[dev]'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's database, ``mlflow.db``."""
    return tmp_path_factory.mktemp("mlflow-server")


@pytest.fixture(scope="module")
def mlflow_server(mlflow_folder: Path) -> Iterator[str]:
    """The address of a real MLflow server with an empty database."""
    with run_mlflow_server(mlflow_folder) as address:
        yield address


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder that keeps the screenshots: IGRPO_TEST_ARTEFACTS, by default build/test-artefacts."""
    folder = Path(os.environ.get("IGRPO_TEST_ARTEFACTS") or REPOSITORY / "build" / "test-artefacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
