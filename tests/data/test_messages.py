"""Problems that are stored as chat messages."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from igrpo.data.fields import UnusableRowError
from tests.data.making import mapper, read

FIELDS = {"id": None, "problem": "messages"}


def say(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def problem(value: object) -> str:
    return mapper(**FIELDS).question("row 1", {"messages": value, "answer": "4"}).problem


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([say("user", "What is 2+2?")], "What is 2+2?"),
        ([say("system", "Be brief."), say("user", "What is 2+2?")], "What is 2+2?"),
        ([say("user", "Let x=2."), say("user", "What is 2x?")], "Let x=2.\n\nWhat is 2x?"),
        ([say("user", "Let x=2."), say("system", "Go."), say("user", "What is 2x?")], "Let x=2.\n\nWhat is 2x?"),
        ([say("user", "What is 2+2?"), say("assistant", "It is 4.")], "What is 2+2?"),
        ([say("user", [{"type": "text", "text": "What is "}, {"type": "text", "text": "2+2?"}])], "What is 2+2?"),
        ([{"from": "human", "value": "What is 2+2?"}, {"from": "gpt", "value": "4"}], "What is 2+2?"),
        ([{"role": "user", "content": "What is 2+2?", "name": None}], "What is 2+2?"),
        ("What is 2+2?", "What is 2+2?"),
    ],
)
def test_the_problem_is_the_text_of_the_user_messages(messages: object, expected: str) -> None:
    assert problem(messages) == expected


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([say("system", "Be brief.")], r"has no user message \(its roles: system\)"),
        ([say("user", "2+2?"), say("assistant", "4"), say("user", "Sure?")], "is a dialogue .*'assistant'"),
        ([say("user", [{"type": "image", "url": "x"}])], "has a user message that is not text"),
        ([say("user", None)], "has a user message that is not text"),
        ([say("user", " ")], "is empty"),
        ([], "must be text or a number, not list"),
        (["What is 2+2?"], "must be text or a number, not list"),
        ([{"role": "user"}], "must be text or a number, not list"),
    ],
)
def test_messages_that_are_no_question_are_named(messages: object, message: str) -> None:
    with pytest.raises(UnusableRowError, match=rf"^row 1: the field 'messages' \(data\.fields\.problem\) {message}"):
        problem(messages)


def test_system_messages_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    with_system: list[Any] = [say("system", "Be brief."), say("user", "What is 2+2?")]
    rows = [{"messages": with_system, "answer": 4}, {"messages": [say("user", "What is 3+3?")], "answer": 6}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with caplog.at_level(logging.WARNING):
        source = read(path, **FIELDS)
    assert [one.problem for one in source.train] == ["What is 2+2?", "What is 3+3?"]
    (told,) = caplog.messages
    assert told.startswith("data: 1 of 2 rows have a system message, which is left out")


def test_prefix_and_suffix_are_removed_from_user_messages() -> None:
    row = {"messages": [say("user", "Solve: 2+2? Be brief.")], "answer": "4"}
    assert mapper("Solve: ", "Be brief.", **FIELDS).question("row 1", row).problem == "2+2?"
