"""Runs of a real model write gigabytes, which are removed when a file's tests have ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("smollm2")
    yield folder
    shutil.rmtree(folder)
