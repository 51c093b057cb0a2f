"""The alarms on synthetic series, in a run, and in one that is resumed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.config.schema import AlarmsConfig
from igrpo.training import alarms as module_under_test
from igrpo.training.alarms import (
    ACCURACY,
    DIFFERS,
    Alarms,
    Past,
    Rule,
    answer_differs_from_last_step,
    copying,
    differing_share,
    entropy_collapse,
    length_drift,
)
from igrpo.training.metric_docs import ALARM_DOCS
from igrpo.types import Completion, Group, Prompt, Question, Score, Trace
from tests.composed import config as composed
from tests.training.small_run import fit, make

CONFIG = AlarmsConfig(window=2, entropy_share=0.5, length_ratio=2.0, answer_differs_rise=0.2, accuracy_fall=0.05)


def line(step: int, stage: str = "stage1", **values: float) -> dict[str, float]:
    """Of metrics.jsonl."""
    names = {"reward": f"{stage}/reward_mean", "entropy": f"{stage}/entropy", "length": f"{stage}/length_mean",
             "differs": DIFFERS, "accuracy": ACCURACY}  # fmt: skip
    found = {"step": step, "budget/samples": 1.0, f"{stage}/reward_mean": 0.0}
    if set(values) == {"accuracy"}:
        del found["budget/samples"], found[f"{stage}/reward_mean"]
    return found | {names[name]: value for name, value in values.items()}


def fires(rule: Rule, threshold: float, name: str, series: Sequence[float], window: int = 2) -> list[bool]:
    """After each point of a series."""
    past, found = Past(), []
    for step, value in enumerate(series, start=1):
        past.add(step, line(step, **{name: value}))
        found.append(rule(past, window, threshold) is not None)
    return found


def test_entropy_that_falls_below_a_share_of_its_start() -> None:
    # start: mean of 1.0 and 0.8 = 0.9, so below 0.45; the last two: .45, .4, .25 -> .425 and .325
    series = [1.0, 0.8, 0.5, 0.45, 0.4, 0.25]
    assert fires(entropy_collapse, 0.5, "entropy", series) == [False, False, False, False, True, True]
    assert fires(entropy_collapse, 0.5, "entropy", [1.0, 1.0, 0.5, 0.5]) == [False] * 4  # on the bound: not below it
    assert fires(entropy_collapse, 0.5, "entropy", [1.0, 0.1, 0.1]) == [False] * 3  # too few steps to tell
    assert not any(fires(entropy_collapse, 0.5, "entropy", [0.1, 0.1, 1.0, 2.0, 3.0]))
    assert fires(entropy_collapse, 0.5, "entropy", [1.0, 0.1, 1.0, 0.1, 0.1, 0.1])[3:] == [
        False,
        True,
        True,
    ]  # .55, .1, .1


def test_a_single_low_step_is_no_collapse() -> None:
    assert not any(fires(entropy_collapse, 0.5, "entropy", [1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0]))


def test_lengths_that_double_or_halve() -> None:
    assert fires(length_drift, 2.0, "length", [10, 10, 15, 20, 21, 22])[3:] == [False, True, True]  # 17.5, 20.5, 21.5
    assert fires(length_drift, 2.0, "length", [10, 10, 20, 20]) == [False] * 4
    assert fires(length_drift, 2.0, "length", [10, 10, 5, 5, 4])[3:] == [False, True]
    assert not any(fires(length_drift, 2.0, "length", [10, 12, 9, 11, 13, 8]))


def test_answers_that_part_from_their_steps() -> None:
    assert fires(answer_differs_from_last_step, 0.2, "differs", [0.1, 0.1, 0.2, 0.4, 0.5])[3:] == [False, True]
    assert not any(fires(answer_differs_from_last_step, 0.2, "differs", [0.9, 0.9, 0.9, 0.9, 1.0]))  # it always did
    assert not any(fires(answer_differs_from_last_step, 0.2, "differs", [0.5, 0.5, 0.1, 0.0]))


def test_a_measurement_that_is_missing_now_and_then_is_passed_over() -> None:
    past = Past()
    for step, value in enumerate([0.0, None, 0.0, None, 0.5, 0.5], start=1):
        past.add(step, line(step) if value is None else line(step, differs=value))
    assert answer_differs_from_last_step(past, 2, 0.2) is not None
    assert entropy_collapse(past, 2, 0.5) is None  # never measured


def copies(points: Sequence[tuple[float, float]], start: float = 0.5) -> list[str | None]:
    """An evaluation after every two steps: (reward of both steps, accuracy)."""
    past = Past()
    past.add(0, line(0, accuracy=start))
    found = []
    for number, (reward, accuracy) in enumerate(points):
        for step in (2 * number + 1, 2 * number + 2):
            past.add(step, line(step, "stage2", reward=reward))
        past.add(2 * number + 2, line(2 * number + 2, accuracy=accuracy))
        found.append(copying(past, 2, 0.05))
    return found


def test_copying_is_a_reward_that_rises_while_single_shot_accuracy_falls() -> None:
    found = copies([(0.5, 0.55), (0.6, 0.6), (0.7, 0.58), (0.8, 0.5)])
    assert found[:3] == [None, None, None]  # 0.02 below the best is not 0.05
    assert found[3] == (
        "since step 4 the reward rose from 0.600 to 0.800 while single-shot accuracy fell from 0.600 to 0.500"
    )


def test_what_is_no_copying() -> None:
    assert copies([(0.5, 0.6), (0.6, 0.7), (0.7, 0.8)]) == [None] * 3  # all is well
    assert copies([(0.5, 0.6), (0.4, 0.5), (0.3, 0.3)]) == [None] * 3  # both fall: broken, and no copying
    assert copies([(0.5, 0.6), (0.5, 0.5)]) == [None] * 2  # the reward stands still
    assert copying(Past(), 2, 0.05) is None


def test_a_fall_from_the_accuracy_before_training_counts_as_well() -> None:
    (first,) = copies([(0.9, 0.3)])
    assert first is None  # one reward only: nothing rose yet
    first, second = copies([(0.2, 0.4), (0.9, 0.3)])
    assert first is None
    assert second is not None
    assert "since step 0 the reward rose from 0.200 to 0.900" in second


def test_the_refinements_are_what_is_watched_where_there_are_any() -> None:
    past = Past()
    past.add(1, line(1, "stage2", reward=1.0, entropy=0.3) | {"stage1/reward_mean": 0.2, "stage1/entropy": 0.9})
    past.add(2, line(2, "stage1", reward=0.4, entropy=0.5))
    assert [(step.reward, step.entropy) for step in past.steps] == [(1.0, 0.3), (0.4, 0.5)]


# --- telling ------------------------------------------------------------------------------------------------------

RISING_AND_FALLING = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1]
#: start 1; the last two: from the fourth step on .55 .1 .1 .55 1 .55 .1
FIRES = [0, 0, 0, 0, 1, 1, 0, 0, 0, 1]


def made() -> tuple[Alarms, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    return Alarms(CONFIG, lambda name, words: told.append((name, words))), told


def test_an_alarm_is_told_when_it_goes_off_and_when_it_goes_off_anew(caplog: pytest.LogCaptureFixture) -> None:
    alarms, told = made()
    found = [
        alarms.after_step(step, line(step, entropy=value), [])["alarm/entropy_collapse"]
        for step, value in enumerate(RISING_AND_FALLING, start=1)
    ]
    assert found == FIRES
    words = "the entropy of trained tokens fell from 1 to 0.1 nats"
    assert told == [("entropy_collapse", f"step 5: {words}"), ("entropy_collapse", f"step 10: {words}")]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == [f"alarm entropy_collapse at step {step}: {words}" for step in (5, 10)]


@pytest.mark.parametrize("at", range(len(FIRES) + 1))
def test_a_resumed_run_goes_on_as_if_it_had_not_been_stopped(at: int) -> None:
    whole, told = made()
    lines = [line(0, accuracy=0.5)]
    lines[0] |= whole.after_evaluation(0, lines[0])
    for step, value in enumerate(RISING_AND_FALLING, start=1):
        values = line(step, entropy=value, reward=step / 10)
        lines.append(values | whole.after_step(step, values, []))
        if step % 3 == 0:
            values = line(step, accuracy=0.5 - step / 100)
            lines.append(values | whole.after_evaluation(step, values))
    assert [name for name, _ in told] == ["entropy_collapse", "copying", "entropy_collapse"]

    resumed, told_later = made()
    resumed.remember([one for one in lines if one["step"] <= at])
    for one in [one for one in lines if one["step"] > at]:
        step, bare = int(one["step"]), {name: value for name, value in one.items() if "alarm/" not in name}
        judge = resumed.after_evaluation if ACCURACY in one else lambda s, m: resumed.after_step(s, m, [])
        assert judge(step, bare) == {name: value for name, value in one.items() if "alarm/" in name}
    assert told_later == [pair for pair in told if int(pair[1].partition(":")[0].removeprefix("step ")) > at]


def test_an_alarm_may_be_off() -> None:
    alarms = Alarms(CONFIG.model_copy(update={"entropy_share": None, "accuracy_fall": None}), lambda *words: None)
    assert alarms.after_step(1, line(1), []).keys() == {"alarm/length_drift", "alarm/answer_differs_from_last_step"}
    assert alarms.after_evaluation(1, line(1, accuracy=0.5)) == {}


def test_what_watches_a_run_does_not_kill_it_and_does_not_fail_in_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> bool:
        raise RecursionError("too deep")

    monkeypatch.setattr(module_under_test, "answer_differs", broken)
    alarms, _ = made()
    assert alarms.after_step(4, line(4), [trace("x")]) == {"alarm/failed": 1.0}
    assert "the alarms could not be judged at step 4: RecursionError: too deep" in caplog.text


# --- real traces and runs ---------------------------------------------------------------------------------------


def trace(*texts: str, trained: bool = True) -> Trace:
    completions = tuple(Completion((1, 2), text, (0.0, 0.0), None, None, "stop", 0) for text in texts)
    scores = (Score(1.0, True, "right"),) * len(texts)
    return Trace(Question("q", "", ""), (Group(1, Prompt((1,)), completions, scores, trained=trained),))


def test_the_share_is_of_trained_completions_that_can_be_compared() -> None:
    traces = [trace(r"1+1=2\boxed{2}", r"1+1=2\boxed{3}", "nothing"), trace(r"1+1=3\boxed{3}", r"=1\boxed{2}")]
    assert differing_share(traces) == 2 / 4
    assert differing_share([trace(r"=1\boxed{2}", trained=False), trace("nothing", "at all")]) is None


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_every_step_of_a_run_has_its_alarms(algorithm: str, tmp_path: Path) -> None:
    module = make(algorithm)
    module.alarms = Alarms(composed().alarms, lambda *words: None)
    fit(module, 1, tmp_path)
    found = {name for name in module.latest if name.startswith(("alarm/", "answers/"))}
    assert found <= ALARM_DOCS.keys()
    assert {"alarm/entropy_collapse", "alarm/length_drift", "alarm/answer_differs_from_last_step"} <= found
    assert not any(value for name, value in module.latest.items() if name.startswith("alarm/"))


def test_lengths_of_a_real_run_set_it_off(tmp_path: Path) -> None:
    """Only completions of one token are right: within steps nothing else is written, and entropy is gone."""
    told: list[str] = []
    short: Any = make("grpo", learning_rate=0.1, steps=16)
    short._collector.reward.value = lambda completion: float(len(completion.token_ids) == 1)
    short.alarms = Alarms(CONFIG, lambda name, words: told.append(name))
    fit(short, 16, tmp_path)
    assert short.latest["stage1/length_mean"] == 1.0
    assert "length_drift" in told
    assert short.latest["alarm/length_drift"] == 1.0
