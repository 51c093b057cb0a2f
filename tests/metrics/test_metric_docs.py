"""Every name that a step logs is documented, and every documented phase and counter is logged."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.metrics.definitions import PHASE_DOCS, TRAINING_METRIC_DOCS
from igrpo.metrics.samples import METRIC_DOCS
from igrpo.settings.importance_weights import PolicyShapingConfig
from tests.training.small_run import ScriptedReward, fit, make, spread


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo", "critique_grpo", "self_verification"])
def test_every_name_is_documented(algorithm: str, tmp_path: Path) -> None:
    wrong = ScriptedReward(lambda completion: -spread(completion))  # no answer is right: all are criticised
    shape = PolicyShapingConfig(method="shape", gamma=0.1)
    module = make(algorithm, wrong, transfer=shape if algorithm == "critique_grpo" else None)
    fit(module, 2, tmp_path)
    phases = {f"{prefix}/{phase}" for prefix in ("seconds", "step_seconds") for phase in PHASE_DOCS}
    known = METRIC_DOCS.keys() | TRAINING_METRIC_DOCS.keys() | phases
    assert module.latest.keys() <= known
    missing = {
        name for name in TRAINING_METRIC_DOCS.keys() - module.latest.keys() if not name.startswith("transferred/")
    }
    assert missing == {"train/kl_reference", "memory/peak_gib", "train/canary_gap"}  # a reference, CUDA, vLLM
    own = {"critique_grpo": "critique/completions", "self_verification": "verify/completions"}
    assert {name for name in own.values() if name in module.latest} == {own[name] for name in own if name == algorithm}
