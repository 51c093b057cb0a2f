"""The profile of a run as a table: its phases, and the operators of the traced steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from igrpo.phases import PhaseTime

#: Schema version of profile/phases.json.
SCHEMA_VERSION = 1

#: Longest name of an operator in the text.
_NAME_LENGTH = 56

_EXPLANATION = (
    "A phase's seconds are without those of the phases in it (indented), and without the\n"
    "traced steps, which are slower. CPU seconds are those of this process, without reward workers."
)


class Operator(NamedTuple):
    """An operator in the traced steps. Seconds are without those of the operators that it calls."""

    name: str
    calls: int
    cpu: float
    device: float


def profile_record(
    times: Mapping[str, PhaseTime], steps: int, traced: Sequence[int], operators: Iterable[Operator], *, top: int
) -> dict[str, Any]:
    """Return the content of phases.json.

    Args:
        times: phases by path, as measured by `igrpo.phases.PhaseTimer`.
        steps: number of steps that were measured.
        traced: the steps in the trace.
        operators: operators in the trace; the ``top`` ones by self time are kept.
    """
    wall, cpu = sum(time.wall for time in times.values()), sum(time.cpu for time in times.values())
    found = sorted(operators, key=lambda one: one.cpu + one.device, reverse=True)
    busy = sum(one.cpu + one.device for one in found)
    return {
        "schema_version": SCHEMA_VERSION,
        "steps": steps,
        "traced_steps": list(traced),
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "phases": [
            {
                "phase": path,
                "calls": times[path].calls,
                "wall_seconds": times[path].wall,
                "cpu_seconds": times[path].cpu,
                "wall_share": times[path].wall / wall if wall else 0.0,
                "cpu_share": times[path].cpu / cpu if cpu else 0.0,
            }
            for path in _in_order(times)
        ],
        "operators": [
            {
                "operator": one.name,
                "calls": one.calls,
                "self_cpu_seconds": one.cpu,
                "self_device_seconds": one.device,
                "share": (one.cpu + one.device) / busy if busy else 0.0,
            }
            for one in found[:top]
        ],
    }


def profile_text(record: Mapping[str, Any]) -> str:
    """Return the table of a `profile_record` as plain text."""
    rows = [("phase", "calls", "CPU s", "share", "wall s", "share")]
    for one in record["phases"]:
        name = one["phase"]
        shown = "  " * name.count("/") + name.rpartition("/")[2]
        rows.append((shown, f"{one['calls'] or ''}", *_seconds(one, "cpu"), *_seconds(one, "wall")))
    totals = (f"{record['cpu_seconds']:.2f}", "", f"{record['wall_seconds']:.2f}", "")
    rows.append((f"all, {record['steps']} steps", "", *totals))
    parts = [f"time by phase\n{_aligned(rows)}", _EXPLANATION]
    if record["operators"]:
        numbers = ", ".join(map(str, record["traced_steps"]))
        lines = [("operator", "calls", "self CPU s", "self device s", "share")]
        lines += [
            (_short(one["operator"]), str(one["calls"]), *_self_seconds(one), f"{one['share']:.1%}")
            for one in record["operators"]
        ]
        parts.append(f"operators in the trace (step {numbers}), by their own time\n{_aligned(lines)}")
    return "\n\n".join(parts) + "\n"


def _short(name: str) -> str:
    name = name.rpartition("evaluate_function: ")[2]
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 3]}..."


def _in_order(times: Mapping[str, PhaseTime]) -> list[str]:
    """Return the paths so that each follows its parent; siblings are in the order in which they were first entered."""
    first: dict[str, int] = {}
    for number, path in enumerate(times):
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            first.setdefault("/".join(parts[:length]), number)
    return sorted(times, key=lambda path: _key(path, first))


def _key(path: str, first: Mapping[str, int]) -> list[tuple[int, str]]:
    parts = path.split("/")
    prefixes = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return [(first[prefix], prefix) for prefix in prefixes]


def _seconds(one: Mapping[str, Any], kind: str) -> tuple[str, str]:
    return f"{one[f'{kind}_seconds']:.2f}", f"{one[f'{kind}_share']:.1%}"


def _self_seconds(one: Mapping[str, Any]) -> tuple[str, str]:
    return f"{one['self_cpu_seconds']:.3f}", f"{one['self_device_seconds']:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            (cell.ljust if place == 0 else cell.rjust)(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
