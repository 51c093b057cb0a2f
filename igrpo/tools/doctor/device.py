"""Devices, and the memory of one: resident components, and phases of which only one is active at a time."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.config.schema import RunConfig

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Device:
    """Values of a device from its data sheet: memory in GiB, dense bfloat16 operations and bytes per second."""

    name: str
    memory: float
    flops: float
    bandwidth: float


DEVICES = {
    "a100": Device("A100 80 GB", 80, 312e12, 2.039e12),
    "h100": Device("H100 80 GB", 80, 989e12, 3.35e12),
    "h200": Device("H200 141 GB", 141, 989e12, 4.8e12),
    "l40s": Device("L40S 48 GB", 48, 362e12, 0.864e12),
}


@dataclass(frozen=True, slots=True)
class Component:
    """Line of the memory table."""

    name: str
    bytes: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """Components that are in memory only during one activity."""

    name: str
    components: tuple[Component, ...]

    @property
    def bytes(self) -> float:
        return sum(component.bytes for component in self.components)


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Memory needed on one device, and its ``limit`` in bytes."""

    resident: tuple[Component, ...]
    phases: tuple[Phase, ...]
    limit: float

    @property
    def worst(self) -> Phase:
        """Phase that needs the most memory."""
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def peak(self) -> float:
        """Peak memory: the resident components and the worst phase."""
        return sum(component.bytes for component in self.resident) + self.worst.bytes

    @property
    def fits(self) -> bool:
        return self.peak <= self.limit

    @property
    def excess(self) -> float:
        """Bytes over the limit, summed over the phases, so that an improvement of any phase reduces it."""
        resident = sum(component.bytes for component in self.resident)
        return sum(max(0.0, resident + phase.bytes - self.limit) for phase in self.phases)


def on_cpu(config: RunConfig) -> bool:
    """Return True if the settings use no accelerator."""
    return config.trainer.device == "cpu"
