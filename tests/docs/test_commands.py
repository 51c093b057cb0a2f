"""Every `igrpo` command of the README and the docs: its options exist, its settings compose, its models are trainable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from io import StringIO

import pytest
from rich.console import Console

from igrpo.cli.main import VERBS
from igrpo.cli.train import train_arguments
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import is_hydras
from igrpo.config.facts import cut_thinking
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.tools.doctor.diagnosis import Options, diagnose
from igrpo.tools.doctor.page import print_page
from igrpo.tools.doctor.reward_checks import format_checks
from tests.docs.pages import WRITTEN, commands, read, section

#: What stands for a value of the reader's own.
PLACEHOLDERS = {"DIRECTORY_OR_NAME": "Qwen/Qwen2.5-1.5B-Instruct"}
#: Settings that the files of docs/extending.md make; tests/docs/test_recipes.py composes them.
RECIPES = "docs/extending.md"

#: The commands for a model of the reader's own, where a GPU of 80 GB has to do.
ON_A_GPU = [
    *commands(section(read("README.md"), "Compare on your own model")),
    *commands(section(read("docs/quickstart.md"), "Your own model and problems")),
    *commands(section(read("docs/models.md"), "Real models and vLLM")),
    *commands(section(read("docs/migrating.md"), "A TRL script as a command")),
]


def distinct(found: list[list[str]]) -> list[list[str]]:
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


EVERY = distinct([words for page in WRITTEN if page != RECIPES for words in commands(read(page))])


def settings_of(words: list[str]) -> list[str]:
    """The settings of a command for one run of it: of several values the first one."""
    verb, *rest = words
    asked = import_module(f"igrpo.cli.{verb}").parser().parse(rest)
    found = train_arguments(asked).overrides if verb == "train" else asked.settings
    for name, value in PLACEHOLDERS.items():
        found = [text.replace(name, value) for text in found]
    return [re.sub(r"^([^=\[]*=[^,\[(]+),.*", r"\1", text) for text in found]


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer("train") as made:
        yield made


def test_the_pages_have_commands() -> None:
    assert len(EVERY) > 40
    assert {"train", "report", "doctor", "export", "chat", "serve", "rescore"} <= {words[0] for words in EVERY}
    assert len(ON_A_GPU) >= 9


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_a_command_has_only_options_and_settings_that_exist(words: list[str], composer: Composer) -> None:
    verb, *rest = words
    assert verb in VERBS
    if "--help" in rest:
        assert (
            import_module(f"igrpo.cli.{verb}").parser().read(rest) is None
        )  # ConfigError: a topic that does not exist
        return
    asked = import_module(f"igrpo.cli.{verb}").parser().parse(rest)  # ConfigError: an option that does not exist
    if verb not in {"train", "doctor", "serve"} or any(text.startswith("resume=") for text in asked.settings):
        return  # about a directory that a run has made
    settings = settings_of(words)
    if verb == "serve":
        settings = ["rollout=vllm_server", *(["prompt=boxed"] if "--judge" in rest else []), *settings]
    composer.check_run(settings)


@pytest.mark.parametrize(
    "words",
    distinct([words for words in ON_A_GPU if words[0] in {"train", "doctor"} and "trainer=cpu" not in words]),
    ids=" ".join,
)
def test_a_command_for_a_real_model_would_work(words: list[str], composer: Composer) -> None:
    """It fits one GPU of 80 GB, leaves room for an answer, and asks for what the reward looks for."""
    if words[1].startswith("resume="):
        return
    config = composer.check_run([text for text in settings_of(words) if not is_hydras(text)]).config
    if not isinstance(config.model, HuggingFaceModelConfig):
        assert config.model.name == "byte_level"  # shows the stages, and answers nothing
        return
    found = diagnose(config, Options(memory=80, load=False))
    out = StringIO()
    print_page(found, Console(file=out, width=160))
    assert found.memory is not None  # the sizes of the model are known: something was computed
    assert found.well, out.getvalue()
    assert config.sampling.max_completion_tokens > 200
    assert not list(cut_thinking(config))
    assert not list(format_checks(config))
