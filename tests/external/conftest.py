"""For the environment of `make test-external`; elsewhere its tests are skipped, which pytest counts and explains."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = find_spec("lm_eval") is None
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.external)
            item.add_marker(pytest.mark.timeout(900))
            if missing:
                item.add_marker(pytest.mark.skip(reason="lm-eval is not installed here: make test-external"))
