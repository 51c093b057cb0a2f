"""What a run says of its first evaluation: the worth of a draft, and a warning where it is nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import NamedTuple

import pytest
from rich.console import Console

from igrpo.evaluation.draft_worth import draft_worth
from igrpo.evaluation.records import Answers, QuestionRecord
from igrpo.evaluation.result import EvaluationResult, summarise
from igrpo.training.first_evaluation import report_draft_worth
from igrpo.types import Completion, Question, Score
from tests import evaluated
from tests.composed import config

Rows = Sequence[Sequence[bool]]

BARE: Rows = ((True, True, False), (True, False, False), (False, True, False)) * 3
WORTHLESS: Rows = ((False, False, True),) * 9
HELPFUL: Rows = ((True, True, True),) * 9


class Told(NamedTuple):
    """What was printed, warned of, and kept as an alarm."""

    printed: str
    warned: str
    kept: list[tuple[str, str]]


def answers(right_K: Sequence[bool]) -> Answers:
    one = Completion((1,), "x", (-0.5,), None, None, "stop", 0)
    scores = tuple(Score(float(right), right, "right" if right else "wrong") for right in right_K)
    return evaluated.answers((one,) * len(scores), scores)


def evaluation(refined: Rows | None, bare: Rows = BARE) -> EvaluationResult:
    return summarise(
        [
            QuestionRecord(
                question=Question(f"q{i}", "1", "1"),
                single_shot=answers(row),
                greedy=None,
                draft_conditioned=None if refined is None else answers(refined[i]),
                draft_conditioned_oracle=None,
            )
            for i, row in enumerate(bare)
        ],
        "fake",
    )


@pytest.fixture
def tell(caplog: pytest.LogCaptureFixture) -> Callable[..., Told]:
    def told(result: EvaluationResult, *overrides: str) -> Told:
        out = StringIO()
        kept: list[tuple[str, str]] = []
        console = Console(file=out, width=80)
        report_draft_worth(result, config(None, *overrides), console, lambda name, words: kept.append((name, words)))
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        return Told(out.getvalue(), "\n".join(warned), kept)

    return told


def test_a_worth_is_one_line(tell: Callable[..., Told]) -> None:
    said = tell(evaluation(HELPFUL))
    assert said == (f"a draft's worth before training: {draft_worth(BARE, HELPFUL)}\n", "", [])


LEARNING = ("condition=igrpo", "condition=igrpo_both", "condition=igrpo_internalize_only", "condition=igrpo_wrong",
            "condition=igrpo_bare_half")  # fmt: skip
OTHERS = ("condition=grpo", "condition=bare", "condition=critique_grpo", "condition=self_verification",
          "algorithm.selection=none", "algorithm.train_on=[draft]", "algorithm.bare_fraction=1.0")  # fmt: skip


@pytest.mark.parametrize("setting", LEARNING)
def test_worthless_drafts_are_a_warning_to_who_trains_on_them(tell: Callable[..., Told], setting: str) -> None:
    said = tell(evaluation(WORTHLESS), setting)
    assert said.printed == f"a draft's worth before training: {draft_worth(BARE, WORTHLESS)}\n"
    assert "does not raise the accuracy of this model with prompt=tiny" in said.warned
    assert "prompt.refinement" in said.warned
    assert said.kept == [("draft_worth", f"before training: {said.warned}")]


@pytest.mark.parametrize("setting", OTHERS)
def test_who_trains_on_no_draft_is_not_warned(tell: Callable[..., Told], setting: str) -> None:
    said = tell(evaluation(WORTHLESS), setting)
    assert said.printed.startswith("a draft's worth before training: ")
    assert (said.warned, said.kept) == ("", [])


def test_too_few_right_drafts_warn_nobody(tell: Callable[..., Told]) -> None:
    bare = [[True, False, False]] * 4 + [[False, False, False]] * 5
    said = tell(evaluation([[False] * 3] * 9, bare))
    assert "too few right drafts (4 of at least 5)" in said.printed
    assert (said.warned, said.kept) == ("", [])


def test_nothing_is_said_of_what_was_not_measured(tell: Callable[..., Told]) -> None:
    assert tell(evaluation(None)) == ("", "", [])
