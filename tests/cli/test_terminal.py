"""What a model wrote cannot steer the terminal that shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.cli.terminal import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hover", "over"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1b]52;c;AAAA", "a"),
        ("\x9b31mred", "red"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x1b(Bb\x1bcx\x1b", "abx"),
        ("one\r\x08two\x00\x7f", "onetwo"),
        ("line\n\ttab", "line\n\ttab"),
        ("ab\u202edc\u2066\u200f", "abdc"),
        ("half\ud800", "half"),
        ("½ π 数 é 🙂", "½ π 数 é 🙂"),
    ],
)
def test_sequences_go_and_text_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.sampled_from("\x1b\x9b\x9d\x9c\x07\\[]P;0123mHc(B ab\n")))
def test_nothing_that_steers_is_left(text: str) -> None:
    shown = printable(text)
    assert all(c == "\n" or c.isprintable() for c in shown)
    assert printable(shown) == shown
