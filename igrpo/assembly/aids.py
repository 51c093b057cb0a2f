"""Factory of what test-time modes share: equality of answers, and the rewards that pick."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from igrpo.assembly.answer_equality import AnswerEquality, verifier_settings
from igrpo.assembly.reward import build_reward
from igrpo.config.schema import RunConfig
from igrpo.evaluation.test_time.aids import Aids


def build_aids(
    config: RunConfig, incident_dir: Path | None = None, ledger: Path | None = None, *, today: date | None = None
) -> Aids | None:
    """Build what the modes of ``evaluation.test_time`` share; return None if there are none. The caller closes it.

    The arguments are those of `build_reward`, by which the judges are built.

    Raises:
        ValueError: a judge cannot be built here.
    """
    modes = config.evaluation.test_time
    if not modes:
        return None
    judges = {
        name: build_reward(
            mode.judging, incident_dir, ledger, setting=f"evaluation.test_time.{name}.judge", today=today
        )
        for name, mode in modes.items()
        if mode.judging is not None
    }
    return Aids(AnswerEquality(verifier_settings(config.reward)), judges)
