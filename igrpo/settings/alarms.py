"""Thresholds of the alarms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from igrpo.settings.base import Section, UnitShare


class AlarmsConfig(Section):
    """Thresholds of the warnings of `igrpo.metrics.alarms`; null turns an alarm off."""

    window: PositiveInt
    """Number of steps to average over. The latest steps are compared with the first ones, beyond the sampling error of
    both means; with 1, values are compared directly."""

    entropy_share: Annotated[float, Field(gt=0, lt=1)] | None
    """entropy_collapse: the entropy of trained tokens is below this share of its start. Null: no alarm."""

    length_ratio: Annotated[float, Field(gt=1)] | None
    """length_drift: trained completions are longer or shorter than at the start by this factor. Null: no alarm."""

    answer_differs_rise: UnitShare | None
    """answer_differs_from_last_step: rise of the share of boxed answers that differ from the last calculation before
    them (0.2: twenty percentage points). Null: no alarm."""

    accuracy_fall: Annotated[float, Field(gt=0, le=1)] | None
    """copying: single-shot accuracy on the development split is this far below its best while the reward rises (0.05:
    five percentage points). Null: no alarm."""
