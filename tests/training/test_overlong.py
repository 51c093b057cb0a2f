"""The soft overlong penalty in a step: in the reward that is trained on, and in nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from igrpo.training.rows import Overlong, mean_penalty, question_rows
from igrpo.types import Completion, Rollout, Score
from tests.rollouts import rollout, samples, values
from tests.training.models import ADVANTAGE, IMITATION
from tests.training.small_run import ScriptedReward, fit, kept, make, same_weights, spread

OVERLONG = Overlong(limit=8, buffer=4)


def completion(length: int, *, truncated: bool = False) -> Completion:
    ids, reason = tuple(range(length)), "length" if truncated else "stop"
    return Completion(ids, "x", (-1.0,) * length, None, None, reason, 0)  # type: ignore[arg-type]


def answered(*lengths: int, rewards: tuple[float, ...], **changes: Any) -> Rollout:
    completions = tuple(completion(length, truncated=length == 8) for length in lengths)
    scores = [Score(value, value > 0, "right" if value > 0 else "wrong") for value in rewards]
    answers = samples("answer", completions, scores)
    return rollout(answers, trained=[answers], **changes)


def advantages(one: Rollout, overlong: Overlong | None, advantage: Any = ADVANTAGE) -> list[float]:
    return [row.advantage for row in question_rows(one, advantage, mask_truncated=False, overlong=overlong)]


def test_the_penalty_tells_right_answers_apart_by_length() -> None:
    one = answered(4, 6, 8, rewards=(1, 1, 1))
    assert advantages(one, None) == [0, 0, 0]
    # penalties 0, -2/4 and -1: rewards 1, 1/2, 0; mean 1/2, sample standard deviation 1/2
    assert advantages(one, OVERLONG) == pytest.approx([1, 0, -1])
    unscaled = ADVANTAGE.model_copy(update={"scale": "none"})
    assert advantages(answered(4, 6, rewards=(0, 1)), OVERLONG, unscaled) == pytest.approx([-0.25, 0.25])  # 0 and 1/2


def test_the_shorter_of_two_right_answers_is_imitated() -> None:
    assert advantages(answered(7, 4, rewards=(1, 1)), None, IMITATION) == [1, 0]
    assert advantages(answered(7, 4, rewards=(1, 1)), OVERLONG, IMITATION) == [0, 1]


def test_the_mean_is_over_what_is_trained() -> None:
    kept_one, alone = answered(4, 6, rewards=(1, 0)), answered(8, rewards=(1,))  # one alone has no baseline, and no row
    dropped = answered(8, 8, rewards=(0, 0), dropped="all_wrong")
    assert mean_penalty([kept_one, alone, dropped], OVERLONG) == pytest.approx(-0.25)  # (0 - 1/2) / 2
    assert mean_penalty([alone, dropped], OVERLONG) is None


def run(folder: Path, algorithm: str = "igrpo", **changes: Any) -> Any:
    module = make(algorithm, ScriptedReward(spread), objective_changes=changes)
    fit(module, 1, folder)
    return module


def test_the_penalty_changes_weights_but_not_scores_or_selection(tmp_path: Path) -> None:
    plain, penalised = run(tmp_path), run(tmp_path, overlong_buffer=6)
    assert kept(plain).steps == kept(penalised).steps  # the same drafts shown, the same scores kept
    assert not same_weights(plain, penalised)
    names = {name for name in penalised.latest if "overlong" in name}
    assert names == {"train/overlong_penalty_mean"}
    refined = [sample for one in kept(penalised).steps[1] for sample in one.of("refinement")]
    expected = [
        -1.0 if c.truncated else -len(c.token_ids) / 6 for c in (sample.completion for sample in refined)
    ]  # a buffer of the whole limit, 6
    assert penalised.latest["train/overlong_penalty_mean"] == pytest.approx(sum(expected) / len(expected))
    assert not [name for name in plain.latest if "overlong" in name]
    rewards = values(refined)
    assert penalised.latest["refinement/reward_mean"] == pytest.approx(sum(rewards) / len(rewards))
