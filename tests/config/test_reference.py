"""Every setting has a description, and the page of settings is current and well-formed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import PositiveInt

from igrpo.config import RunConfig, config_values
from igrpo.config.choice_defaults import choice_of_kind, what_a_preset_sets, what_it_sets
from igrpo.config.composing.folders import choices, groups
from igrpo.config.composing.values import flat, text_of
from igrpo.config.reference import as_markdown
from igrpo.config.setting import all_settings, sections
from igrpo.settings.base import Section
from tests.composed import config

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def sections_of_the_package(parent: type[Section] = Section) -> Iterator[type[Section]]:
    for section in parent.__subclasses__():
        if section.__module__.startswith(("igrpo.settings.", "igrpo.algorithms.", "igrpo.config.")):
            yield section
        yield from sections_of_the_package(section)


def test_every_setting_has_a_description() -> None:
    assert RunConfig in set(sections_of_the_package())
    silent = [
        f"{section.__module__}.{section.__name__}.{name}"
        for section in sections_of_the_package()
        for name, field in section.model_fields.items()
        if not (field.description or "").rstrip().endswith(".")
    ]
    assert not silent, "write a sentence under each of these fields, as under the others"


def test_a_setting_without_a_description_is_found() -> None:
    class Forgotten(Section):
        said: PositiveInt
        """Something."""
        silent: PositiveInt

    assert {name: field.description for name, field in Forgotten.model_fields.items()} == {
        "said": "Something.",
        "silent": None,
    }


@pytest.mark.parametrize("overrides", [[], ["reward=judge_and_rule", "evaluation=paper"], ["algorithm=grpo"]])
def test_the_settings_of_a_run_are_all_described(overrides: list[str]) -> None:
    given = {"reward.parts.judge.reward.base_url": "http://x", "reward.parts.judge.reward.model": "m"}
    more = [f"{key}={value}" for key, value in given.items()] if overrides and "judge" in overrides[0] else []
    described = all_settings()
    for path, _ in flat(config_values(config({}, *overrides, *more))):
        known = re.sub(r"(reward\.parts|evaluation\.benchmarks)\.\w+", r"\1.NAME", path)
        known = re.sub(r"(reward\.parts\.NAME\.reward)\..*", r"\1", known)
        assert known in described, path
        assert all(setting.description for setting in described[known])


def test_types_and_choices() -> None:
    found = {path: settings[0] for path, settings in all_settings().items()}
    assert found["trainer.steps"].type == "int > 0"
    assert found["trainer.betas"].type == "list of 2: float ≥ 0 and < 1"
    assert found["data.limit"].type == "int > 0 or null"
    assert found["trainer.schedule"].choices == ("constant", "cosine")
    assert found["algorithm.train_on"].choices == ("draft", "refine", "internalize")
    assert set(found["algorithm.transfer.method"].choices) == {"shape", "truncate"}
    assert found["algorithm.transfer.gamma"].type == "float > 0"  # of one of the two methods
    assert found["reward.verifier"].type == "section"  # listed at reward=math_verify
    assert "reward.verifier.percent" not in found
    assert sections()["seed"].is_setting
    assert not sections()["trainer"].is_setting


def test_the_choice_whose_values_are_the_defaults_of_a_kind() -> None:
    found = sections()
    assert choice_of_kind(found["reward"], "math_verify") == "math_verify"  # the default
    assert choice_of_kind(found["reward"], "judge") == "judge"  # of the same name
    assert choice_of_kind(found["reward"], "weighted") == "judge_and_rule"  # the first one
    assert choice_of_kind(found["trainer"], "") == "cpu"
    assert choice_of_kind(found["budget"], "") is None
    for section in found.values():
        if section.name in groups() and not section.is_setting:
            assert None not in {choice_of_kind(section, kind) for kind in section.kinds}


def test_what_a_choice_sets() -> None:
    found = sections()
    assert what_it_sets(found["trainer"], "cpu") == []
    assert "learning_rate=1e-06" in [text.removeprefix("trainer.") for text in what_it_sets(found["trainer"], "single")]
    assert what_it_sets(found["reward"], "math_verify_format")[0] == "reward.parts.accuracy={...}"
    assert what_it_sets(found["reward"], "last_line") == ["reward.answer_format=[last_line]"]
    assert what_a_preset_sets("condition", "bare") == ["algorithm=igrpo", "condition=bare", "algorithm.drafts=0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3e-4, "0.0003"),
        ("", "''"),
        ([1, "a"], "[1, a]"),
        ("???", "(required)"),
        ({}, "{}"),
    ],
)
def test_values_as_they_are_written(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_long_value_is_cut() -> None:
    assert text_of("word " * 100) == "word " * 11 + "wo..."


def test_the_page_is_current_in_every_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# Mine.\nseed: 3\n")
    monkeypatch.chdir(tmp_path)
    expected = as_markdown() + "\n"
    assert PAGE.read_text(encoding="utf-8") == expected, "python -m igrpo.config.reference > docs/reference/settings.md"


def test_the_page_has_every_setting_and_choice_in_whole_rows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for path in all_settings():
        assert f"\n| `{path}` | " in page
    for group in groups():
        for choice in choices(group):
            assert f"| `{choice.name}`" in page
    columns = 0
    for before, line in zip(["", *page.splitlines()], page.splitlines(), strict=False):
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            columns = columns if before.startswith("|") else cells
            assert cells == columns, line
            outside = re.sub(r"`[^`]*`", "", line)
            assert not re.search(r"(?<!\\)[<>*]", outside), f"not escaped: {line}"
