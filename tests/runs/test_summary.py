import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from igrpo.runs.summary import Accuracy, FirstLast, Summary, TokenCounts, read_summary, write_summary
from igrpo.runs.versions import git_commit, hardware, versions


def summary(**changes: Any) -> Summary:
    values: dict[str, Any] = {
        "algorithm": "igrpo",
        "objective": "grpo",
        "seed": 1,
        "steps": 60,
        "single_shot": Accuracy(before=0.25, after=0.5, interval=(0.45, 0.55)),
        "draft_conditioned": Accuracy(),
        "entropy": {"draft": FirstLast(first=0.7, last=0.2), "refinement": FirstLast()},
        "samples": 3840,
        "tokens": TokenCounts(generated=10, prefilled=20, trained=5),
        "flops": 12_345_678_901_234_567_890,
        "seconds": {"sample": 1.5},
        "versions": {"python": "3.11"},
        "commit": None,
        "config_hash": "abc",
    }
    return Summary(**(values | changes))


def test_summary_comes_back_and_has_exactly_the_agreed_fields(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, summary())
    assert read_summary(path) == summary()
    raw = json.loads(path.read_text())
    assert sorted(raw) == sorted(
        [
            "schema_version",
            "algorithm",
            "objective",
            "seed",
            "steps",
            "stopped_by",
            "single_shot",
            "draft_conditioned",
            "draft_worth",
            "entropy",
            "samples",
            "tokens",
            "flops",
            "seconds",
            "judge",
            "fingerprints",
            "parameters",
            "hardware",
            "versions",
            "commit",
            "config_hash",
        ]
    )
    assert raw["single_shot"].items() >= {"before": 0.25, "after": 0.5, "interval": [0.45, 0.55]}.items()
    assert raw["tokens"] == {"generated": 10, "prefilled": 20, "trained": 5}
    assert raw["entropy"]["draft"] == {"first": 0.7, "last": 0.2}


def test_a_summary_of_an_older_igrpo_is_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, summary())
    raw = json.loads(path.read_text())
    assert raw["flops"] == 12_345_678_901_234_567_890
    newer = ("flops", "stopped_by", "parameters", "hardware")
    older = {name: value for name, value in raw.items() if name not in newer} | {"schema_version": 1}
    path.write_text(json.dumps(older))
    assert [getattr(read_summary(path), name) for name in newer] == [None] * 4


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite number"):
        summary(single_shot={"before": math.nan})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no .*summary\.json"),
        ("{", r"summary\.json is broken"),
        ('{"schema_version": 99}', r"summary\.json has schema version 99, this igrpo reads up to"),
        ("{}", r"summary\.json has no valid schema_version"),
        ('{"schema_version": 1, "colour": "red"}', r"summary\.json does not match the schema: (?s:.)*colour"),
    ],
)
def test_a_summary_that_cannot_be_read_is_a_clear_error(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "summary.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_summary(path)


def test_versions_names_what_is_installed() -> None:
    found = versions()
    assert {"python", "igrpo", "torch", "transformers", "lightning", "mlflow", "math-verify"} <= set(found)
    assert all(found.values())


def test_commit_is_that_of_the_checkout_which_tracks_the_file(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    tracked, other = tmp_path / "package.py", tmp_path / "other.py"
    tracked.write_text("1\n")
    assert git_commit(tracked) is None  # no checkout
    git("init", "-q")
    git("add", "package.py")
    git("commit", "-q", "-m", "one")
    other.write_text("2\n")
    commit = git("rev-parse", "HEAD")
    assert git_commit(tracked) == commit  # an untracked file is no change
    assert git_commit(other) is None  # below a checkout, but not part of it
    tracked.write_text("3\n")
    assert git_commit(tracked) == f"{commit}-dirty"
    assert git_commit(tmp_path / "nowhere" / "x.py") is None


def test_the_hardware_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"CPU \(\w+\), [1-9]\d* cores", hardware("cpu", 1))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA X")
    assert hardware("cuda", 2) == "2 x NVIDIA X"
