"""Thresholds of the alarms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from igrpo.settings.base import Section, UnitShare


class AlarmsConfig(Section):
    """Thresholds of the warnings of `igrpo.metrics.alarms`; null turns an alarm off.

    ``window``: number of steps to average over. Alarms use the sampling error of the means, which one step does not
    give: with a window of 1, the values are compared directly.
    """

    window: PositiveInt
    entropy_share: Annotated[float, Field(gt=0, lt=1)] | None
    length_ratio: Annotated[float, Field(gt=1)] | None
    answer_differs_rise: UnitShare | None
    accuracy_fall: Annotated[float, Field(gt=0, le=1)] | None
