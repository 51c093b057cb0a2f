import shutil
from pathlib import Path

import pytest

from igrpo.config.composing.folders import choices, defaults, groups, shipped
from igrpo.config.composing.resolvers import env, half
from igrpo.messages import hint, setting_hint


def test_half_is_rounded_down_and_at_least_one() -> None:
    assert [half(count) for count in (1, 2, 7, 8)] == [1, 1, 3, 4]


@pytest.mark.parametrize("value", ["8", 8.0, None, True])
def test_half_of_what_is_no_count(value: object) -> None:
    with pytest.raises(TypeError, match="not a whole number"):
        half(value)  # type: ignore[arg-type]


def test_every_group_of_the_folders_is_listed() -> None:
    folders = {path.name for path in shipped("conf").iterdir() if path.is_dir()} - {
        "hydra",
        "reproduce",
    }  # the latter's files are tables
    assert folders | {"experiment", "sweep"} == set(groups())
    assert defaults("train")["algorithm"] == "igrpo"
    assert "experiment" not in defaults("train")


def test_descriptions_are_the_first_sentence_of_the_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "a.yaml").write_text("# @package _global_\n# Two seeds:  igrpo train sweep=a\n# more\nseed: 1\n")
    (folder / "b.yaml").write_text("seed: 1\n# late\n")
    (folder / "c.yaml").write_text("# Three seeds,\n# and one more. And this,\n# to the end of the line.\n# more\n")
    (folder / "d.yaml").write_text("# no full stop\n\n# other\nseed: 1\n")
    found = {choice.name: choice for choice in choices("sweep")}
    assert (found["a"].description, found["a"].own) == ("Two seeds", True)
    assert (found["b"].description, found["b"].own) == ("", True)
    assert found["c"].description == "Three seeds, and one more. And this, to the end of the line."
    assert found["d"].description == "no full stop"
    assert not found["grpo_vs_igrpo"].own


def test_copies_of_shipped_files_are_not_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout of the project in which an igrpo that is installed elsewhere runs."""
    monkeypatch.chdir(tmp_path)
    for folder in ("experiments", "sweeps"):
        shutil.copytree(shipped(folder), tmp_path / folder)
    (tmp_path / "sweeps" / "quick" / "mine.yaml").write_text("# A grid.\n")
    (tmp_path / "experiments" / "quickstart.yaml").write_text("# Changed.\n")
    found = [choice for group in ("experiment", "sweep") for choice in choices(group) if choice.own]
    assert [(choice.name, choice.description) for choice in found] == [
        ("quickstart", "Changed."),
        ("quick/mine", "A grid."),
    ]
    assert "(yours)" not in [choice.description for choice in choices("algorithm")]


def test_an_environment_variable_counts_unless_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGRPO_TEST", "x")
    assert env("IGRPO_TEST", "y") == "x"
    monkeypatch.setenv("IGRPO_TEST", "")
    assert env("IGRPO_TEST", "y") == "y"


def test_hints() -> None:
    assert hint("trian", ["train", "eval"]) == "; did you mean 'train'?"
    assert hint("zzz", ["train", "eval"]) == "; known here: train, eval"
    assert hint("zzz", []) == ""
    known = ["a", "a.steps", "a.other", "b", "b.deep", "b.deep.steps"]
    assert setting_hint("steps", known) == "; did you mean 'a.steps' or 'b.deep.steps'?"
    assert setting_hint("a.stpes", known) == "; did you mean 'a.steps'?"
    assert setting_hint("a.step", [*known, "c.step"]) == "; did you mean 'a.steps' or 'c.step'?"
    assert setting_hint("a.deep", known) == "; did you mean 'b.deep'?"
    assert setting_hint("a.zzz", known) == "; known here: steps, other"
    assert setting_hint("zz.zzzzz", known) == ""
