"""For the whole test session: shapes and types of igrpo.objective are checked at run time, one cache of small models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests.objective import checker

# Before anything can import it without the checks, so that there is one class of each name.
install_import_hook("igrpo.objective", f"{checker.__name__}.check")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # the parallel workers of one session have the same parent folder
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    os.environ["IGRPO_CACHE_DIR"] = str((shared or tmp_path_factory.getbasetemp()) / "igrpo-cache")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):  # what whoever runs the tests tracks elsewhere
        os.environ.pop(name, None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    Path(os.environ["IGRPO_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
