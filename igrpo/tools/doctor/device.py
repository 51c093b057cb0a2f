"""The memory of one device as a table: what is there all the time, and what comes and goes."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.config.schema import RunConfig

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Component:
    """One line of the table."""

    name: str
    bytes: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """What is there only while something goes on."""

    name: str
    components: tuple[Component, ...]

    @property
    def bytes(self) -> float:
        return sum(component.bytes for component in self.components)


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Of one device, against its ``limit`` in bytes."""

    resident: tuple[Component, ...]
    phases: tuple[Phase, ...]
    limit: float

    @property
    def worst(self) -> Phase:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def peak(self) -> float:
        """The most that is there at a time."""
        return sum(component.bytes for component in self.resident) + self.worst.bytes

    @property
    def fits(self) -> bool:
        return self.peak <= self.limit

    @property
    def excess(self) -> float:
        """Bytes over the limit, summed over the phases: falls with any of them, not with the worst alone."""
        resident = sum(component.bytes for component in self.resident)
        return sum(max(0.0, resident + phase.bytes - self.limit) for phase in self.phases)


def on_cpu(config: RunConfig) -> bool:
    """Whether the settings say that no accelerator is used."""
    return config.trainer.device == "cpu"
