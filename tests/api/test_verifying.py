"""`igrpo.verify`: verdicts on whole texts, from a script and from a notebook, whatever the text is."""

from __future__ import annotations

import asyncio

import pytest

import igrpo


def test_a_verdict_is_true_where_the_answer_is_right() -> None:
    right = igrpo.verify(r"\frac{1}{2}", r"Half of it, so \boxed{0.5}.")
    assert right
    assert (right.outcome, right.answer, right.right) == ("right", "0.5", True)
    wrong = igrpo.verify("42", "The answer is 43.")
    assert not wrong
    assert (wrong.outcome, wrong.answer, wrong.right) == ("wrong", "43", False)
    assert igrpo.verify("42", "I do not know.").right is False


def test_computer_algebra_decides_where_texts_differ() -> None:
    assert igrpo.verify("x^2+2x+1", r"\boxed{(x+1)^2}")
    assert not igrpo.verify("x^2+2x+1", r"\boxed{(x+2)^2}")


def test_a_repeated_problem_is_no_answer() -> None:
    assert igrpo.verify("12 + 2x", r"\boxed{2x + 12}")
    assert not igrpo.verify("40", r"\boxed{4 * 10}", problem="What is 4 * 10?")


def test_a_bomb_has_no_verdict_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    bomb = igrpo.verify("9", r"\boxed{9^{9^{9^{9}}}}")
    assert not bomb
    assert (bomb.outcome, bomb.right) == ("refused", None)
    assert not caplog.records
    assert igrpo.verify("1", "\x00\ud800 {{{ $\\boxed{").outcome in {"unparsable", "wrong"}


def test_it_works_inside_a_running_loop() -> None:
    async def cell() -> igrpo.Verdict:
        return igrpo.verify("2x", r"\boxed{x + x}")

    assert asyncio.run(cell())


def test_settings_are_those_of_the_verifier() -> None:
    assert igrpo.verify("28", "28%", percent="number")
    assert not igrpo.verify("28", "28%", percent="strict")
    assert not igrpo.verify("28", "It is 28", answer_format=["boxed"])
    with pytest.raises(TypeError, match="percnt"):
        igrpo.verify("28", "28", percnt="strict")
    with pytest.raises(ValueError, match="answer_format"):
        igrpo.verify("28", "28", answer_format="box")
