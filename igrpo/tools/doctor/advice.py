"""Search for changes that make a run fit into memory. Every returned plan was recomputed and fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from igrpo.config.checks import cross_field_problems
from igrpo.config.schema import RunConfig
from igrpo.tools.doctor.changes import MILD, SettingChange, Step, adapters, eight_bit, half_weights, more_devices
from igrpo.tools.doctor.device import DeviceMemory
from igrpo.tools.doctor.engine import EngineMemory, engine_memory
from igrpo.tools.doctor.memory import trainer_memory
from igrpo.tools.doctor.shape import Shape

_ROUTES: tuple[tuple[str, tuple[Step, ...]], ...] = (
    ("on the same devices", (*MILD, eight_bit)),
    ("with more devices", (*MILD, more_devices, *MILD)),
    ("with adapters", (*MILD, adapters, half_weights, *MILD)),
)


@dataclass(frozen=True, slots=True)
class FittingPlan:
    """Changes that together make the run fit, and a name for their kind."""

    name: str
    changes: tuple[SettingChange, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the trainer's devices and of the engine's (None: no vLLM)."""

    trainer: DeviceMemory
    engine: EngineMemory | None

    @property
    def fits(self) -> bool:
        return self.trainer.fits and (self.engine is None or self.engine.fits)


def memory_of(config: RunConfig, shape: Shape, limit: float) -> Memory:
    """Return the memory estimate of a run on devices of ``limit`` bytes."""
    return Memory(trainer_memory(config, shape, limit), engine_memory(config, shape, limit))


def plans(config: RunConfig, shape: Shape, limit: float) -> list[FittingPlan]:
    """Return up to three plans that make the run fit, mildest first; none if it fits, or if no known change suffices.

    The first keeps the devices and the trained weights, the second adds devices, the third trains adapters.
    """
    if memory_of(config, shape, limit).fits:
        return []
    found: list[FittingPlan] = []
    for name, steps in _ROUTES:
        changes = _search(config, shape, limit, steps)
        if changes is not None and all(changes != plan.changes for plan in found):
            found.append(FittingPlan(name, changes))
        if changes is not None and not any(change.cost for change in changes):
            break  # the plan has no cost, so no other is needed
    return found


def applied(config: RunConfig, changes: Sequence[SettingChange]) -> RunConfig:
    """Return the settings with all changes applied."""
    for change in changes:
        config = change.applied(config)
    return config


def _search(config: RunConfig, shape: Shape, limit: float, steps: Sequence[Step]) -> tuple[SettingChange, ...] | None:
    """Apply helpful changes in order until the run fits, then drop those that are not needed."""

    def memory(changes: Mapping[str, SettingChange]) -> Memory:
        return memory_of(applied(config, list(changes.values())), shape, limit)

    taken: dict[str, SettingChange] = {}
    for step in steps:
        for change in step(applied(config, list(taken.values())), shape):
            before = memory(taken)
            if before.fits:
                break
            tried = {**taken, change.key: change}
            allowed = not cross_field_problems(applied(config, list(tried.values())))
            if allowed and _helps(before, memory(tried)):
                taken = tried
    if not memory(taken).fits:
        return None
    for key in list(taken):
        rest = {name: change for name, change in taken.items() if name != key}
        if memory(rest).fits:
            taken = rest
    for key in list(taken):  # replace each change by the mildest one that still fits
        milder = (change for step in steps for change in step(config, shape) if change.key == key)
        taken[key] = next((change for change in milder if memory({**taken, key: change}).fits), taken[key])
    return tuple(taken.values())


def _helps(before: Memory, after: Memory) -> bool:
    if before.engine is None or after.engine is None:
        return after.trainer.excess < before.trainer.excess
    if before.engine.fits:  # the engine must still fit
        return after.engine.fits and after.trainer.excess < before.trainer.excess
    return after.engine.cache > before.engine.cache or after.trainer.excess < before.trainer.excess
