"""Which waiting requests get rows of the decode batch, and which prompts are prefilled in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.kv_cache import Prefix
from igrpo.types import Completion


@dataclass(eq=False, slots=True)
class Request:
    """One call of ``sample``. ``admitted`` seeds have had rows; ``prefix`` is kept while others still wait for room."""

    prompt: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]
    future: asyncio.Future[tuple[Completion, ...]]
    completions: dict[int, Completion] = field(default_factory=dict)
    admitted: int = 0
    prefix: Prefix | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The next ``count`` seeds of a request get rows."""

    request: Request
    count: int


def take_admissions(waiting: list[Request], free: int, max_rows: int) -> list[Admission]:
    """Fill ``free`` rows with waiting requests, in their order; those that are all in leave ``waiting``.

    A request waits until all its rows fit, or a quarter of the batch: joining costs a copy, and a trickle of single
    rows would pay it at every step.
    """
    admissions = []
    while waiting:
        request = waiting[0]
        left = len(request.seeds) - request.admitted
        count = min(left, free)
        if count < min(left, max(1, max_rows // 4)):
            break
        admissions.append(Admission(request, count))
        free -= count
        if count < left:
            break
        del waiting[0]
    return admissions


def prefill_passes(admissions: Sequence[Admission], max_tokens: int) -> list[list[Admission]]:
    """Split into passes of at most ``max_tokens`` padded tokens (or one prompt); like lengths go together."""
    passes: list[list[Admission]] = []
    for admission in sorted(admissions, key=lambda admission: len(admission.request.prompt)):
        # Sorted: the newest prompt is the longest, so it says to what the others are padded.
        if passes and (len(passes[-1]) + 1) * len(admission.request.prompt) <= max_tokens:
            passes[-1].append(admission)
        else:
            passes.append([admission])
    return passes
