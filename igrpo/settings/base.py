"""Base class and shared types of the schema's sections."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

UnitShare = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
TopP = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """Base class of every section: immutable, rejects unknown keys, does not convert text to numbers.

    The text under a field is its description on the pages of help and in docs/reference/settings.md.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # on first use, and what a section holds only as a part of it: imports are quicker
    )
