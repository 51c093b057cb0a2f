"""What an error message suggests to type works: a shell hands it on, Hydra reads it, the schema takes it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from igrpo.cli.main import main
from igrpo.cli.train import parser, train_arguments
from igrpo.config import ConfigError, config_values
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import in_shell, quoted, setting
from igrpo.runs.claim import claim
from igrpo.runs.resume import resumed_config
from igrpo.runs.run_directory import RunDirectory
from tests.composed import config

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
SIGNS = st.text(alphabet="'\"\\[]{}(),=:$ ab", max_size=12)


@given(TEXT | SIGNS)
def test_a_quoted_text_is_read_as_it_is(text: str) -> None:
    for line in (f"a.b={quoted(text)}", setting("a.b", text)):
        assert str(OverridesParser.create().parse_overrides([line])[0].value()) == text
        assert shlex.split(in_shell(line)) == [line]


#: Lines that Hydra cannot read, or reads as a sweep, and the value that the suggestion gives the setting.
BROKEN = {
    "run_name=[1": "[1",
    "run_name=it's": "it's",
    "run_name='it's'": "it's",
    'run_name="say "it""': 'say "it"',
    'run_name=a"b[': 'a"b[',
    "run_name=a]": "a]",
    "run_name={x": "{x",
    "run_name=(a": "(a",
    "run_name=f(x": "f(x",
    "run_name=a,b": "a,b",
    "run_name=a\\'": "a\\'",
    'prompt.system=a\n"b{$`!': 'a\n"b{$`!',
    "prompt.system=Answer, briefly": "Answer, briefly",
    "prompt.system=He said: 'no'": "He said: 'no'",
    "trainer.steps = 5": 5,
    "algorithm.train_on=[draft": ("draft",),
    "algorithm.train_on=draft,refine": ("draft", "refine"),
}


def value(settings: object, key: str) -> object:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


def suggested(problem: str, key: str) -> str:
    """The override that a message ends with, as a shell hands it on."""
    (line,) = shlex.split(re.split(rf"(?:: | as )(?=[\"']?{key}=)", problem)[-1])
    return line


@pytest.mark.parametrize("broken", BROKEN)
def test_the_suggested_override_is_accepted(broken: str) -> None:
    key = broken.partition("=")[0].strip()
    with Composer("train") as composer:
        with pytest.raises(ConfigError) as raised:
            composer.check_run([broken])
        (problem,) = raised.value.problems
        line = suggested(problem, key)
        assert value(composer.check_run([line]).config, key) == BROKEN[broken]


@pytest.mark.parametrize(
    "broken", ["trainer.steps=[1", "seed=(2", "algorithm=[grpo", "trainer.steps=1,2", "algorithm.drafts=it's"]
)
def test_nothing_is_suggested_that_would_be_refused(broken: str) -> None:
    key = broken.partition("=")[0]
    with Composer("train") as composer, pytest.raises(ConfigError) as raised:
        composer.check_run([broken])
    (problem,) = raised.value.problems
    assert f"{key}=" not in problem.replace(broken, "")
    assert key in problem


@pytest.mark.parametrize(
    "broken", ["tracking.experiment=[1", "tracking.experiment=it's", "tracking.uri=sqlite:///it's[1].db"]
)
def test_the_same_for_a_change_of_a_resumed_run(broken: str, tmp_path: Path) -> None:
    RunDirectory(tmp_path).create()
    RunDirectory(tmp_path).save_config(config_values(config()))
    with pytest.raises(ConfigError) as raised:
        resumed_config(tmp_path, [broken])
    key, _, text = broken.partition("=")
    line = suggested(raised.value.problems[0], key)
    assert value(resumed_config(tmp_path, [line]), key) == text


@pytest.mark.parametrize("name", ["a b", "it's", "a,b", "[1]", "$HOME", 'say "x"', "a=b", "-a"])
def test_directories_that_a_message_names_can_be_pasted(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "x").touch()
    with pytest.raises(ConfigError) as raised:
        claim(folder, chosen=True, setting="hydra.run.dir")
    arguments = shlex.split(raised.value.problems[0].partition("resume with ")[2])
    assert train_arguments(parser().parse(arguments)).resume == folder
    assert train_arguments(parser().parse(["sweep=x", f"tuned={folder}"])).tuned == (folder,)


@pytest.mark.parametrize(
    "verb", ["seed=1", "run_name=a b", "run_name='x'", "prompt.system=$HOME", "trainer.betas=[0.9,0.95]"]
)
def test_a_setting_in_place_of_the_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    command = capsys.readouterr().err.partition("did you mean `")[2].rpartition("`?")[0]
    assert shlex.split(command) == ["igrpo", "train", verb]


def test_a_new_name_with_signs_in_its_value() -> None:
    with Composer("train") as composer:
        with pytest.raises(ConfigError) as raised:
            composer.check_run(["hydra.job.env_set.A='b c'"])
        (line,) = shlex.split(raised.value.problems[0].partition("added with a plus: ")[2])
        composer.check_run([line])


def test_the_ranges_in_the_files_of_searches_are_accepted() -> None:
    text = Path(__file__).parents[3].joinpath("sweeps", "search_lr.yaml").read_text()
    (line,) = shlex.split(re.findall(r'"trainer[^"]+"', text)[0])
    with Composer("train") as composer:
        assert composer.check_sweep(["sweep=search_lr", "condition=grpo", line]).keys == ("trainer.learning_rate",)
