"""The entry point: verbs, flags and the page of help."""

from importlib.metadata import version
from pathlib import Path

import pytest

from igrpo.cli.main import main
from igrpo.cli.train import parse_arguments
from igrpo.config import ConfigError
from igrpo.config.composing.folders import choices, groups


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"igrpo {version('igrpo')}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("usage: igrpo VERB")


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("trian", "igrpo: no such command 'trian'; did you mean 'train'?\n"),
        ("zzz", "igrpo: no such command 'zzz'; commands: train"),
        ("algorithm=grpo", "igrpo: 'algorithm=grpo' is no command; did you mean `igrpo train algorithm=grpo`?\n"),
    ],
)
def test_unknown_verbs(verb: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_unknown_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--multrun", "--zzzzzzz"]) == 2
    assert capsys.readouterr().err == (
        "igrpo: the command line has 2 problems:\n"
        "  - --multrun: no such flag; did you mean --multirun?\n"
        "  - --zzzzzzz: no such flag; known: -h, --help, -m, --multirun, --check, --plan, --no-measure\n"
    )


def test_help_lists_every_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\n# My own idea.\nseed: 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", "--help"]) == 0
    page = capsys.readouterr().out
    for group in groups():
        assert f"{group}=" in page
        for choice in choices(group):
            assert f"\n    {choice.name}" in page
            assert choice.description[:40] in page
    assert "    igrpo (default) " in page
    assert "    mine                   My own idea. (yours)\n" in page
    assert "igrpo train resume=RUN_DIR" in page
    assert max(map(len, page.splitlines())) <= 120


def test_sweep_means_multirun() -> None:
    assert "multirun" in parse_arguments(["sweep=x"]).flags
    assert "multirun" in parse_arguments(["+sweep=x"]).flags
    assert "multirun" in parse_arguments(["-m"]).flags
    assert "multirun" in parse_arguments(["hydra.mode=MULTIRUN"]).flags
    assert parse_arguments(["sweep=null", "sweeper=1"]).flags == frozenset()


@pytest.mark.parametrize("path", ["runs/a", "'runs/a'", '"runs/a"'])
def test_resume_is_taken_out_of_the_overrides(path: str) -> None:
    parsed = parse_arguments(["trainer.steps=3", f"resume={path}", "--check"])
    assert (parsed.resume, parsed.overrides, parsed.flags) == (Path("runs/a"), ("trainer.steps=3",), {"check"})


@pytest.mark.parametrize("arguments", [["resume="], ["resume=a", "resume=b"]])
def test_resume_wants_one_directory(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="give it "):
        parse_arguments(arguments)


def test_resume_is_no_sweep() -> None:
    with pytest.raises(ConfigError, match="resume=a: no sweep there"):
        parse_arguments(["resume=a", "sweep=b"])


def test_a_sweep_is_resumed_with_or_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").touch()
    for name in ([], ["sweep=b"]):
        parsed = parse_arguments([f"resume={tmp_path}", "hydra/launcher=joblib", *name])
        assert (parsed.resume, parsed.overrides) == (tmp_path, ("hydra/launcher=joblib", *name))


@pytest.mark.parametrize("given", [["tuned=a,b"], ["tuned=[a, b]"], ["tuned=a", "tuned='b'"]])
def test_searches_to_take_settings_from(given: list[str]) -> None:
    parsed = parse_arguments(["sweep=x", *given])
    assert (parsed.tuned, parsed.overrides) == ((Path("a"), Path("b")), ("sweep=x",))


@pytest.mark.parametrize("alone", ["--plan", "--no-measure", "tuned=a"])
def test_what_is_for_sweeps_alone(alone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "seed=1", alone]) == 2
    assert "is for a sweep: add sweep=NAME" in capsys.readouterr().err


def test_an_experiment_with_a_grid_is_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      algorithm: grpo,igrpo\n      seed: 0,1\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    for more, runs in (([], 4), (["seed=3"], 2), (["seed=1,2,3"], 6), (["trainer.steps=25,30"], 8)):
        assert main(["train", "experiment=mine", *more, "--check"]) == 0
        assert f"{runs} runs, all of them checked" in capsys.readouterr().out
    assert main(["train", "experiment=mine", "--plan", "--no-measure"]) == 0
    assert "4 (2 combinations, 2 seeds each)" in capsys.readouterr().out
    assert main(["train", "experiment=quickstart", "--check"]) == 0
    assert "the plan" not in capsys.readouterr().out
    assert main(["train", "experiment=quickstart", "seed=0,1", "--check"]) == 2
    assert "seed=0,1: several values make a sweep: add --multirun" in capsys.readouterr().err
