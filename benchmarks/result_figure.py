"""The figure at the top of the README: accuracy after training on both tasks, from the tables of their reports.

python -m benchmarks.result_figure      (writes docs/result.svg)
"""

from __future__ import annotations

import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.published import ROOT, name_of, sections
from igrpo.files import write_text_atomic
from igrpo.report.figure_style import FAINT, WIDTH, Drawing, house_style, looks, render

FIGURE = ROOT / "docs" / "result.svg"
RESULTS = ROOT / "benchmarks" / "results"
TASKS = (
    ("Small task: chains of five operations, 5 seeds", RESULTS / "ablation" / "tables.md"),
    ("SmolLM2-135M: products of two numbers, 3 seeds", RESULTS / "times_tables" / "tables.md"),
)
_METRIC = "Single-shot accuracy, test (%)"


def svg() -> str:
    """Return the figure as an SVG element: one panel per task, one row per condition, with 95 % intervals."""
    finals = [sections(file.read_text(encoding="utf-8").replace("\\_", "_"), "Results after training")[_METRIC]
              for _, file in TASKS]  # fmt: skip
    with house_style():
        canvas = Canvas(figsize=(WIDTH, 3.6), layout="constrained")
        axes = canvas.subplots(len(TASKS), 1, sharex=True, height_ratios=[len(final) + 0.2 for final in finals])
        for (title, _), final, axis in zip(TASKS, finals, axes, strict=True):
            _panel(axis, title, final)
        axes[-1].set_xlabel("right answers to the bare question, %")
        return render(Drawing("result", "Accuracy of GRPO and iGRPO after training", "", canvas)).svg


def _panel(axis: Axes, title: str, final: dict[str, dict[str, str]]) -> None:
    """Draw the accuracy of each condition after training, and a line at the accuracy before it."""
    styles = looks(list(final), "grpo")
    before = float(final["grpo"]["before"])
    axis.axvline(before, color=FAINT, linestyle=":")
    below = (before, len(final))
    axis.annotate(f"before: {before:g}", below, xytext=(5, 0), textcoords="offset points", va="center", color=FAINT)
    for row, (condition, cells) in enumerate(final.items(), start=1):
        low, high = (float(end) for end in re.findall(r"-?[\d.]+", cells["95 % interval"]))
        style, value = styles[condition], float(cells["after"])
        axis.plot([low, high], [row, row], color=style.colour, linewidth=1.8)
        axis.plot([value], [row], color=style.colour, marker=style.marker, markersize=6)
        axis.annotate(cells["after"], (high, row), xytext=(5, 0), textcoords="offset points", va="center")
    axis.set_title(title)
    axis.set_xlim(0, 108)
    axis.set_ylim(len(final) + 0.6, 0.4)
    axis.set_yticks(range(1, len(final) + 1), [name_of(condition).strip("`") for condition in final])
    axis.grid(visible=False, axis="y")


if __name__ == "__main__":
    write_text_atomic(FIGURE, svg())
