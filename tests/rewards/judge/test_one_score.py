"""The judge's score that chooses a draft is the one that trains refinements (paper, section 3), whatever the rule says."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest

from igrpo.training.rows import question_rows
from igrpo.types import scores
from tests.algorithms.fakes import ScriptedEngine, context, igrpo, run
from tests.rewards.judge.making import QUESTION, judge
from tests.rewards.judge.server import JudgeServer
from tests.rewards.judge.test_judge import by_text
from tests.rollouts import values
from tests.training.models import ADVANTAGE

#: The judge's value is the number in hundredths; right by the rule is what ends in 4, which the judge thinks least of.
DRAFTS = ["so 4", "so 50", "so 90", "so 14"]
REFINED = ["so 24", "so 80", "so 50", "so 4"]


@pytest.mark.parametrize("verdict", ["judge", "rule"])
def test_the_score_that_picks_the_draft_trains_refinements(verdict: str) -> None:
    drafts, refined = iter(DRAFTS), iter(REFINED)
    engine = ScriptedEngine(lambda prompt, seed: next(drafts) if prompt == (1,) else next(refined))
    with JudgeServer(by_text) as server:
        made = judge(server.url, verdict=verdict)
        rollout = run(igrpo(4), context(engine, 8, reward=made, step=1), QUESTION)
        made.close()
    first, second = rollout.rounds
    assert [score.parts["rule"] for score in scores(first)] == [1.0, 0.0, 0.0, 1.0]
    assert values(first) == [0.04, 0.5, 0.9, 0.14]
    assert {sample.context for sample in second} == {((1, 2),)}, "the judge's best, which is wrong by the rule"
    prompt = (1, 0, *map(ord, "so 90"))

    expected = [0.24, 0.8, 0.5, 0.04]
    assert values(second) == expected
    rows = question_rows(rollout, ADVANTAGE, mask_truncated=False)
    assert [row.prompt_ids for row in rows] == [prompt] * 4
    mean, std = fmean(expected), stdev(expected)  # 0.395, 0.3281
    assert [row.advantage for row in rows] == pytest.approx([(value - mean) / std for value in expected])
