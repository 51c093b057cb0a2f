"""Files for tools around the project: the workflow, pre-commit, Docker, extras and the pages about them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from igrpo.messages import install

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())

#: `igrpo[judge,gguf]`, `.[judge]`, and the wheel of the Dockerfile.
_NAMED = re.compile(r"(?:\bigrpo|'\.|\"\.|\.whl\)?\"?)\[([a-z][a-z,]*)\]")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands() -> list[str]:
    return [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def test_the_workflow_makes_what_ci_makes() -> None:
    made = [match[1] for command in commands() for match in re.finditer(r"\bmake ([a-z-]+)", command)]
    in_ci = re.search(r"^for target in (.+); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert in_ci is not None
    assert {*in_ci[1].split(), "docs"} == set(made)
    assert set(made) <= targets()


def test_the_workflow_tests_every_python_that_the_package_names() -> None:
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)}
    assert set(WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]) == named
    used = [
        step["with"]["python-version"]
        for job in WORKFLOW["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/setup-python@")
    ]
    assert len(used) == len(WORKFLOW["jobs"])
    assert set(used) <= {"${{ matrix.python }}", *named}


def test_the_workflow_may_only_read_and_pins_its_actions() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
    for job in WORKFLOW["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v4")), step


def test_pre_commit_runs_the_checks_of_make_lint() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (local,) = [repo for repo in config["repos"] if repo["repo"] == "local"]
    programs = {re.sub(r" --.*", "", hook["entry"].removeprefix(".venv/bin/")) for hook in local["hooks"]}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    linted = {re.sub(r" (--check )?\.$", "", line.strip().removeprefix("$(BIN)/")) for line in recipe[1].splitlines()}
    assert programs == linted == {"ruff check", "ruff format", "mypy", "lint-imports"}
    assert all(repo["repo"] == "local" or re.fullmatch(r"v\d+\.\d+\.\d+", repo["rev"]) for repo in config["repos"])


def test_the_image_has_all_that_the_wheel_is_made_of() -> None:
    from tests.test_packaging import SOURCES

    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(SOURCES)
    text = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE)
    bodies = dict(zip(stages[1::2], stages[2::2], strict=True))
    assert list(bodies) == ["wheel", "base", "cuda", "cpu"]  # the last one is the default
    for name in ("cuda", "cpu"):
        assert bodies[name].rstrip().endswith("USER 1000:1000")


def texts() -> dict[str, str]:
    """Text files of the repository (in a checkout, those that git knows) that may name an extra."""
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a checkout")
    names = [
        name for name in done.stdout.splitlines() if not name.startswith("tests/") or name.startswith("tests/vllm/")
    ]
    kinds = {".py", ".md", ".yaml", ".yml", ".toml", ""}
    paths = {name: ROOT / name for name in names if Path(name).suffix in kinds}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.is_file()}


def test_every_extra_that_is_named_exists() -> None:
    found = {
        (name, extra) for name, text in texts().items() for m in _NAMED.finditer(text) for extra in m[1].split(",")
    }
    assert {"docs/judge.md", "Dockerfile", "Makefile", "docs/install.md"} <= {name for name, _ in found}
    assert {extra for _, extra in found} <= EXTRAS.keys(), found


def test_messages_name_extras_that_exist_in_one_form() -> None:
    messages = {name: text for name, text in texts().items() if re.match(r"igrpo/.*\.py$", name)}
    named = [extra for text in messages.values() for extra in re.findall(r"\binstall\([\"'](\w+)[\"']\)", text)]
    assert {"judge", "vllm", "gpu", "gguf"} <= set(named)
    from igrpo.config.composing.diagnosis import _EXTRAS

    assert {*named, *_EXTRAS.values()} <= EXTRAS.keys()
    others = [name for name, text in messages.items() if "pip install" in text and "igrpo[" in text]
    assert others == ["igrpo/messages.py"]
    said = install("judge")
    assert "pip install 'igrpo[judge]'" in said
    assert "pip install -e '.[judge]'" in said


def test_every_extra_is_on_the_page_about_installing() -> None:
    page = (ROOT / "docs/install.md").read_text()
    described = set(re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE))
    assert EXTRAS.keys() - {"docs"} <= described  # docs builds the pages themselves, by make docs
    bounds = [one for one in PROJECT["dependencies"] if one.startswith("torch>")]
    assert bounds
    assert all(bound in page for bound in bounds)


def test_the_metadata_name_the_paper() -> None:
    assert PROJECT["urls"]["Paper"] == "https://arxiv.org/abs/2602.09000"
    assert PROJECT["urls"]["Paper"] in (ROOT / "CITATION.cff").read_text()
