"""A real small model as the judge of short runs: its replies are read, kept, counted, and never take a step down."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import runs
from tests.smollm2.times_tables import arguments, judge, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("smollm2"), pytest.mark.timeout(1200)]

SHORT = ("algorithm=grpo", "trainer.steps=1", "trainer.questions_per_step=2", "evaluation.questions=1",
         "evaluation.samples=1", "evaluation.draft_conditioned=false",
         "sampling.temperature=1.0")  # fmt: skip


def judged(run_dir: Path, reward: Sequence[str], *settings: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The measurements and the samples of a run of one step; its checkpoint is removed."""
    run(arguments(run_dir, *SHORT, *settings, reward=reward), run_dir.parent)
    shutil.rmtree(run_dir / "checkpoints")
    (line,) = [line for line in runs.metrics(run_dir) if "judge/requests" in line]
    return line, [one for trace in runs.rollouts(run_dir) for one in trace["samples"]]


def test_replies_are_read_counted_and_kept(work: Path, smollm2: Path) -> None:
    settings = judge("judge_local", smollm2, work / "cache.sqlite")
    line, samples = judged(work / "first", settings)
    scored = [one["score"] for one in samples if one["score"] is not None]
    missing = [one for one in samples if one["score"] is None]
    assert scored, "some can be read"
    assert all(0 <= score["value"] <= 1 and score["parts"]["rule"] in {0.0, 1.0} for score in scored)
    assert len(scored) + len(missing) == 2 * 4
    assert line["judge/unscored"] == len(missing)
    assert line["judge/unparsable"] >= 2 * len(missing), "each of these was asked for twice"
    assert line["judge/requests"] == len(scored) + line["judge/unparsable"]
    assert line["judge/cached_share"] == 0
    agreed = [score["correct"] == (score["parts"]["rule"] == 1.0) for score in scored]
    assert line["judge/agreement"] == pytest.approx(sum(agreed) / len(agreed))

    again, same = judged(work / "second", settings)
    assert again["judge/cached_share"] == pytest.approx(len(scored) / 8)
    assert again["judge/requests"] == 2 * len(missing), "only of what could not be read"
    assert [one["score"] for one in same if one["score"] is not None] == scored


def test_a_judge_that_cannot_be_read_at_all_takes_no_step_down(work: Path, smollm2: Path) -> None:
    """With the shipped prompt, greedily, so small a model repeats what it is to grade."""
    shipped = ("reward=judge_local", f"reward.model={smollm2}", f"reward.cache={work / 'none.sqlite'}",
               "reward.max_tokens=24")  # fmt: skip
    line, samples = judged(work / "unreadable", shipped, "completions_per_question=2", "trainer.questions_per_step=1")
    assert [one["score"] for one in samples] == [None, None]
    assert (line["judge/unscored"], line["judge/unparsable"], line["judge/requests"]) == (2, 4, 4)
    assert runs.status(work / "unreadable") == "FINISHED"
