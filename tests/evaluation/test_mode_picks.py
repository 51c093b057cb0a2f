"""What test-time modes pick: no gold answer, no verdict, but for the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from igrpo.evaluation.test_time.base import Mode
from igrpo.evaluation.test_time.picking import Attempt, Pick, best_valued
from igrpo.types import Completion, Question, Score
from tests.evaluation.fakes import QUESTIONS, EqualityReward
from tests.evaluation.modes import MODES, PDR, REFINE, RSA, Store, run_modes

OTHER_GOLDS = [replace(question, answer=str(int(question.answer) % 4 + 1)) for question in QUESTIONS]


@dataclass
class Largest:
    """A judge that likes large digits, and records the gold answers that it is shown."""

    name: str = "largest"
    golds: list[str] = field(default_factory=list)

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        self.golds.append(question.answer)
        return [Score(float(completion.text), None, "unscored") for completion in completions]

    def close(self) -> None: ...


class Silent(Largest):
    """A judge without an opinion."""

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
        return [None] * len(completions)


def picking(how: Pick) -> Mode:
    return REFINE.model_copy(update={"pick": how})


def contexts(mode: Mode, questions: Sequence[Question], judge: Largest | None = None) -> dict[object, object]:
    """What every sample shows, by its question and key."""
    store = Store()
    run_modes({"mode": mode}, store=store, questions=questions, judges={} if judge is None else {"mode": judge})
    return {key: (sample.context, sample.text) for key, sample in store.kept.items()}


@pytest.mark.parametrize("mode", [picking("majority"), picking("random"), picking("judge"), RSA, PDR])
def test_other_gold_answers_change_no_pick(mode: Mode) -> None:
    judge = Largest()
    assert contexts(mode, QUESTIONS, judge) == contexts(mode, OTHER_GOLDS, judge)
    assert set(judge.golds) <= {""}


def test_the_oracle_picks_by_the_gold_answer() -> None:
    mode = picking("oracle")
    assert contexts(mode, QUESTIONS) != contexts(mode, OTHER_GOLDS)
    store = Store()
    run_modes({"mode": mode}, store=store, questions=OTHER_GOLDS)
    for question in OTHER_GOLDS:
        drafts = [*store.of(question.id, "single_shot"), *store.of(question.id, "test_time/answer")]
        (draft,) = store.of(question.id, "mode/round_1")[0].context
        assert store.kept[question.id, draft].correct == any(one.correct for one in drafts)


def test_the_judge_picks_what_it_values_most() -> None:
    store, judge = Store(), Largest()
    run_modes({"mode": picking("judge")}, store=store, judges={"mode": judge})
    for question in QUESTIONS:
        drafts = [*store.of(question.id, "single_shot"), *store.of(question.id, "test_time/answer")]
        shown = {
            store.kept[question.id, key].text for one in store.of(question.id, "mode/round_1") for key in one.context
        }
        assert shown == {max(draft.text for draft in drafts)}
    assert judge.golds == [""] * len(judge.golds) == [""] * 2 * 3  # after the drafts and after each round


def test_a_judge_without_an_opinion_leaves_it_to_chance() -> None:
    silent = contexts(picking("judge"), QUESTIONS, Silent())
    assert silent.keys() == contexts(picking("majority"), QUESTIONS).keys()
    assert best_valued([None, None]) is None
    assert best_valued([None, 0.5, 1.0, 1.0]) == 2


def test_a_resumed_evaluation_keeps_what_the_judge_has_picked() -> None:
    """A judge may decide otherwise the next time."""

    class Smallest(Largest):
        async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score | None]:
            return [Score(-float(completion.text), None, "unscored") for completion in completions]

    store = Store()
    mode = {"mode": picking("judge")}
    run_modes(mode, store=store, judges={"mode": Largest()})
    first = {key: sample for key, sample in store.kept.items() if key[1] != ("mode/round_2", 1)}
    again = Store(dict(first))
    run_modes(mode, store=again, judges={"mode": Smallest()})
    assert again.kept == store.kept


def test_an_oracle_is_marked_and_compared_with_nothing() -> None:
    result = run_modes({**MODES, "refine": picking("oracle")})
    assert result.test_time is not None
    oracle = next(curve for curve in result.test_time.curves if curve.name == "refine")
    assert oracle.oracle
    assert [curve.name for curve, _ in result.test_time.compared] == ["rsa", "pdr"]
    names = {name for name in result.metrics("test") if name.startswith("test/test_time/refine/")}
    assert "test/test_time/refine/round_1/oracle_accuracy" in names
    unmarked = ("/accuracy", "/low", "/high", "/mean_accuracy", "/gain", "/gain_low", "/gain_high")
    assert not [name for name in names if name.endswith(unmarked)]
    assert oracle.gains == ()


def test_a_mode_cannot_see_a_verdict() -> None:
    seen: list[Attempt] = []

    class Looking(type(REFINE)):  # type: ignore[misc]
        async def run(self, context):  # type: ignore[no-untyped-def]
            seen.extend(await context.answers(2))
            return await super().run(context)

    run_modes({"mode": Looking.model_validate(REFINE.model_dump())}, reward=EqualityReward())
    assert {name for attempt in seen for name in attempt.__slots__} == {"key", "answer", "completion"}
