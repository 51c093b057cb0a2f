"""`igrpo.compose` and `igrpo.grid`: the settings that the command line would have, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import igrpo
from tests import composed


def test_the_settings_are_those_of_the_command_line() -> None:
    config = igrpo.compose("quickstart", ["algorithm=grpo", "trainer.steps=7"])
    assert config == composed.config(None, "experiment=quickstart", "algorithm=grpo", "trainer.steps=7")
    assert (config.algorithm.name, config.trainer.steps, config.run_name) == ("grpo", 7, "quickstart-grpo-s0")
    assert igrpo.compose() == composed.config()


def test_hydra_of_the_caller_stays_as_it_was() -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from igrpo.shipped import shipped

    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        igrpo.compose("quickstart")
        assert GlobalHydra.instance().hydra is mine


def test_a_grid_is_a_list_of_settings() -> None:
    configs = igrpo.grid("quickstart", ["algorithm=grpo,igrpo", "seed=0,1"])
    found = [(config.algorithm.name, config.seed) for config in configs]
    assert found == [("grpo", 0), ("grpo", 1), ("igrpo", 0), ("igrpo", 1)]
    shipped = igrpo.grid("quickstart", ["sweep=quick/grpo_vs_igrpo", "seed=0"])
    assert {config.condition for config in shipped} >= {"grpo", "igrpo", "grpo_half"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: igrpo.compose("quickstart", ["trainer.stpes=7"]), "trainer.stpes.*trainer.steps"),
        (lambda: igrpo.compose("quickstart", ["trainer.steps=0"]), "trainer.steps"),
        (lambda: igrpo.compose("quikstart"), "experiment=quikstart.*quickstart"),
        (lambda: igrpo.compose("quickstart", "seed=1"), r"overrides='seed=1'.*list"),
        (lambda: igrpo.compose("compare", ["data.path=x", "model.name_or_path=y"]), "igrpo.grid"),
        (lambda: igrpo.grid("quickstart"), "several values"),
        (lambda: igrpo.grid("quickstart", ["sweep=search_lr"]), "search_lr.*igrpo train"),
    ],
)
def test_mistakes_are_named(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(igrpo.ConfigError, match=words):
        call()
