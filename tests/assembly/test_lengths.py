"""What does not fit is said before anything is sampled: rows, positions, questions; and what ends a completion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import BloomConfig, GPT2Config

from igrpo.assembly import FittingSource, build_prompts, check_lengths, fitting_source, questions
from igrpo.models.tokenizer import stop_tokens
from igrpo.prompts.builder import PromptBuilder
from igrpo.types import Question
from tests.assembly.parts import byte_policy, question
from tests.composed import config as composed

BYTES = ("model=byte_level", "prompt=boxed")


def model(positions: int) -> Any:
    text = SimpleNamespace(max_position_embeddings=positions)
    return SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))


def layout(**changes: Any) -> PromptBuilder:
    return build_prompts(composed(None, *BYTES).prompt.model_copy(update=changes), byte_policy().tokenizer)


def test_the_longest_sequence_must_fit_the_model() -> None:
    prompts, config = layout(), composed(None, *BYTES)
    longest = prompts.max_prompt_tokens(drafts=1) + 64
    check_lengths(config, model(longest), prompts)
    with pytest.raises(ValueError, match=rf"more than the model's positions \({longest - 1}\)"):
        check_lengths(config, model(longest - 1), prompts)


def test_drafts_of_the_evaluation_need_positions_alone() -> None:
    prompts = layout()
    bare, shown = (prompts.max_prompt_tokens(drafts=drafts) + 64 for drafts in (0, 1))
    assert bare < shown
    grpo = composed(None, *BYTES, "algorithm=grpo")
    check_lengths(grpo, model(shown), prompts)
    with pytest.raises(ValueError, match="the model's positions"):
        check_lengths(grpo, model(bare), prompts)
    without = {"evaluation.draft_conditioned": False}
    check_lengths(composed(without, *BYTES, "algorithm=grpo"), model(bare), prompts)
    oracle = composed({**without, "evaluation.oracle_drafts": 2}, *BYTES, "algorithm=grpo")
    with pytest.raises(ValueError, match="the model's positions"):
        check_lengths(oracle, model(bare), prompts)


def test_positions_under_another_name_or_without_a_limit() -> None:
    prompts, config = layout(), composed(None, *BYTES)
    check_lengths(config, SimpleNamespace(config=BloomConfig()), prompts)  # ALiBi: any length
    with pytest.raises(ValueError, match=r"the model's positions \(1024\)"):
        check_lengths(config, SimpleNamespace(config=GPT2Config(n_positions=1024)), prompts)


@dataclass
class Listed:
    train: Sequence[Question]
    development: Sequence[Question]
    test: Sequence[Question]


def named(prefix: str, *problems: str) -> list[Question]:
    return [question(problem, name=f"{prefix}{i}") for i, problem in enumerate(problems)]


def fit(source: Listed, monkeypatch: pytest.MonkeyPatch) -> FittingSource:
    """At most two questions of a split, of at most ten tokens."""
    monkeypatch.setattr(questions, "read_source", lambda data: source)
    return fitting_source(composed({"evaluation.questions": 2}), layout(max_question_tokens=10))


def test_long_questions_are_left_out_with_a_word(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Listed(named("t", "short", "x" * 11, "x" * 10), named("d", "a", "b", "c"), named("e", "x" * 20, "a", "b"))
    with caplog.at_level(logging.WARNING):
        fitting = fit(source, monkeypatch)
    assert [one.id for one in fitting.train] == ["t0", "t2"]
    assert [one.id for one in fitting.development] == ["d0", "d1"]  # at most two are evaluated
    assert [one.id for one in fitting.test] == ["e1", "e2"]  # cut after the long ones went
    for split, message in zip(("train", "test"), caplog.messages, strict=True):
        assert f"1 of 3 questions of the {split} split" in message
        assert "prompt.max_question_tokens=10" in message


@pytest.mark.parametrize("split", ["train", "development", "test"])
def test_a_split_without_a_question_is_an_error(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: named(name, "x" * 30 if name == split else "a") for name in ("train", "development", "test")}
    message = rf"^the {split} split has no question .*prompt\.max_question_tokens=10"
    with pytest.raises(ValueError, match=message):
        fit(Listed(**parts), monkeypatch)


@pytest.mark.parametrize(
    ("tokenizers", "declared", "expected"),
    [(2, 2, (2,)), (2, [7, 2, 9], (2, 7, 9)), (2, None, (2,)), (2, 5, (2, 5)), (None, [3], (3,))],
)
def test_every_end_token_ends_a_completion_once(
    tokenizers: int | None, declared: int | list[int] | None, expected: tuple[int, ...]
) -> None:
    settings = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=declared))
    assert stop_tokens(settings, SimpleNamespace(eos_token_id=tokenizers)) == expected
