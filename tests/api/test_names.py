"""`import igrpo` offers the public names, imports nothing heavy for them, and types know what they are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import igrpo
from igrpo.shipped import PACKAGE

HEAVY = {"torch", "hydra", "omegaconf", "pydantic", "yaml", "numpy", "rich", "lightning", "mlflow"}


def modules_after(code: str) -> set[str]:
    """Top-level modules of a new process that ran the code."""
    code = f"{code}\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_import_is_light_and_so_are_settings() -> None:
    assert not modules_after("import igrpo; igrpo.__version__; dir(igrpo)") & HEAVY
    composed = modules_after("import igrpo; igrpo.compose('quickstart')")
    assert "hydra" in composed
    assert not composed & {"torch", "numpy", "lightning", "mlflow", "transformers"}


@pytest.mark.parametrize("name", igrpo.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(igrpo, name) is not None
    assert name in dir(igrpo)


def test_types_know_every_name() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(igrpo.__all__)


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match=r"igrpo.*evaluat"):
        igrpo.evaluat  # noqa: B018


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from igrpo.api import version

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert igrpo.__version__ == project["version"]

    def not_installed(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", not_installed)
    assert version._version() == project["version"]  # in a checkout
