"""Base class of metrics that combine exactly over micro-batches and processes."""

from dataclasses import dataclass, fields
from typing import TypeVar

import torch

A = TypeVar("A", bound="Accumulator")


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Detached scalar tensors of one or more micro-batches; ``+`` combines them.

    A field whose name ends in ``_max`` is a maximum, and every other field is a sum.
    """

    def __add__(self: A, other: A) -> A:
        combined = {}
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            combined[field.name] = torch.maximum(ours, theirs) if field.name.endswith("_max") else ours + theirs
        return type(self)(**combined)

    def to(self: A, device: torch.device | str) -> A:
        """Return the same numbers on another device, in double precision."""
        return type(self)(**{field.name: getattr(self, field.name).to(device, torch.float64) for field in fields(self)})

    def numbers(self) -> dict[str, float]:
        """Return the fields as Python numbers. Synchronises with the device once."""
        names = [field.name for field in fields(self)]
        return dict(zip(names, torch.stack([getattr(self, name) for name in names]).tolist(), strict=True))

    def finalise(self) -> dict[str, float]:
        """Return the numbers to log, without those that were not measured. Synchronises with the device once."""
        raise NotImplementedError
