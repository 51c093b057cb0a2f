"""A run whose reward is a judge behind real HTTP: what it measures, where it pauses, and how it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.rewards.judge.counts import METRIC_DOCS
from tests.end_to_end import runs, sweeps
from tests.end_to_end.checkpoints import assert_same_training
from tests.rewards.judge.server import Answer, JudgeServer, in_turn, score

pytestmark = pytest.mark.slow

#: The bonus gives every step a gradient, whatever the judge says. 110 tokens a reply: 0.0011.
SETTINGS = ("tracking=none", "checkpoint.every=1", "checkpoint.keep_last=20", "objective.entropy_bonus=0.01",
            "trainer.steps=4", "evaluation.every=9", "evaluation.greedy=false", "evaluation.draft_conditioned=false",
            "reward.concurrency=2", "reward.input_price=10", "reward.output_price=10")  # fmt: skip
COST = 0.0011


def opinion(body: dict[str, Any], number: int) -> Answer:
    """Something that depends on the solution alone; three of eleven are not readable."""
    solution = body["messages"][1]["content"].partition("<<<solution")[2].partition("\n")[2].partition("\n<<<end of")[0]
    digest = sum(map(ord, solution)) % 11
    return Answer("no idea") if digest < 3 else score(digest / 11)


def judged(server: JudgeServer, cache: Path, name: str = "judge") -> tuple[str, ...]:
    return (f"reward={name}", f"reward.base_url={server.url}", "reward.model=m", f"reward.cache={cache}")


def test_a_run_paused_within_a_step_resumes_with_equal_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    with JudgeServer(opinion) as server:
        settings = (*judged(server, tmp_path / "whole.sqlite"), *SETTINGS)
        runs.run_here(runs.train(tmp_path, "whole", *settings))
        asked = len(server.requests)
        steps = runs.training_steps(whole)
        costs = [line["judge/cost"] for line in steps]
        assert len(costs) == 4
        used = runs.summary(whole)["judge"]
        assert used["cost"] == pytest.approx(costs[-1])
        assert used["input_tokens"] == steps[-1]["judge/input_tokens"]

        # in the middle of the third step's replies
        limit = (costs[1] + costs[2]) / 2
        capsys.readouterr()
        settings = (*judged(server, tmp_path / "run.sqlite"), *SETTINGS)
        runs.run_here(runs.train(tmp_path, "run", *settings, f"reward.max_cost={limit:.6f}"), code=75)
        told = capsys.readouterr().err
        assert f"igrpo: paused: reward.max_cost={limit:.6f}"[:30] in told
        assert f"resume with: igrpo train resume={run_dir} reward.max_cost=MORE" in told
        assert "never retrieved" not in told
        assert runs.status(run_dir) == "KILLED"
        assert runs.error(run_dir).startswith("reward.max_cost=")
        assert runs.steps_done(run_dir) == 2
        assert [trace["step"] for trace in runs.rollouts(run_dir)] == [1] * 4 + [2] * 4, "no half-scored step is kept"
        paused_at = len(server.requests) - asked
        assert limit - 1e-6 <= paused_at * COST <= limit + 3 * COST

        # with as little it pauses at the same place, and asks nothing
        runs.run_here(["train", f"resume={run_dir}"], code=75)
        assert len(server.requests) == asked + paused_at

        runs.run_here(["train", f"resume={run_dir}", "reward.max_cost=null"])
        assert runs.status(run_dir) == "FINISHED"
        # what is unreadable is not kept, and is asked for again
        again = sum("no idea" in str(opinion(body, 0).content) for body in server.requests[asked:])
        readable = len(server.requests) - asked - again
        assert readable == sum("no idea" not in str(opinion(body, 0).content) for body in server.requests[:asked])
    for step in (1, 2, 3, 4):
        assert_same_training(whole, run_dir, step)


def test_a_run_of_a_sweep_that_pauses_leaves_the_others_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each run has a limit of its own, and the closing line says what lets the paused ones go on."""
    with JudgeServer(opinion) as server:
        settings = (*judged(server, tmp_path / "cache.sqlite"), *SETTINGS, "trainer.steps=1")
        runs.run_here(sweeps.sweep(tmp_path, *settings, "reward.max_cost=0.0001,null"), code=1)
        printed = capfd.readouterr()
        assert sweeps.states(tmp_path) == ["KILLED", "FINISHED"]
        assert "paused: reward.max_cost=0.0001 is spent" in printed.err, "told at once"
        sweep = tmp_path / "sweep"
        assert f"resume with: igrpo train resume={sweep} reward.max_cost=MORE\n" in printed.out
        runs.run_here(sweeps.resume(tmp_path, "reward.max_cost=100"))
        assert sweeps.states(tmp_path) == ["FINISHED"] * 2
        assert "1 of 2 runs are finished already" in capfd.readouterr().out


def test_what_a_step_reports(tmp_path: Path) -> None:
    with JudgeServer(opinion) as server:
        settings = (*judged(server, tmp_path / "cache.sqlite"), *SETTINGS, "trainer.steps=2")
        runs.run_here(runs.train(tmp_path, "run", *settings))
        steps = runs.training_steps(tmp_path / "run")
        traces = runs.rollouts(tmp_path / "run")
        for line in steps:
            own = [trace for trace in traces if trace["step"] == line["step"]]
            missing = sum(one["score"] is None for trace in own for one in trace["samples"])
            assert {name for name in line if name.startswith("judge/")} == set(METRIC_DOCS)
            assert line["judge/unscored"] == missing
        assert sum(line["judge/unscored"] for line in steps) > 0
        assert all(line["judge/unparsable"] >= line["judge/unscored"] for line in steps)
        scored = [one["score"] for trace in traces for one in trace["samples"] if one["score"]]
        agreed = [s["correct"] == (s["parts"]["rule"] == 1.0) for s in scored]
        shares = [line["judge/agreement"] for line in steps]
        sizes = [
            sum(one["score"] is not None for t in traces if t["step"] == line["step"] for one in t["samples"])
            for line in steps
        ]
        assert sum(a * n for a, n in zip(shares, sizes, strict=True)) == pytest.approx(sum(agreed))
        assert "HTTP Request" not in (tmp_path / "run" / "log.txt").read_text(), "no line for every request"
        assert steps[-1]["judge/cost"] <= len(server.requests) * COST + 1e-9


def test_the_gate_trains_too(tmp_path: Path) -> None:
    with JudgeServer(opinion) as server:
        settings = (*judged(server, tmp_path / "cache.sqlite", "judge_gated"), *SETTINGS, "trainer.steps=1")
        runs.run_here(runs.train(tmp_path, "run", *settings))
    scores = [one["score"] for t in runs.rollouts(tmp_path / "run") for one in t["samples"] if one["score"]]
    assert scores
    for one in scores:
        expected = 1.0 if one["parts"]["rule"] else 0.5 * one["parts"]["judge"]
        assert one["value"] == pytest.approx(expected)
        assert one["correct"] == bool(one["parts"]["rule"])


def test_a_judge_that_is_gone_ends_the_run_with_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with JudgeServer(in_turn(Answer(status=503))) as server:
        settings = (*judged(server, tmp_path / "cache.sqlite"), *SETTINGS, "reward.retries=0")
        runs.run_here(runs.train(tmp_path, "run", *settings), code=1)
        told = capsys.readouterr().err
    assert f"reward.base_url={server.url}: the judge gave no answer" in told
    assert "503" in told
    assert runs.status(tmp_path / "run") == "FAILED"
