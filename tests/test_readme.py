"""The README's commands for real models: each composes, fits one GPU of 80 GB, and leaves room for an answer."""

from __future__ import annotations

import re
import shlex
from io import StringIO

import pytest
from rich.console import Console

from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import PACKAGE
from igrpo.config.facts import cut_thinking
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.tools.doctor.diagnosis import Options, diagnose
from igrpo.tools.doctor.page import print_page
from igrpo.tools.doctor.reward_checks import format_checks

#: What stands for a value of the reader's own.
PLACEHOLDERS = {"DIRECTORY_OR_NAME": "Qwen/Qwen2.5-1.5B-Instruct", "--plan": ""}


def commands(heading: str) -> list[list[str]]:
    """The settings of every `igrpo train` and `igrpo doctor` in the code blocks under a heading."""
    text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    found = [line[2:] for line in words if line[:2] in (["igrpo", "train"], ["igrpo", "doctor"])]
    return [[filled for word in line if (filled := _filled(word))] for line in found]


def _filled(word: str) -> str:
    for name, value in PLACEHOLDERS.items():
        word = word.replace(name, value)
    return word


SECTIONS = {heading: commands(heading) for heading in ("On your own problems", "Real models")}


def test_the_sections_have_commands() -> None:
    assert {heading: len(lines) for heading, lines in SECTIONS.items()} == {"On your own problems": 3, "Real models": 2}


@pytest.mark.parametrize("settings", [line for lines in SECTIONS.values() for line in lines], ids=" ".join)
def test_a_command_for_a_real_model_would_work(settings: list[str]) -> None:
    with Composer("train") as composer:
        config = composer.check_run(settings).config
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
    assert not list(format_checks(config))  # the prompt asks for what the reward looks for
