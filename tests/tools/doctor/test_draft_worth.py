"""What the doctor says of a draft's worth: the run's own first evaluation, in small, and within its time."""

from __future__ import annotations

import asyncio
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from igrpo import assembly
from igrpo.config import RunConfig
from igrpo.tools.doctor.diagnosis import Diagnosis
from igrpo.tools.doctor.live_checks import live_checks
from igrpo.tools.doctor.page import print_page
from igrpo.tools.doctor.static_checks import Check
from tests.assembly.parts import write_problems
from tests.composed import config as composed

#: Random weights answer nothing right: rewards of `tests.own_rewards` have verdicts of their own.
BYTES = ("model=byte_level", "prompt=boxed", "data=jsonl", "reward=python")
SHORT = {"sampling.max_completion_tokens": 8, "evaluation.questions": 8, "evaluation.greedy": False, "model.hidden": 32,
         "model.layers": 1, "model.mlp": 32}  # fmt: skip


def made(reward: str, problems: str, *overrides: str, **changes: Any) -> RunConfig:
    return composed(SHORT | changes, *BYTES, f"reward.target=tests.own_rewards:{reward}", problems, *overrides)


def worth(config: RunConfig, seconds: float = 600.0) -> Check:
    checks = {check.name: check for check in live_checks(config, None, load=False, draft_seconds=seconds)}
    return checks["a draft's worth"]


@pytest.fixture
def problems(tmp_path: Path) -> str:
    return f"data.path={write_problems(tmp_path / 'problems.jsonl', count=120)}"


def test_it_is_what_the_run_s_first_evaluation_says(problems: str) -> None:
    config = made("even", problems)
    policy = assembly.build_policy(config, Console(quiet=True))
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    engine = assembly.build_engine(config, policy, prompts, Path())
    reward = assembly.build_reward(config.reward, None)
    questions = assembly.fitting_source(config, prompts).development
    parts = assembly.Parts(policy, engine, reward, prompts)
    first = asyncio.run(assembly.build_evaluator(config, questions, parts).run())
    assert first.draft_worth is not None
    check = worth(config)
    assert check.text.startswith(f"{first.draft_worth}; 8 development questions of 4 samples")
    assert check.state in {"ok", "warning"}
    # however little the run itself evaluates
    off = made("even", problems, **{"evaluation.draft_conditioned": False, "evaluation.samples": 1})
    assert worth(off).text.startswith(f"{first.draft_worth}; ")


def test_worthless_drafts_are_a_warning_and_no_failure(problems: str) -> None:
    check = worth(made("RightAtFirst", problems))
    assert check.state == "warning"
    assert check.text.startswith("0 % right given a right draft (-66.7 points), 0 % right given a wrong draft (-100.0")
    assert "24 right and 8 wrong drafts" in check.text
    assert "prompt=turns" in check.text
    grpo = worth(made("RightAtFirst", problems, "condition=grpo"))
    assert grpo.state == "ok"
    assert "prompt=turns" not in grpo.text

    out = StringIO()
    found = Diagnosis(made("RightAtFirst", problems), None, None, (), {}, None, (), [check], timed=False)
    assert found.well
    print_page(found, Console(file=out, width=100))
    assert "there is a warning above" in out.getvalue()


def test_a_model_that_answers_nothing_right_is_not_judged(problems: str) -> None:
    check = worth(composed(SHORT, *BYTES[:-1], problems))
    assert check.state == "not checked"
    assert "too few right drafts (0 of at least 5)" in check.text


def test_what_was_done_in_time_counts(problems: str) -> None:
    check = worth(made("SlowAfterEight", problems), seconds=4)
    assert "8 right and 8 wrong drafts" in check.text
    assert check.text.partition("4 development questions")[2].startswith(
        " of 4 samples, of 8: more than 4 s are needed (--draft-seconds)"
    )
    none = worth(made("even", problems), seconds=1e-6)
    assert none.state == "not checked"
    assert "more than 1e-06 s are needed (--draft-seconds)" in none.text


def test_no_judge_is_asked(problems: str) -> None:
    judge = ("reward=judge", "reward.base_url=https://judge.invalid/v1", "reward.model=m")
    check = worth(composed(SHORT, *BYTES[:-1], *judge, problems))
    assert check.text.endswith("; judged by the rule instead of the judge")


def test_a_reward_that_scores_nothing_measures_nothing(problems: str) -> None:
    check = worth(made("Never", problems))
    assert (check.state, check.text) == ("not checked", "not measured: the reward could score no answer")


def test_an_evaluation_that_would_fail_is_a_failure(problems: str) -> None:
    check = worth(made("NoVerdicts", problems))
    assert check.state == "failed"
    assert "left Score.correct unknown on all" in check.text
