"""How a completion enters the loss that is trained as an answer to another prompt than it was sampled from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from igrpo.config.parts.base import Section


class TruncateConfig(Section):
    """The weight is pi_old(o | trained prompt) / pi_old(o | sampled prompt), of a ``token`` or of the whole
    ``sequence``, at most ``cap``; with the level ``none`` it is 1, which is biased, and so a control."""

    method: Literal["truncate"]
    level: Literal["token", "sequence", "none"]
    cap: PositiveFloat


class ShapeConfig(Section):
    """No weight: the term of a token is A * pi / (pi + gamma), with pi given the trained prompt."""

    method: Literal["shape"]
    gamma: PositiveFloat


TransferConfig = Annotated[TruncateConfig | ShapeConfig, Field(discriminator="method")]
