"""Settings of the importance weights for samplers that differ from the trainer."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat

from igrpo.settings.base import Section


class CorrectionConfig(Section):
    """Correction for samplers whose log-probs differ from the trainer's (another engine or precision).

    The weight of a token is pi_old(trainer) / pi_old(sampler) of that token, or of its whole ``sequence``. ``truncate``
    caps it at ``high``; ``mask`` removes weights outside the range from ``low`` to ``high``.
    """

    level: Literal["none", "token", "sequence"]
    bound: Literal["truncate", "mask"]
    low: PositiveFloat | None
    high: PositiveFloat | None
