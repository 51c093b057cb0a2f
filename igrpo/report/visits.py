"""Visits to training questions, read from a run's rollouts: the verdicts of first answers and of refinements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from igrpo.report.runs import LoadedRun
from igrpo.runs.rollout_log import read_rollout_text, rollout_files
from igrpo.runs.run_directory import RunDirectory

#: Files whose visits are kept in memory, since a watched sweep reads the same files again.
_FILES_KEPT = 4096

#: Lists of a sample that are not needed and make up most of a line. A quote in a JSON string is escaped, so that text
#: of a model cannot look like such a list.
_LISTS = re.compile(rb'"(?:token_ids|logprobs)":\[[^\]]*\]')


@dataclass(frozen=True, slots=True)
class Visit:
    """Question that was asked in a step.

    Attributes:
        first: whether each answer or draft to the bare question is known to be right, in sampling order.
        refined: verdicts of the refinements that have one.
    """

    step: int
    question: str
    first: tuple[bool, ...]
    refined: tuple[bool, ...]


def visits_of(run: LoadedRun) -> tuple[Visit, ...]:
    """Return the visits of a run in the order of steps. Questions of which no first answer was scored are left out.

    Raises:
        ValueError: the rollouts are not on this machine, were not kept from the first step on, or cannot be read.
    """
    files = [] if run.path is None else rollout_files(RunDirectory(run.path).rollouts)
    if not files:
        raise ValueError("there are no rollouts of a run on this machine")
    try:
        found = tuple(visit for path in files for visit in _visits_in(path, *_version(path)))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the rollouts of {run.name} cannot be read ({type(error).__name__}: {error})") from None
    first = min((visit.step for visit in found), default=None)
    if first != 1:
        begin = "hold no scored answer" if first is None else f"begin at step {first} (tracking.rollout_files_kept)"
        raise ValueError(f"the rollouts of {run.name} {begin}")
    return found


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=_FILES_KEPT)
def _visits_in(path: Path, size: int, changed: int) -> tuple[Visit, ...]:
    """Return the visits in a file. ``size`` and ``changed`` (of this version of it) are part of the cache's key."""
    return tuple(_parsed(read_rollout_text(path)))


def _parsed(lines: Iterator[bytes]) -> Iterator[Visit]:
    for line in lines:
        rollout = json.loads(_LISTS.sub(b'"token_ids":[]', line))
        first = [s for s in rollout["samples"] if s["role"] in ("answer", "draft") and not s["context"]]
        if any(sample["score"] is not None for sample in first):
            yield Visit(
                step=int(rollout["step"]),
                question=str(rollout["question"]["id"]),
                first=tuple(_verdict(sample) is True for sample in first),
                refined=tuple(_known(s for s in rollout["samples"] if s["role"] == "refinement" and s["context"])),
            )


def _known(samples: Iterator[Mapping[str, Any]]) -> Iterator[bool]:
    yield from (verdict for sample in samples if (verdict := _verdict(sample)) is not None)


def _verdict(sample: Mapping[str, Any]) -> bool | None:
    score = sample["score"]
    correct = None if score is None else score["correct"]
    return correct if isinstance(correct, bool) else None


def by_question(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    """Return the visits of each question in the order of steps."""
    found: dict[str, list[Visit]] = {}
    for visit in sorted(visits, key=lambda visit: visit.step):
        found.setdefault(visit.question, []).append(visit)
    return found
