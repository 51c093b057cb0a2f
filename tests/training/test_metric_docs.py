"""Every name that a step logs is documented, and every documented phase and counter is logged."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.metrics import METRIC_DOCS
from igrpo.training.metric_docs import PHASE_DOCS, TRAINING_METRIC_DOCS
from tests.training.small_run import fit, make


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
def test_every_name_is_documented(algorithm: str, tmp_path: Path) -> None:
    module = make(algorithm)
    fit(module, 2, tmp_path)
    phases = {f"{prefix}/{phase}" for prefix in ("seconds", "step_seconds") for phase in PHASE_DOCS}
    known = METRIC_DOCS.keys() | TRAINING_METRIC_DOCS.keys() | phases
    assert module.latest.keys() <= known
    missing = TRAINING_METRIC_DOCS.keys() - module.latest.keys()
    assert missing == {"train/kl_reference"}  # only with a reference model
