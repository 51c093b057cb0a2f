"""Base class and shared types of the schema's sections."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

UnitShare = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
TopP = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """Base class of every section: immutable, rejects unknown keys, does not convert text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
