"""One cache for the whole test session: the small models of the tests are warmed up once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # the parallel workers of one session have the same parent folder
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    os.environ["IGRPO_CACHE_DIR"] = str((shared or tmp_path_factory.getbasetemp()) / "igrpo-cache")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    Path(os.environ["IGRPO_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
