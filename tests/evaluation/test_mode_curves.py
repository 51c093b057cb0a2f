"""The test-time curve: accuracies, gains at equal numbers of samples, and the words about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from igrpo.evaluation.estimators import estimate_accuracy
from igrpo.evaluation.test_time.base import Mode, Step
from igrpo.evaluation.test_time.curve import ModesResult, summarise_modes
from igrpo.evaluation.test_time.metrics import TEST_TIME_METRIC_DOCS, metrics_of_modes
from igrpo.evaluation.test_time.records import StepRecord, Trace, step_record
from igrpo.evaluation.test_time.words import COLUMNS, sentences, table_rows
from igrpo.types import Completion
from tests.evaluated import RIGHT, WRONG, evaluated
from tests.evaluation.modes import MAJORITY, MODES, REFINE, run_modes

#: Four questions. The vote of 4 is right on the last two; the refinement after 4 samples on all but the first.
VOTE = [False, False, True, True]
REFINED = [False, True, True, True]


def record(name: str, samples: int, *, right: bool, among: tuple[bool, ...] = (True, False)) -> StepRecord:
    return StepRecord(name, right, among, samples, 10 * samples, 5, shown=1, cut=int(right), scored=True)


def result(refined: list[bool] = REFINED, *, oracle: bool = False) -> ModesResult:
    modes: dict[str, Mode] = {
        "vote": MAJORITY,
        "mine": REFINE.model_copy(update={"pick": "oracle"}) if oracle else REFINE,
    }
    traces = [
        Trace(
            f"q{i}",
            tokens=0,
            modes={
                "vote": ((record("at_2", 2, right=False), record("at_4", 4, right=vote)),),
                "mine": ((record("round_0", 3, right=True), record("round_1", 4, right=right)),),
            },
        )
        for i, (vote, right) in enumerate(zip(VOTE, refined, strict=True))
    ]
    single_shot = [[evaluated(f"q{i}", 0, completion(3), RIGHT if i else WRONG)] for i in range(4)]
    made = summarise_modes(modes, traces, single_shot)
    assert made is not None
    return made


def completion(tokens: int) -> Completion:
    return Completion((1,) * tokens, "7", (-1.0,) * tokens, None, None, "stop", 0)


def test_a_point_has_the_accuracy_of_the_answers_with_its_interval() -> None:
    vote, mine = result().curves
    assert [(point.step, point.accuracy.value) for point in mine.points] == [("round_0", 1.0), ("round_1", 0.75)]
    assert mine.points[1].accuracy == estimate_accuracy([[right] for right in REFINED])
    assert mine.points[1].mean_accuracy.value == 0.5
    assert (mine.points[1].samples, mine.points[1].tokens, mine.points[1].prompt_tokens) == (4, 40, 5)
    assert mine.points[1].cut_share == 0.75  # the right ones were cut
    assert vote.gains == ()
    single = result().single_shot
    assert (single.samples, single.tokens, single.accuracy.value) == (1, 3, 0.75)


def test_a_gain_is_paired_by_question_at_equal_samples() -> None:
    """Differences 0, 1, 0, 0: mean 1/4, standard error sqrt(3/4 / 3 / 4) = 1/4, t(3) = 3.182 at 95 %."""
    (gain,) = result().curves[1].gains  # round_0 has 3 samples, and there is no vote of 3
    assert (gain.step, gain.baseline, gain.samples) == ("round_1", "vote", 4)
    assert (gain.accuracy, gain.baseline_accuracy, gain.value) == (0.75, 0.5, 0.25)
    assert gain.low == pytest.approx(0.25 - 3.182446 / 4)
    assert gain.high == 1.0  # 0.25 + 0.80, which no difference of shares exceeds
    assert (gain.tokens, gain.baseline_tokens) == (40, 40)


def test_repetitions_count_as_their_mean() -> None:
    steps = [[(record("at_4", 4, right=one),) for one in row] for row in ([True, False], [True, True])]
    traces = [Trace(f"q{i}", 0, {"vote": tuple(runs)}) for i, runs in enumerate(steps)]
    made = summarise_modes({"vote": MAJORITY}, traces, [[evaluated("q", 0, completion(1), RIGHT)]] * 2)
    assert made is not None
    assert made.curves[0].points[0].accuracy == estimate_accuracy([[True, False], [True, True]])


def test_without_any_score_there_is_no_curve() -> None:
    unscored = replace(record("at_4", 4, right=False), scored=False)
    traces = [Trace("q", 0, {"vote": ((unscored,),)})]
    assert summarise_modes({"vote": MAJORITY}, traces, [[evaluated("q", 0, completion(1), WRONG)]]) is None


def test_each_prompt_counts_once() -> None:
    draft, other = (evaluated("q", i, completion(2), WRONG, prompt_tokens=7) for i in range(2))
    context: dict[str, Any] = {
        "kind": "mode/round_1",
        "context": (draft.key,),
        "prompt_tokens": 9,
        "draft_tokens_cut": 1,
    }
    refined = [evaluated("q", i, completion(4), RIGHT, **context) for i in range(2)]
    samples = {sample.key: sample for sample in (draft, other, *refined)}
    step = Step("round_1", tuple(samples), (refined[0].key, refined[1].key), refined[1].key)
    made = step_record(step, samples)
    assert (made.correct, made.among, made.samples, made.tokens) == (True, (True, True), 4, 2 + 2 + 4 + 4)
    assert (made.prompt_tokens, made.shown, made.cut) == (7 + 9, 1, 1)


@pytest.mark.parametrize(
    ("refined", "words"),
    [
        (REFINED, "no difference to a majority vote beyond the sampling error"),
        (VOTE, "as good as a majority vote on every question"),
        ([True, True, False, True], "no difference to a majority vote beyond the sampling error"),
    ],
)
def test_the_sentence_answers_the_question(refined: list[bool], words: str) -> None:
    (sentence,) = sentences(result(refined))
    assert sentence.startswith(f"mine: {words}. With 4 samples per question it is right on ")
    if refined == REFINED:
        assert "75.0 %, a majority vote on 50.0 %: +25.0 points [-54.6, +100.0], paired by question (4 q" in sentence


@pytest.mark.parametrize(("value", "words"), [(0.3, "beats a majority vote"), (-0.3, "a majority vote beats it")])
def test_a_clear_gain_is_called_one(value: float, words: str) -> None:
    made = result()
    gain = replace(made.curves[1].gains[0], value=value, low=value - 0.1, high=value + 0.1)
    clear = replace(made, curves=(made.curves[0], replace(made.curves[1], gains=(gain,))))
    assert next(sentences(clear)).startswith(f"mine: {words}. ")


def test_the_table_marks_an_oracle_and_the_sentences_leave_it_out() -> None:
    made = result(oracle=True)
    rows = list(table_rows(made))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert [row[0] for row in rows] == ["single-shot", "vote", "", "mine (oracle)", ""]
    assert rows[-1][1:3] == ("round_1", "4")
    assert [row[-1] for row in rows[3:]] == ["", ""], "not compared with a vote, which does not know the answer"
    assert list(table_rows(result()))[-1][-1] == "+25.0 [-54.6, +100.0]"
    assert list(sentences(made)) == []


def test_every_metric_of_a_mode_is_defined() -> None:
    modes = {**MODES, "refine": REFINE.model_copy(update={"pick": "oracle"})}
    made = run_modes(modes).test_time
    assert made is not None
    found = set()
    for curve in made.curves:
        steps = {point.step for point in curve.points}
        for name in metrics_of_modes(made):
            parts = name.split("/")
            if parts[1] == curve.name:
                found.add("/".join(["test_time", "NAME", *("STEP" if part in steps else part for part in parts[2:])]))
    assert found == TEST_TIME_METRIC_DOCS.keys()
