"""MathVerifier as a reward: outcomes, counts, incidents, threads and event loops."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from igrpo.rewards.base import Reward, RewardError, checked_score
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.types import Score
from tests.rewards.helpers import completion, question
from tests.rewards.math.test_pool import SLOW


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    made = MathVerifier(workers=1, cpu_limit_s=1.0)
    yield made
    made.close()


def score(verifier: MathVerifier, gold: str, *texts: str) -> list[Score]:
    return list(asyncio.run(checked_score(verifier, question(gold), [completion(text) for text in texts])))


def test_it_is_a_reward_and_keeps_the_order(verifier: MathVerifier) -> None:
    assert isinstance(verifier, Reward)
    scores = score(verifier, "0.5x", r"\boxed{\frac{x}{2}}", r"\boxed{x}", r"\boxed{\frac{x}{2}}", "")
    assert [s.outcome for s in scores] == ["right", "wrong", "right", "unparsable"]
    assert [s.value for s in scores] == [1.0, 0.0, 1.0, 0.0]
    assert [s.correct for s in scores] == [True, False, True, False]
    assert [s.answer for s in scores] == [r"\frac{x}{2}", "x", r"\frac{x}{2}", None]


@pytest.mark.parametrize(("program", "reason"), [("/bin/false", "exit code 1"), ("/no/such/program", "FileNotFound")])
def test_a_verifier_that_cannot_start_stops_the_run(program: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    verifier = MathVerifier(workers=1)
    for _ in range(2):
        with pytest.raises(RewardError, match=rf"does not start \({reason}.*{program}.*memory_limit_mb=1024"):
            score(verifier, "0.5x", r"\boxed{\frac{x}{2}}")
    assert set(verifier.counts.values()) == {0}
    verifier.close()


def test_simple_answers_start_no_worker() -> None:
    verifier = MathVerifier()
    scores = verifier.score_sync(question("1000"), ["1,000", "1001", "no", r"\boxed{1000.0}", r"\boxed{\frac{1}{2}}"])
    assert [s.outcome for s in scores][:2] == ["right", "wrong"]
    assert [s.outcome for s in scores][3:] == ["right", "wrong"]
    assert verifier.score_sync(question("1/2"), ["0.5", r"\frac{2}{4}", "0.25"])[1].outcome == "right"


@pytest.mark.parametrize(("text", "outcome"), [(r"\boxed{9^{9^9}}", "refused"), (rf"\boxed{{{SLOW}}}", "timed_out")])
def test_missing_verdicts_are_counted_logged_and_saved(
    text: str, outcome: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = MathVerifier(workers=1, cpu_limit_s=0.5, unevaluated="accepted", incident_dir=tmp_path / "incidents")
    with caplog.at_level(logging.WARNING, logger="igrpo.rewards.math.verifier"):
        (result,) = score(verifier, "9", text)
    verifier.close()
    assert (result.value, result.correct, result.outcome) == (0.0, None, outcome)
    assert verifier.counts[result.outcome] == 1
    assert outcome in caplog.text
    assert "q1" in caplog.text
    (file,) = (tmp_path / "incidents").iterdir()
    (incident,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (incident["outcome"], incident["question"], incident["gold"]) == (outcome, "q1", "9")
    assert incident["answer"] == result.answer


def test_verdicts_are_counted_and_make_no_noise(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    verifier = MathVerifier(incident_dir=tmp_path)
    with caplog.at_level(logging.WARNING):
        score(verifier, "5", r"\boxed{5}", r"\boxed{6}", r"\boxed{5}", "")
    counts = {"right": 2, "wrong": 1, "unparsable": 1, "refused": 0, "timed_out": 0, "crashed": 0, "unscored": 0}
    assert dict(verifier.counts) == counts
    assert caplog.text == ""
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_refused_quickly(verifier: MathVerifier) -> None:
    (result,) = score(verifier, "5", r"\boxed{" + "1+" * 500_000 + "1}")
    assert result.outcome == "refused"


def test_several_event_loops_in_several_threads_at_once() -> None:
    verifier = MathVerifier(workers=2)
    results: dict[int, list[Score]] = {}

    def loop(number: int) -> None:
        texts = [rf"\boxed{{{i}x+{number}}}" for i in range(1, 4)]
        results[number] = score(verifier, rf"\frac{{4x+{2 * number}}}{{2}}", *texts)

    threads = [threading.Thread(target=loop, args=(number,)) for number in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verifier.close()
    assert {number: [s.outcome for s in scores] for number, scores in results.items()} == {
        3: ["wrong", "right", "wrong"],
        5: ["wrong", "right", "wrong"],
    }


def test_good_answers_do_not_wait_for_poisoned_ones() -> None:
    verifier = MathVerifier(workers=1, unevaluated="accepted", cpu_limit_s=100, wall_limit_s=1000)
    poison = [completion(rf"\boxed{{\prod_{{k=1}}^{{{1_000_000 + i}}}k}}") for i in range(4)]

    async def run() -> list[str]:
        poisoned = asyncio.create_task(verifier.score(question("9"), poison))
        await asyncio.sleep(0)  # it is asked first
        scores = await verifier.score(question("2x"), [completion(rf"\boxed{{x+{i}x}}") for i in (1, 2, 3)])
        assert not poisoned.done()
        poisoned.cancel()
        return [score.outcome for score in scores]

    assert asyncio.run(run()) == ["right", "wrong", "wrong"]
    verifier.close()


def child(verifier: MathVerifier, answers: Any) -> None:
    answers.put(verifier.score_sync(question("2x"), [r"\boxed{x+x}"])[0].outcome)
    verifier.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_starts_workers_of_its_own() -> None:
    verifier = MathVerifier(workers=1)
    assert verifier.score_sync(question("2x"), [r"\boxed{3x-x}"])[0].outcome == "right"
    before = verifier.worker_pids
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=child, args=(verifier, answers))
    process.start()
    assert answers.get(timeout=60) == "right"
    process.join()
    assert verifier.score_sync(question("2x"), [r"\boxed{4x-2x}"])[0].outcome == "right"
    assert verifier.worker_pids == before
    verifier.close()


def test_the_answer_format_is_obeyed() -> None:
    text = "<answer>1</answer> or \\boxed{2}\n3"
    for name, right in (("boxed", "2"), ("answer_tag", "1"), ("last_line", "3")):
        assert MathVerifier(answer_format=name).score_sync(question(right), [text])[0].outcome == "right"  # type: ignore[arg-type]
    assert MathVerifier(answer_format="boxed").score_sync(question("3"), ["3"])[0].outcome == "unparsable"
    assert MathVerifier(answer_format=["boxed", "last_line"]).score_sync(question("3"), ["3"])[0].outcome == "right"


def test_a_question_without_gold_answer_is_said(caplog: pytest.LogCaptureFixture) -> None:
    (result,) = MathVerifier().score_sync(question(" "), [r"\boxed{1}"])
    assert (result.value, result.outcome) == (0.0, "unparsable")
    assert "no gold answer" in caplog.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"answer_format": "box"}, r"answer_format=\['box'\]"),
        ({"answer_format": []}, "choose one or more"),
        ({"workers": 0}, "workers=0"),
        ({"percent": "maybe"}, "percent='maybe'"),
        ({"base_subscript": "x"}, "base_subscript='x'"),
        ({"cpu_limit_s": -1}, "cpu_limit_s=-1"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MathVerifier(**settings)


def test_text_is_never_run_as_python(verifier: MathVerifier, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    attacks = [
        f'__import__("os").system("touch {target}")',
        f"__import__('os').system('touch {target}')",
        rf"\text{{__import__('os').system('touch {target}')}}",
        f"exec(\"open('{target}','w')\")",
        f"(lambda: open('{target}','w'))()",
        f"1+__import__('pathlib').Path('{target}').touch()",
    ]
    for attack in attacks:
        for text in (rf"\boxed{{{attack}}}", attack, f"The answer is ${attack}$"):
            assert score(verifier, "1", text)[0].outcome != "right"
    assert not target.exists()
    assert os.listdir(tmp_path) == []
