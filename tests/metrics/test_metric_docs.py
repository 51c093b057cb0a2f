"""Every name that a step logs is defined, and every definition has its form and is in docs/metrics.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from igrpo.config.composing.folders import choices
from igrpo.metrics.alarms import Alarms
from igrpo.metrics.definitions import SECTIONS, STEP_METRICS, as_markdown
from tests.composed import config as composed
from tests.training.small_run import ScriptedReward, fit, make, spread

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize("algorithm", [choice.name for choice in choices("algorithm")])
def test_every_name_is_defined(algorithm: str, tmp_path: Path) -> None:
    wrong = ScriptedReward(lambda completion: -spread(completion))  # no answer is right: all are criticised
    module = make(algorithm, wrong)
    module.alarms = Alarms(composed().alarms, lambda *words: None)
    fit(module, 2, tmp_path)
    assert module.latest.keys() <= STEP_METRICS.keys()
    needed = {"train/kl_reference", "train/canary_gap", "train/overlong_penalty_mean", "train/entropy_coefficient"}
    missing = SECTIONS["Update"].keys() - module.latest.keys()
    assert {name for name in missing if not name.startswith("transferred/")} == needed  # by other settings, and vLLM
    assert SECTIONS["Costs"].keys() - module.latest.keys() == {"memory/peak_gib"} | {
        f"{prefix}/{phase}"
        for prefix in ("seconds", "step_seconds")
        for phase in ("entropies", "evaluation", "checkpoint")
    }
    roles = {name.split("/")[0] for name in module.latest if name.endswith("/completions")}
    assert roles == ROLES[algorithm]


ROLES = {
    "grpo": {"answer"},
    "igrpo": {"draft", "refinement"},
    "critique_grpo": {"answer", "critique", "refinement"},
    "self_verification": {"answer", "verification"},
}


def test_definitions_have_a_unit_and_a_name_that_mlflow_accepts() -> None:
    everything = [pair for section in SECTIONS.values() for pair in section.items()]
    assert len({name for name, _ in everything}) == len(everything)
    for name, text in everything:
        assert re.fullmatch(r"[A-Za-z0-9_\-. /]+", name)
        assert "; " in text, f"{name}: 'unit; definition'"


def test_the_page_of_definitions_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown() + "\n", (
        "python -m igrpo.metrics.definitions > docs/metrics.md"
    )
