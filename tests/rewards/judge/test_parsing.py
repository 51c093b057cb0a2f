"""What counts as a score, and that nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.rewards.judge.parsing import SCHEMA, parse_score


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"score": 0.5}', 0.5),
        ('{"reason": "a slip", "score": 0.25}', 0.25),
        ('  {"score": 1}\n', 1.0),
        ('{"score": 0}', 0.0),
        ('```json\n{"score": 0.5}\n```', 0.5),
        ('```\n{"score": 0.5}\n```', 0.5),
        ('<think>{"score": 1} would be too much</think>\n{"score": 0.5}', 0.5),
        ('hm, no tag at the start</think>{"score": 0.5}', 0.5),
        ('{"reason": "it says </think> itself", "score": 0.5}', 0.5),
        (None, None),
        ("", None),
        ("0.5", None),
        ('"score": 0.5', None),
        ("Score: 1", None),
        ('{"score": "0.5"}', None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ('{"score": 1.01}', None),
        ('{"score": -0.1}', None),
        ('{"score": NaN}', None),
        ('{"score": Infinity}', None),
        ('{"score": 0.5, "score": 1}', None),
        ('{"score": 0.5} {"score": 1}', None),
        ('{"score": 0.5} so it is', None),
        ('The score is {"score": 0.5}', None),
        ('{"score": 0.5, "confidence": 1}', None),
        ('{"reason": 3, "score": 0.5}', None),
        ('{"reason": "cut off, "score": 0.', None),
        ('[{"score": 0.5}]', None),
        ("[" * 100_000, None),
    ],
)  # fmt: skip
def test_a_score_or_nothing(reply: str | None, value: float | None) -> None:
    assert parse_score(reply) == value


@given(st.text())
def test_no_reply_breaks_it(reply: str) -> None:
    found = parse_score(reply)
    assert found is None or 0 <= found <= 1


@given(st.floats(0, 1), st.text())
def test_what_the_schema_allows_is_read(value: float, reason: str) -> None:
    assert set(SCHEMA["required"]) == {"reason", "score"}
    assert parse_score(json.dumps({"reason": reason, "score": value})) == value
