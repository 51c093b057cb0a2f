"""The wheel carries its settings and works far from the checkout, where a user's own presets come first."""

import email
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "igrpo",
    "conf",
    "experiments",
    "sweeps",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (source / "dist").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; its dependencies are those of the tests."""
    target = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True)
    return target


def igrpo(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "120"}
    command = [sys.executable, "-m", "igrpo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_every_yaml_file_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "experiments", "sweeps"):
        files = sorted((ROOT / folder).rglob("*.yaml"))
        assert files
        assert {f"igrpo/_data/{path.relative_to(ROOT).as_posix()}" for path in files} <= names
    assert "igrpo/py.typed" in names
    assert {f"igrpo/report/templates/report.{end}" for end in ("html.j2", "css")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "conf/", "benchmarks/")) for name in names)


def test_the_metadata_are_what_an_index_shows(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    found = email.message_from_string(archive.read(name).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["Name"] == "igrpo"
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == "<3.14,>=3.11"
    assert found["Description-Content-Type"] == "text/markdown"
    assert set(found.get_all("Provides-Extra", [])) == project["optional-dependencies"].keys()
    assert found.get_all("Classifier") == project["classifiers"]
    assert found.get_all("Project-URL") == [f"{name}, {url}" for name, url in project["urls"].items()]
    assert found.get_payload() == (ROOT / "README.md").read_text()


def test_it_runs_in_another_directory(installed: Path, tmp_path: Path) -> None:
    assert (installed / "bin" / "igrpo").exists()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "# @package _global_\n# My own.\ndefaults:\n  - quickstart\ntrainer:\n  steps: 7\nrun_name: from-my-file\n"
    )
    page = igrpo(installed, tmp_path, "train", "--help", "experiment")
    assert page.returncode == 0
    assert "mine                   My own. (yours)" in page.stdout
    assert "quickstart" in page.stdout
    checked = igrpo(installed, tmp_path, "train", "experiment=mine", "--check", "-v")
    assert checked.returncode == 0, checked.stderr
    assert 'run_name: "from-my-file"' in checked.stdout
    assert "7 steps" in checked.stdout


def test_the_wheel_is_what_is_tested(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "broken.yaml").write_text("# @package _global_\na: [\n")
    refused = igrpo(installed, tmp_path, "train", "experiment=broken")
    assert refused.returncode == 2
    assert "experiments/broken.yaml, line 3: not valid YAML" in refused.stderr
    code = "from igrpo.config.composing.folders import shipped; print(shipped('conf'))"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert found.stdout.strip() == str(installed / "igrpo" / "_data" / "conf")
