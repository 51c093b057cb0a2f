"""Figure of the gains by difficulty: a point with its interval for each condition and bin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.ticker import FuncFormatter

from igrpo.report.dynamics_model import Gains
from igrpo.report.figure_layout import panels, place
from igrpo.report.figure_style import INK, Drawing, Look, legend_below
from igrpo.report.labels import signed, stem

#: Part of the distance between bins over which the conditions are spread.
_SPREAD = 0.6

_LOOK = (
    "Look whether the gain lies in the questions that were hopeless at the start, or in those that were right now and "
    "then. The samples that chose a question's bin are not those that measured its start."
)


def draw_gains(gains: Sequence[Gains], looks: Mapping[str, Look]) -> Iterator[Drawing]:
    """Draw one figure per task."""
    tasks = list(dict.fromkeys(one.task for one in gains))
    for task in tasks:
        own = [one for one in gains if one.task == task]
        yield _draw(own, looks, task if len(tasks) > 1 else "")


def _draw(gains: Sequence[Gains], looks: Mapping[str, Look], task: str) -> Drawing:
    names = list(dict.fromkeys(found.name for one in gains for found in one.bins))
    names.sort(key=_middle)
    canvas, (axes,) = panels(1, side_by_side=False)
    for i, one in enumerate(gains):
        look = looks[one.condition]
        shift = _SPREAD * ((i + 0.5) / len(gains) - 0.5)
        at = [names.index(found.name) + shift for found in one.bins]
        for x, found in zip(at, one.bins, strict=True):
            ends = found.gain.interval
            if ends is not None:
                axes.plot(
                    (x, x), ends, color=look.colour, linewidth=1.8, label=f"interval {one.condition} {found.name}"
                )
        means = [found.gain.mean for found in one.bins]
        axes.plot(at, means, color=look.colour, marker=look.marker, markersize=6, linestyle="", label=one.condition)
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(100 * value, 1).removesuffix(".0")))
    axes.set_ylabel("gain, percentage points")
    shown = [looks[one.condition] for one in gains]
    legend = legend_below(canvas, [look.handle() for look in shown], [look.label for look in shown])
    place(canvas, [axes], "share right of the samples that chose the bin", legend, side_by_side=False)
    intervals = [found.gain.interval is not None for one in gains for found in one.bins]
    bars = (
        "bars: 95 % intervals over questions and seeds, of several seeds"
        if any(intervals)
        else "one seed has no interval"
    )
    title = "Gains by difficulty at the start"
    return Drawing(
        f"dynamics-gains--{stem(task)}" if task else "dynamics-gains",
        f"{title}, {task}" if task else title,
        f"{_LOOK} Points: means; {bars}.",
        canvas,
    )


def _middle(name: str) -> float:
    """Return where the bin lies, to sort bins of conditions that have different ones."""
    numbers = [_number(text) for text in name.strip("(])").split(",")]
    return sum(numbers) / len(numbers)


def _number(text: str) -> float:
    above, _, below = text.strip().partition("/")
    return float(above) / float(below or 1)
