"""Benchmarks that the contamination probe names exist, and are older or newer."""

from __future__ import annotations

from typing import Any

import pytest

from igrpo.config import ConfigError
from tests.composed import config


@pytest.mark.parametrize(
    ("older", "newer", "message"),
    [
        (
            ["tets"],
            [],
            "evaluation.contamination.older: 'tets' is no benchmark of this evaluation; did you mean 'test'?",
        ),
        ([], ["aime25"], "evaluation.contamination.newer: 'aime25' is no benchmark of this evaluation"),
        (["test"], ["test"], "evaluation.contamination: 'test' is in older and in newer"),
    ],
)
def test_a_benchmark_that_cannot_be_probed_is_named(older: list[str], newer: list[str], message: str) -> None:
    settings: dict[str, Any] = {"evaluation.contamination.older": older, "evaluation.contamination.newer": newer}
    with pytest.raises(ConfigError) as error:
        config(settings)
    assert message in str(error.value)


def test_the_test_split_may_be_probed() -> None:
    assert config({"evaluation.contamination.older": ["test"]}).evaluation.contamination.benchmarks == ("test",)
