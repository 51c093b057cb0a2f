"""Settings for training a completion as an answer to a prompt other than the one it was sampled from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from igrpo.settings.base import Section


class TruncateConfig(Section):
    """Truncated importance weights.

    The weight is pi_old(o | trained prompt) / pi_old(o | sampled prompt) of a ``token`` or of the whole ``sequence``,
    at most ``cap``. With level ``none`` it is 1, which is biased and serves as a control.
    """

    method: Literal["truncate"]
    level: Literal["token", "sequence", "none"]
    cap: PositiveFloat


class ShapeConfig(Section):
    """Policy shaping without weights: a token's term is A * pi / (pi + gamma), with pi given the trained prompt."""

    method: Literal["shape"]
    gamma: PositiveFloat


TransferConfig = Annotated[TruncateConfig | ShapeConfig, Field(discriminator="method")]
