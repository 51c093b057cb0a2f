"""Settings of test-time modes that contradict each other, and where a mode is put."""

from __future__ import annotations

import pytest

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.evaluation.test_time.refine import Refine
from igrpo.settings.judge import JudgeLocalConfig
from igrpo.settings.reward import PythonRewardConfig

MODE = "evaluation.test_time.mine"
REFINE = f"+test_time@{MODE}=refine"


def checked(*settings: str) -> RunConfig:
    with Composer("train") as composer:
        return composer.check_run(list(settings)).config


def test_a_mode_is_added_by_a_name_of_its_own() -> None:
    config = checked("evaluation=test_time", REFINE, f"{MODE}.rounds=3", "evaluation.test_time.refine.drafts=2")
    modes = config.evaluation.test_time
    assert list(modes) == ["majority", "refine", "rsa", "pdr", "mine"]
    mine, other = modes["mine"], modes["refine"]
    assert isinstance(mine, Refine)
    assert isinstance(other, Refine)
    assert (mine.rounds, mine.drafts, other.rounds, other.drafts) == (3, 4, 2, 2)
    # refine: 2, 6, 10; rsa: 4, 8, 12; pdr: 6; mine: 4, 8, 12, 16
    assert config.evaluation.budgets == (2, 4, 6, 8, 10, 12, 16)
    assert config.evaluation.most_drafts_shown == 4  # pdr's summary
    assert checked().evaluation.budgets == ()


@pytest.mark.parametrize(("how", "kind"), [("judge_local", JudgeLocalConfig), ("python", PythonRewardConfig)])
def test_a_judge_is_a_reward_of_its_own(how: str, kind: type) -> None:
    needed = (
        f"{MODE}.judge.model=x" if how == "judge_local" else f"{MODE}.judge.target=igrpo.rewards.format:FormatReward"
    )
    mode = checked(REFINE, f"{MODE}.pick=judge", f"+reward@{MODE}.judge={how}", needed).evaluation.test_time["mine"]
    assert isinstance(mode.judging, kind)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([REFINE, f"{MODE}.pick=judge"], rf"{MODE}\.pick=judge needs a judge: add \+reward@{MODE}\.judge=judge_local"),
        (
            [REFINE, f"+reward@{MODE}.judge=judge_local", f"{MODE}.judge.model=x"],
            rf"{MODE}\.judge is not used by {MODE}\.pick=majority",
        ),
        ([REFINE, f"+reward@{MODE}.judge=math_verify"], "judge.name='math_verify': not one of 'judge'"),
        ([f"+test_time@{MODE}=rsa", f"{MODE}.shown=5"], rf"{MODE}\.shown=5 is more than {MODE}\.population=4"),
        ([f"+test_time@{MODE}=pdr", f"{MODE}.distil=random", f"{MODE}.kept=5"], rf"{MODE}\.kept=5 is more than"),
        ([f"+test_time@{MODE}=majority"], rf"{MODE}\.samples=null is no vote, as no other mode draws more"),
        ([f"+test_time@{MODE}=majority", f"{MODE}.samples=1"], rf"{MODE}\.samples=1 is no vote"),
        (["evaluation=test_time", f"+test_time@{MODE}=majority"], r"has 2 modes to compare .* \(majority, mine\)"),
        (["+test_time@evaluation.test_time.Mine=refine"], "test_time.Mine: use only lowercase letters"),
        ([f"+test_time@{MODE}=refined"], "test_time has no 'refined'; did you mean 'refine'"),
    ],
)
def test_contradictions_are_told(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(*settings)


def test_what_a_run_prints_has_the_modes() -> None:
    from igrpo.config.facts import resolved_facts

    facts = dict(resolved_facts(checked("evaluation=test_time", "evaluation.test_time.pdr.repeats=2")))
    assert facts["test-time modes"] == (
        "on the test split and the benchmarks: majority (12 samples each), refine (12 samples each), "
        "rsa (12 samples each), pdr (12 samples each)"
    )
    assert "test-time modes" not in dict(resolved_facts(checked()))
