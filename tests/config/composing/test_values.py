"""The values of files read without Hydra are those that Hydra composes."""

from __future__ import annotations

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from igrpo.config.composing.composer import Composer
from igrpo.config.composing.values import composed, flat, preset

#: Choices of each form that the files have: packages, files that include others, presets that select choices.
TOGETHER = [
    {},
    {"reward": "judge_and_rule", "model": "smollm2_135m_q4", "data": "math", "objective": "rloo", "trainer": "ddp"},
    {"reward": "judge_gated", "condition": "igrpo_both_dapo", "experiment": "quickstart", "debug": "fast"},
    {"experiment": "paper/deepseek_r1_distill_qwen_7b_critique_grpo", "evaluation": "default"},
]


@pytest.mark.parametrize("chosen", TOGETHER)
def test_choices_are_composed_as_by_hydra(chosen: dict[str, str], composer: Composer) -> None:
    config = composer._compose([f"{group}={name}" for group, name in chosen.items()], RunMode.RUN)
    expected = OmegaConf.to_container(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
    found = composed(chosen)
    found.pop("hydra", None)
    assert found == expected


def test_a_choice_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError, match="algorithm has no choice 'igrop'"):
        preset("algorithm", "igrop")
    assert composed({"algorithm": "igrop", "nope": "x"}).keys() == composed({}).keys() - {"algorithm"}


def test_flat() -> None:
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": [1]})) == {"a.b": 1, "a.c": {}, "d": [1]}
