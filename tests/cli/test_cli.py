"""The entry point: verbs, options and the pages of help."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from igrpo.cli import help_page
from igrpo.cli.main import VERBS, main
from igrpo.cli.train import Arguments, parser, train_arguments
from igrpo.config import ConfigError
from igrpo.config.composing.folders import choices, groups
from igrpo.config.setting import all_settings, sections

#: Arguments without which a verb says nothing else.
NEEDED = {
    "completion": ["bash"],
    "join": ["RUN_DIR"],
    "rescore": ["RUN_DIR"],
    "export": ["RUN_DIR"],
    "chat": ["RUN_DIR"],
}


def parsed(*arguments: str) -> Arguments:
    """The arguments of `igrpo train`."""
    return train_arguments(parser().parse(arguments))


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
        ("quickstart", "igrpo: 'quickstart' is not a command; did you mean `igrpo train experiment=quickstart`?\n"),
        ("algorithm=grpo", "igrpo: 'algorithm=grpo' is not a command; did you mean `igrpo train algorithm=grpo`?\n"),
    ],
)
def test_unknown_verbs(verb: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_unknown_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--multrun", "--zzzzzzz"]) == 2
    title, first, second = capsys.readouterr().err.splitlines()
    assert title == "igrpo: igrpo train has 2 problems:"
    assert first == "  - --multrun: no such option; did you mean '--multirun'?"
    assert second.startswith("  - --zzzzzzz: no such option; --check, ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_suggests_the_nearest_option_in_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, *NEEDED.get(verb, []), "--hepl"]) == 2
    assert capsys.readouterr().err == "igrpo: --hepl: no such option; did you mean '--help'?\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_page(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    pages = []
    for flag in ("--help", "-h"):
        assert main([verb, flag]) == 0
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1]
    assert pages[0].startswith(f"usage: igrpo {verb} [")
    assert "\nexamples:\n  " in pages[0]
    assert max(map(len, pages[0].splitlines())) <= 120


def test_help_pages_import_nothing_heavy() -> None:
    code = (
        "import sys; from igrpo.cli.main import VERBS, main; codes = [main([verb, '--help']) for verb in VERBS]\n"
        "codes += [main(['train', '--help', topic]) for topic in ('model', 'experiment', 'trainer.steps')]\n"
        "heavy = {'torch', 'lightning', 'transformers', 'mlflow', 'hydra', 'omegaconf', 'pandas', 'numpy', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), set(codes), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[] {0}\n"


def page(capsys: pytest.CaptureFixture[str], *topics: str) -> str:
    """The output of `igrpo train --help`."""
    assert main(["train", "--help", *topics]) == 0
    return capsys.readouterr().out


def test_the_help_of_train_is_short(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = page(capsys).splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.startswith(", ...")]
    text = "\n".join(lines)
    for group in groups():  # in a line of its own, or by name only
        assert f"\n  {group}=" in text or f"{group}," in text or f"{group}." in text
    for form in (
        "igrpo (default), ",
        "trainer.steps=80 ",
        "seed=0 ",
        "resume=DIR ",
        "--help GROUP",
        "igrpo train resume=",
    ):
        assert form in text


def test_what_the_short_help_names_exists() -> None:
    assert set(help_page.GROUPS) <= set(groups())
    assert set(help_page.SETTINGS) <= set(all_settings())


@pytest.mark.parametrize("group", groups())
def test_the_help_of_a_group_has_its_choices_and_settings(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = page(capsys, group)
    for choice in choices(group):
        assert f"\n    {choice.name}" in text
        assert choice.description[:40] in text
    section = sections().get(group)
    for settings in () if section is None or section.is_setting else section.kinds.values():
        for setting in settings:
            assert f"\n  {setting.path}   " in text
            assert f"\n      {setting.description[:60]}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_help_of_experiments_has_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\n# My own idea.\nseed: 3\n")
    monkeypatch.chdir(tmp_path)
    assert "    mine                   My own idea. (yours)\n" in page(capsys, "experiment")
    assert "\n# My own idea.\nseed: 3\n" in page(capsys, "experiment=mine")
    assert "mine" in page(capsys)


def test_the_help_of_one_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    rate = page(capsys, "trainer.learning_rate")
    assert rate.startswith("  trainer.learning_rate   float > 0, default 0.0003\n      Peak learning rate.")
    assert "trainer=single                   1e-06" in rate
    assert "algorithm.train_on   list of str: draft | refine | internalize, default [refine]" in page(
        capsys, "algorithm"
    )
    answers = page(capsys, "algorithm.answers")
    assert "with algorithm=grpo:\n  algorithm.answers   int > 0, default ${completions_per_question}" in answers
    assert answers.count("algorithm.answers ") == 3
    assert "continue a run" in page(capsys, "resume")
    assert page(capsys, "seed").startswith("  seed   int ≥ 0, default 0\n")
    assert "objective.advantage.std   sample | population" in page(capsys, "objective.advantage")
    assert "budget.max_seconds   float > 0 or null, default null" in page(capsys, "budget")
    assert page(capsys, "seed", "--check", "budget") == page(capsys, "seed")
    assert page(capsys, "seed", "profile") == page(capsys, "seed") + "\n" + page(capsys, "profile")


def test_the_help_of_a_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert "differs from reward=math_verify in:\n  reward.answer_format=[last_line]" in page(capsys, "reward=last_line")
    assert "algorithm:\n  drafts: 0\n" in page(capsys, "condition=bare")


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("modle", "did you mean 'model'?"),
        ("trainer.stpes", "did you mean 'trainer.steps'?"),
        ("learning_rate", "'trainer.learning_rate' or "),
        ("algorithm=igrop", "did you mean 'igrpo'?"),
        ("zzzzzz", "known here: "),
    ],
)
def test_an_unknown_topic_gets_the_nearest_one(topic: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help", topic]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"igrpo: --help {topic}: no such ")
    assert hint in printed.err


def test_sweep_means_multirun() -> None:
    assert "multirun" in parsed("sweep=x").flags
    assert "multirun" in parsed("+sweep=x").flags
    assert "multirun" in parsed("-m").flags
    assert "multirun" in parsed("hydra.mode=MULTIRUN").flags
    assert parsed("sweep=null", "sweeper=1").flags == frozenset()


@pytest.mark.parametrize("path", ["runs/a", "'runs/a'", '"runs/a"'])
def test_resume_is_taken_out_of_the_overrides(path: str) -> None:
    train = parsed("trainer.steps=3", f"resume={path}", "--check")
    assert (train.resume, train.overrides, train.flags) == (Path("runs/a"), ("trainer.steps=3",), {"check"})


@pytest.mark.parametrize("arguments", [["resume="], ["resume=a", "resume=b"]])
def test_resume_wants_one_directory(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="resume: give "):
        parsed(*arguments)


def test_resume_is_no_sweep() -> None:
    with pytest.raises(ConfigError, match="resume=a: no sweep there"):
        parsed("resume=a", "sweep=b")


def test_a_sweep_is_resumed_with_or_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").touch()
    for name in ([], ["sweep=b"]):
        train = parsed(f"resume={tmp_path}", "hydra/launcher=joblib", *name)
        assert (train.resume, train.overrides) == (tmp_path, ("hydra/launcher=joblib", *name))


@pytest.mark.parametrize("given", [["tuned=a,b"], ["tuned=[a, b]"], ["tuned=a", "tuned='b'"]])
def test_searches_to_take_settings_from(given: list[str]) -> None:
    train = parsed("sweep=x", *given)
    assert (train.tuned, train.overrides) == ((Path("a"), Path("b")), ("sweep=x",))


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
