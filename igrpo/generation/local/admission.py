"""Admission of waiting requests to the decode batch, and grouping of prompts for prefilling."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.kv_cache import Prefix
from igrpo.types import Completion


@dataclass(eq=False, slots=True)
class Request:
    """A call of ``sample``.

    ``admitted`` is the number of seeds that have been given rows. ``prefix`` is kept while other seeds still wait for
    rows.
    """

    prompt: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]
    future: asyncio.Future[tuple[Completion, ...]]
    completions: dict[int, Completion] = field(default_factory=dict)
    admitted: int = 0
    prefix: Prefix | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A request and the number of its next seeds that get rows."""

    request: Request
    count: int


def take_admissions(waiting: list[Request], free: int, max_rows: int) -> list[Admission]:
    """Fill ``free`` rows with waiting requests in order, and remove fully admitted requests from ``waiting``.

    A request waits until there is room for all its rows or for a quarter of the batch: joining costs a copy, and
    admitting single rows would pay that cost at every step.
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
    """Split into passes of at most ``max_tokens`` padded tokens (or one prompt), grouping similar lengths."""
    passes: list[list[Admission]] = []
    for admission in sorted(admissions, key=lambda admission: len(admission.request.prompt)):
        # Sorted by length: the newest prompt is the longest, so the others are padded to its length.
        if passes and (len(passes[-1]) + 1) * len(admission.request.prompt) <= max_tokens:
            passes[-1].append(admission)
        else:
            passes.append([admission])
    return passes
