"""The judge that checks every step of a chain, alone and as the reward of a run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from experiments.step_judge import server, step_score
from tests.end_to_end import runs

PROBLEM = "6 -7 -1 *8"


@pytest.mark.parametrize(
    ("solution", "score"),
    [
        (r"6-7=9-1=8*8=4\boxed{4}", 1.0),
        (r"6-7=9-1=8*8=5\boxed{5}", 0.5 * 2 / 3),
        (r"6-7=9-1=7*8=6\boxed{6}", 0.5 * 1 / 3),
        (r"6-7=8-1=7*8=6\boxed{6}", 0.0),
        (r"\boxed{4}", 0.5),
        (r"6-7=9-1=8*8=4", 0.5),
        (r"6-7=9-1=8*8=4\boxed{4} or \boxed{5}", 0.5),
        ("", 0.0),
    ],
)
def test_steps_and_end_are_half_each(solution: str, score: float) -> None:
    assert step_score(PROBLEM, solution) == pytest.approx(score)


@pytest.mark.slow
def test_it_is_the_reward_of_a_run(tmp_path: Path) -> None:
    with server(0) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            runs.run_here(
                runs.train(
                    tmp_path, "run", "reward=judge", f"reward.base_url=http://127.0.0.1:{serving.server_address[1]}/v1",
                    "reward.model=step_judge", "reward.cache=null", "tracking=none", "trainer.steps=2",
                )
            )  # fmt: skip
        finally:
            serving.shutdown()
            thread.join()
    traces = runs.rollouts(tmp_path / "run")
    seen = 0
    for trace in traces:
        for sample in trace["samples"]:
            expected = step_score(trace["question"]["problem"], sample["text"])
            assert sample["score"]["parts"]["judge"] == pytest.approx(expected)
            seen += 1
    assert seen > 0
    steps = [line for line in runs.metrics(tmp_path / "run") if "judge/requests" in line]
    assert len(steps) == 2
    assert all(line["judge/unscored"] == 0 for line in steps)
