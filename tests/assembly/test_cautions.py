"""Warnings about options that no reward reads, and about problems that the tokenizer cannot express."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from igrpo.assembly import build_prompts
from igrpo.assembly.cautions import options_unread, warn_of_lost_text
from igrpo.config import RunConfig
from igrpo.models.tiny_tokenizer import build_tiny_tokenizer
from igrpo.prompts.builder import PromptBuilder
from igrpo.types import Question
from tests.composed import config as composed

TEXT = ("experiment=math_local", "algorithm=grpo", "data.path=none", "model=byte_level")
OPTIONS: dict[str, Any] = {"options": ["choices"], "answer_form": "letter"}
MINE = "+evaluation.benchmarks.mine={dataset: mine.jsonl, fields: {options: [choices], answer_form: letter}}"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), []),
        ((MINE,), ["evaluation.benchmarks.mine.fields.options is set, and reward=math_verify reads no options"]),
        ((MINE, "reward=multiple_choice"), []),
        ((MINE, "+reward@evaluation.benchmarks.mine.reward=multiple_choice"), []),
        (
            (MINE, "reward=math_verify_format"),
            ["evaluation.benchmarks.mine.fields.options is set, and reward=weighted"],
        ),
        (("+data.fields.options=[choices]", "data.fields.answer_form=letter"), ["data.fields.options is set, and"]),
    ],
)
def test_options_that_the_reward_does_not_read(overrides: tuple[str, ...], expected: list[str]) -> None:
    found = list(options_unread(composed({}, *TEXT, *overrides)))
    assert len(found) == len(expected)
    assert all(one.startswith(begin) for one, begin in zip(found, expected, strict=True))


def test_the_warning_names_the_setting_that_reads_options() -> None:
    config = composed({}, *TEXT, MINE, "+data.fields.options=[choices]", "data.fields.answer_form=letter")
    data, benchmark = options_unread(config)
    assert data.endswith("to read options: reward=multiple_choice")
    assert benchmark.endswith("to read options: +reward@evaluation.benchmarks.mine.reward=multiple_choice")
    assert list(options_unread(config, data=False)) == [benchmark]
    assert list(options_unread(config, benchmarks=False)) == [data]


def _prompts(config: RunConfig) -> PromptBuilder:
    return build_prompts(config.prompt, build_tiny_tokenizer())


def test_problems_that_the_tokenizer_cannot_express(caplog: pytest.LogCaptureFixture) -> None:
    prompts = _prompts(composed())
    fine, word = Question("a", "1+2*3", "7"), Question("b", "What is 1+2?", "3")
    with caplog.at_level(logging.WARNING):
        warn_of_lost_text([fine], prompts, "test split")
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        warn_of_lost_text([fine, word, word], prompts, "test split")
    (message,) = caplog.messages
    assert message.startswith(
        "the model does not see all of 2 of 3 problems of the test split, for example 'b': the tokenizer cannot encode 'W'"
    )
    with pytest.raises(
        ValueError, match="can express no problem of the benchmark mine as it is written, for example 'b'"
    ):
        warn_of_lost_text([word], prompts, "benchmark mine")
