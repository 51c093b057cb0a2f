"""The judge's score that chooses a draft is the one that trains refinements (paper, section 3), whatever the rule says."""

from __future__ import annotations

import asyncio
from statistics import fmean, stdev
from typing import Any

import pytest

from igrpo.algorithms.base import RolloutContext
from igrpo.algorithms.igrpo import IGRPO
from igrpo.algorithms.selection import best
from igrpo.training.batching import question_rows
from tests.algorithms.fakes import PARAMS, PlainPrompts, ScriptedEngine
from tests.rewards.judge.making import QUESTION, judge
from tests.rewards.judge.server import JudgeServer
from tests.rewards.judge.test_judge import by_text
from tests.training.models import ADVANTAGE

#: The judge's value is the number in hundredths; right by the rule is what ends in 4, which the judge thinks least of.
DRAFTS = ["so 4", "so 50", "so 90", "so 14"]
REFINED = ["so 24", "so 80", "so 50", "so 4"]


@pytest.mark.parametrize("verdict", ["judge", "rule"])
def test_the_score_that_picks_the_draft_trains_refinements(verdict: str) -> None:
    drafts, refined = iter(DRAFTS), iter(REFINED)
    engine = ScriptedEngine(lambda prompt, seed: next(drafts) if prompt == (1,) else next(refined))
    prompts: Any = PlainPrompts()
    algorithm = IGRPO(drafts=4, group_size=4, select=best, ties="first", all_failed="show")
    with JudgeServer(by_text) as server:
        made = judge(server.url, verdict=verdict)
        trace = asyncio.run(algorithm(QUESTION, RolloutContext(engine, made, prompts, PARAMS, 0, 1)))
        made.close()
    first, second = trace.groups
    by_rule = [score.parts["rule"] for score in first.scores]
    assert by_rule == [1.0, 0.0, 0.0, 1.0]
    assert first.rewards_G == [0.04, 0.5, 0.9, 0.14]
    assert second.shown == (2,), "the judge's best, which is wrong by the rule"
    assert second.prompt.token_ids == (1, 0, *map(ord, "so 90"))

    values = [0.24, 0.8, 0.5, 0.04]
    assert second.rewards_G == values
    rows = question_rows(trace, ADVANTAGE, mask_truncated=False)
    assert [row.prompt_ids for row in rows] == [second.prompt.token_ids] * 4
    mean, std = fmean(values), stdev(values)  # 0.395, 0.3281
    assert [row.advantage for row in rows] == pytest.approx([(value - mean) / std for value in values])
