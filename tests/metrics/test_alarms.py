"""The alarms on synthetic series, in a run, and in one that is resumed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from igrpo.metrics import trained
from igrpo.metrics.alarms import (
    ACCURACY,
    Alarms,
    Past,
    Rule,
    answer_differs_from_last_step,
    copying,
    entropy_collapse,
    length_drift,
)
from igrpo.metrics.definitions import SECTIONS
from igrpo.metrics.trained import DIFFERS, trained_role_metrics
from igrpo.settings.alarms import AlarmsConfig
from igrpo.types import Completion, Prompt, Role, Rollout, Sample, Score
from tests.composed import config as composed
from tests.rollouts import RIGHT, group, rollout, samples
from tests.training.small_run import ScriptedReward, fit, make

CONFIG = AlarmsConfig(window=2, entropy_share=0.5, length_ratio=2.0, answer_differs_rise=0.2, accuracy_fall=0.05)


def line(step: int, role: Role = "answer", **values: float) -> dict[str, float]:
    """Of metrics.jsonl; ``share`` of the questions train the role (1.0 unless it is given)."""
    if set(values) == {"accuracy"}:
        return {"step": step, ACCURACY: values["accuracy"]}
    at = f"trained/{role}"
    names = {"reward": f"{at}/reward_mean", "entropy": f"{at}/entropy", "length": f"{at}/length_mean",
             "differs": f"{at}/differ_from_last_step_share", "share": f"{at}/questions_share"}  # fmt: skip
    given = {"reward": 0.0, "share": 1.0} | values
    return {"step": step, "budget/samples": 1.0} | {names[name]: value for name, value in given.items()}


def fires(rule: Rule, threshold: float, name: str, series: Sequence[float], window: int = 2) -> list[bool]:
    """After each point of a series."""
    past, found = Past(), []
    for step, value in enumerate(series, start=1):
        past.add(step, line(step, **{name: value}))
        found.append(rule(past, window, threshold) is not None)
    return found


def test_entropy_that_falls_below_a_share_of_its_start() -> None:
    # start 0.9, so below 0.45; the last two: .5, .45, .4, .4 -> .475, .425 (which scatter too much to tell) and .4
    series = [0.9, 0.9, 0.5, 0.45, 0.4, 0.4]
    assert fires(entropy_collapse, 0.5, "entropy", series) == [False, False, False, False, False, True]
    assert fires(entropy_collapse, 0.5, "entropy", [1.0, 1.0, 0.5, 0.5]) == [False] * 4  # on the bound: not below it
    assert fires(entropy_collapse, 0.5, "entropy", [1.0, 0.1, 0.1]) == [False] * 3  # too few steps to tell
    assert not any(fires(entropy_collapse, 0.5, "entropy", [0.1, 0.1, 1.0, 2.0, 3.0]))
    assert not any(fires(entropy_collapse, 0.5, "entropy", [1.0, 0.1, 1.0, 0.1, 0.1, 0.1]))  # .55 +- .45 at the start


def test_a_single_low_step_is_no_collapse() -> None:
    assert not any(fires(entropy_collapse, 0.5, "entropy", [1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0]))


def test_lengths_that_double_or_halve() -> None:
    assert fires(length_drift, 2.0, "length", [10, 10, 15, 20, 22, 22])[3:] == [False, False, True]
    assert fires(length_drift, 2.0, "length", [10, 10, 20, 20]) == [False] * 4
    assert fires(length_drift, 2.0, "length", [10, 10, 5, 5, 4, 4])[3:] == [False, False, True]
    assert not any(fires(length_drift, 2.0, "length", [10, 12, 9, 11, 13, 8]))


def test_answers_that_part_from_their_steps() -> None:
    assert fires(answer_differs_from_last_step, 0.2, "differs", [0.1, 0.1, 0.2, 0.5, 0.5])[3:] == [False, True]
    assert not any(fires(answer_differs_from_last_step, 0.2, "differs", [0.9, 0.9, 0.9, 0.9, 1.0]))  # it always did
    assert not any(fires(answer_differs_from_last_step, 0.2, "differs", [0.5, 0.5, 0.1, 0.0]))


def test_missing_measurements_are_passed_over() -> None:
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
            past.add(step, line(step, "refinement", reward=reward))
        past.add(2 * number + 2, line(2 * number + 2, accuracy=accuracy))
        found.append(copying(past, 2, 0.05))
    return found


def test_copying_is_more_reward_with_less_single_shot_accuracy() -> None:
    found = copies([(0.5, 0.55), (0.6, 0.6), (0.7, 0.58), (0.8, 0.5)])
    assert found[:3] == [None, None, None]  # 0.02 below the best is not 0.05
    assert found[3] == (
        "since step 4 the reward of refinements rose from 0.600 to 0.800 while single-shot accuracy fell from 0.600 to 0.500"
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
    assert "since step 0 the reward of refinements rose from 0.200 to 0.900" in second


# --- several roles ------------------------------------------------------------------------------------------------

RULES: tuple[tuple[Rule, float], ...] = (
    (entropy_collapse, 0.5), (length_drift, 2.0), (answer_differs_from_last_step, 0.2), (copying, 0.05),
)  # fmt: skip


def going_off(past: Past, window: int = 2) -> list[str]:
    found = [rule(past, window, threshold) for rule, threshold in RULES]
    return [words for words in found if words is not None]


ANSWERS = {"reward": 0.5, "entropy": 1.0, "length": 10.0, "differs": 0.1}
#: Of questions where all failed: long, sure of themselves, and better.
REFINED = {"reward": 0.9, "entropy": 0.2, "length": 40.0, "differs": 0.6}


def test_steps_that_train_other_roles_are_not_compared() -> None:
    """Critique-GRPO, nothing of which changes but what a step happens to train: at the end all of them refine."""
    past = Past()
    past.add(0, line(0, accuracy=0.6))
    for step in range(1, 13):
        refines = step % 4 == 0 or step > 8
        past.add(step, line(step, **ANSWERS) | (line(step, "refinement", **REFINED, share=0.5) if refines else {}))
        if step % 4 == 0:
            past.add(step, line(step, accuracy=0.6 - step / 50))
            assert going_off(past) == []


def test_refinements_of_fewer_questions_are_not_compared() -> None:
    past = Past()
    past.add(0, line(0, accuracy=0.6))
    # more questions fail as accuracy falls, and easier ones among them
    for step, share in enumerate([0.2, 0.2, 0.4, 0.5, 0.5, 0.6], start=1):
        refined = line(step, "refinement", share=share, reward=share, entropy=0.1 / share, length=4 / share)
        past.add(step, line(step, **ANSWERS) | refined)
        past.add(step, line(step, accuracy=0.6 - step / 50))
        assert going_off(past) == []


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_each_trained_role_is_watched(share: float) -> None:
    """igrpo_both, whose drafts collapse while its refinements are as ever; or with half of the questions bare."""
    past = Past()
    for step, entropy in enumerate([1.0, 1.0, 0.6, 0.3, 0.3], start=1):
        past.add(step, line(step, entropy=entropy, share=share) | line(step, "refinement", entropy=0.8, share=share))
    assert going_off(past) == ["the entropy of trained answers fell from 1 to 0.3 nats per token"]
    both = Past()
    for step, entropy in enumerate([1.0, 1.0, 0.2, 0.2], start=1):
        both.add(step, line(step, entropy=entropy) | line(step, "refinement", entropy=entropy / 2))
    (words,) = going_off(both)
    assert words == (
        "the entropy of trained answers fell from 1 to 0.2 nats per token; "
        "the entropy of trained refinements fell from 0.5 to 0.1 nats per token"
    )


def test_verifications_are_watched_but_not_for_copying() -> None:
    """Self-Verification has nothing to verify in its first step."""
    past = Past()
    past.add(0, line(0, accuracy=0.6))
    past.add(1, line(1, **ANSWERS))
    for step in range(2, 7):
        verdicts = line(step, "verification", reward=step / 10, entropy=0.2 if step < 4 else 0.04)
        past.add(step, line(step, **ANSWERS) | verdicts)
        past.add(step, line(step, accuracy=0.6 - step / 50))
    assert going_off(past) == ["the entropy of trained verifications fell from 0.2 to 0.04 nats per token"]


def test_a_role_that_is_not_trained_any_more_says_nothing_of_now() -> None:
    past = Past()
    for step in range(1, 13):
        collapsed = line(step, "refinement", entropy=1.0 if step < 3 else 0.1) if step < 5 else {}
        past.add(step, line(step, **ANSWERS) | collapsed)
        assert (going_off(past) != []) == (step == 4), step


# --- telling ------------------------------------------------------------------------------------------------------

RISING_AND_FALLING = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1]
#: start 1; the last two: from the fourth step on .55 .1 .1 .55 1 .55 .1
FIRES = [0, 0, 0, 0, 1, 1, 0, 0, 0, 1]


def made() -> tuple[Alarms, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    return Alarms(CONFIG, lambda name, words: told.append((name, words))), told


def test_an_alarm_is_reported_each_time_it_goes_off(caplog: pytest.LogCaptureFixture) -> None:
    alarms, told = made()
    found = [
        alarms.after_step(step, line(step, entropy=value), [])["alarm/entropy_collapse"]
        for step, value in enumerate(RISING_AND_FALLING, start=1)
    ]
    assert found == FIRES
    words = "the entropy of trained answers fell from 1 to 0.1 nats per token"
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
    resumed.restore([one for one in lines if one["step"] <= at])
    for one in [one for one in lines if one["step"] > at]:
        step, bare = int(one["step"]), {name: value for name, value in one.items() if "alarm/" not in name}
        judge = resumed.after_evaluation if ACCURACY in one else lambda s, m: resumed.after_step(s, m, [])
        assert judge(step, bare) == {name: value for name, value in one.items() if "alarm/" in name}
    assert told_later == [pair for pair in told if int(pair[1].partition(":")[0].removeprefix("step ")) > at]


def test_an_alarm_may_be_off() -> None:
    alarms = Alarms(CONFIG.model_copy(update={"entropy_share": None, "accuracy_fall": None}), lambda *words: None)
    assert alarms.after_step(1, line(1), []).keys() == {"alarm/length_drift", "alarm/answer_differs_from_last_step"}
    assert alarms.after_evaluation(1, line(1, accuracy=0.5)) == {}


def test_a_failing_alarm_warns_and_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> bool:
        raise RecursionError("too deep")

    monkeypatch.setattr(trained, "answer_differs", broken)
    alarms, _ = made()
    assert alarms.after_step(4, line(4), [answers("x")]) == {"alarm/failed": 1.0}
    assert "the alarms could not be evaluated at step 4: RecursionError: too deep" in caplog.text


# --- real rollouts and runs ---------------------------------------------------------------------------------------


def answers(*texts: str, trained: bool = True) -> Rollout:
    completions = [Completion((1, 2), text, (0.0, 0.0), None, None, "stop", 0) for text in texts]
    made = samples("answer", completions, [RIGHT] * len(texts))
    return rollout(made, trained=[made] if trained else [])


def test_the_share_is_of_trained_and_comparable_completions() -> None:
    rollouts = [answers(r"1+1=2\boxed{2}", r"1+1=2\boxed{3}", "nothing"), answers(r"1+1=3\boxed{3}", r"=1\boxed{2}")]
    assert trained_role_metrics(rollouts)[DIFFERS] == 2 / 4
    bare = trained_role_metrics([answers(r"=1\boxed{2}", trained=False), answers("nothing", "at all")])
    assert bare == {
        "trained/answer/questions_share": 0.5,
        "trained/answer/reward_mean": 1,
        "trained/answer/length_mean": 2,
    }


def of(*parts: tuple[int, float, int], role: Role, number: int = 1) -> tuple[Sample, ...]:
    """(first token, entropy, tokens) of each; the reward is a tenth of the first token."""
    completions = [Completion((k,) * n, "", (-0.1,) * n, None, (h,) * n, "stop", 0) for k, h, n in parts]
    return samples(role, completions, [Score(k / 10, None, "wrong") for k, _, _ in parts], number=number)


def test_each_role_has_the_means_of_what_is_trained_of_it() -> None:
    first = of((1, 1.0, 1), (2, 2.0, 3), role="answer")
    refined = of((7, 0.5, 2), (8, 9.0, 9), role="refinement", number=2)
    criticised = rollout(first, refined, groups=(group([*first, refined[0]], Prompt((1,))),))
    alone = of((4, 3.0, 1), role="answer")
    grpo = rollout(alone, of((9, 9, 9), role="verification", number=2), trained=[alone])
    assert trained_role_metrics([criticised, grpo]) == pytest.approx({
        "trained/answer/questions_share": 1.0,
        "trained/answer/reward_mean": (0.1 + 0.2 + 0.4) / 3,
        "trained/answer/entropy": (1 * 1.0 + 3 * 2.0 + 1 * 3.0) / 5,
        "trained/answer/length_mean": (1 + 3 + 1) / 3,
        "trained/refinement/questions_share": 0.5,
        "trained/refinement/reward_mean": 0.7,  # the second refinement is not trained
        "trained/refinement/entropy": 0.5,
        "trained/refinement/length_mean": 2.0,
    })  # fmt: skip


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo", "self_verification"])
def test_every_step_of_a_run_has_its_alarms(algorithm: str, tmp_path: Path) -> None:
    module = make(algorithm)
    module.alarms = Alarms(composed().alarms, lambda *words: None)
    fit(module, 1, tmp_path)
    found = {name for name in module.latest if name.startswith(("alarm/", "answers/", "trained/"))}
    assert found <= SECTIONS["Alarms"].keys()
    roles = {name.split("/")[1] for name in found if name.startswith("trained/")}
    assert roles == {"grpo": {"answer"}, "igrpo": {"refinement"}, "self_verification": {"answer"}}[algorithm]
    assert {"alarm/entropy_collapse", "alarm/length_drift", "alarm/answer_differs_from_last_step"} <= found
    assert not any(value for name, value in module.latest.items() if name.startswith("alarm/"))


def test_lengths_of_a_real_run_set_it_off(tmp_path: Path) -> None:
    """Only completions of one token are right: within steps nothing else is written, and entropy is gone."""
    told: list[str] = []
    reward = ScriptedReward(lambda completion: float(len(completion.token_ids) == 1))
    short = make("grpo", reward, learning_rate=0.1, steps=16)
    short.alarms = Alarms(CONFIG, lambda name, words: told.append(name))
    fit(short, 16, tmp_path)
    assert short.latest["answer/length_mean"] == 1.0
    assert "length_drift" in told
    assert short.latest["alarm/length_drift"] == 1.0
