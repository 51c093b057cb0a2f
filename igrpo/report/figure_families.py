"""Grouping of curves into figures, with the text that tells the reader what to look for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.labels import capital, quantity, stem
from igrpo.report.model import Curve
from igrpo.types import ANSWER_ROLES

_ACCURACY = "development/single_shot/accuracy"
_REFINED = "development/draft_conditioned/accuracy"


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that share a figure.

    Attributes:
        name: first part of the file names.
        title: title of the figure.
        panels: (metric, panel title) pairs; a panel is drawn if the metric has data.
        look: sentence of the caption that says what to look for, with a budget on the x axis.
        axes: x axes of its curves, budgets or other metrics. A metric is not plotted against itself.
        look_by_axis: replacements for ``look`` by axis.
        y_label: y label of every panel; empty: the words and unit of the metric.
        side_by_side: True for panels beside each other with a shared y axis, False for stacked panels with a shared x
            axis.
        needs: metric that the figure requires; empty: any of the metrics is enough.
        diagonal: True to draw y = x when the x axis is a metric.
        title_across, look_across: title and ``look`` when the x axis is a metric; an empty title means ``title``.
    """

    name: str
    title: str
    panels: tuple[tuple[str, str], ...]
    look: str
    axes: tuple[str, ...] = ("steps",)
    look_by_axis: Mapping[str, str] = field(default_factory=dict)
    y_label: str = ""
    side_by_side: bool = False
    needs: str = ""
    diagonal: bool = False
    title_across: str = ""
    look_across: str = "Compare the curves where they share a value of the horizontal axis."


FAMILIES = (
    Family(
        "accuracy",
        "Single-shot accuracy",
        ((_ACCURACY, ""),),
        "Look for a curve that is above the other by more than the seeds differ.",
        axes=tuple(BUDGET_AXES),
        look_by_axis={name: axis.look for name, axis in BUDGET_AXES.items()},
    ),
    Family(
        "transfer",
        "Single-shot beside draft-conditioned accuracy",
        ((_ACCURACY, "single-shot"), (_REFINED, "draft-conditioned")),
        "A gain on the right that is missing on the left improved refinement and not the answers to the bare question.",
        axes=("steps", _ACCURACY),
        y_label="accuracy, %",
        side_by_side=True,
        needs=_REFINED,
        diagonal=True,
        title_across="Draft-conditioned accuracy",
        look_across="Above the grey diagonal a draft helps; a curve that climbs without moving to the right "
        "improved refinement alone.",
    ),
    Family(
        "entropy",
        "Policy entropy",
        (("train/entropy", "trained samples"), *((f"{role}/entropy", f"{role}s") for role in ANSWER_ROLES)),
        "Look whether the entropy collapses early, and remember that it falls as accuracy rises.",
        axes=("steps", _ACCURACY),
        y_label="entropy, nats per token",
        look_across="Compare at equal accuracy: only there does a higher entropy mean more exploration.",
    ),
    Family(
        "zero-variance",
        "Trained groups without variance",
        (("groups/zero_variance_share", ""),),
        "The higher the curve, the more samples are trained without giving a gradient.",
    ),
    Family(
        "right-given-wrong",
        "Right refinements of wrong drafts",
        (("transfer/right_given_wrong", ""),),
        "Look for a rising curve: refinement that corrects errors and does not merely repeat what was right.",
    ),
    Family(
        "copy",
        "Refinements that repeat the draft's answer",
        (("copy/answer_rate", ""),),
        "A curve close to 100 % means that refinements copy; read it beside the corrected errors.",
    ),
    Family(
        "length",
        "Completion length by role",
        tuple((f"{role}/length_mean", f"{role}s") for role in ANSWER_ROLES),
        "Look for answers that grow or shrink while accuracy stays, and for a budget that tokens would match better.",
        y_label="length, tokens",
    ),
    Family(
        "reward",
        "Training reward",
        (("train/reward", "trained samples"), *((f"{role}/reward_mean", f"{role}s") for role in ANSWER_ROLES)),
        "If the training reward rises and held-out accuracy does not, the policy exploits the reward.",
        y_label="reward",
    ),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """Figure to draw: the curves of a family on one x axis, by panel."""

    family: Family
    axis: str
    panels: tuple[tuple[str, tuple[Curve, ...]], ...]

    @property
    def name(self) -> str:
        return f"{self.family.name}-by-{stem(self.axis)}"

    @property
    def title(self) -> str:
        budget = BUDGET_AXES.get(self.axis)
        against = quantity(self.axis).full if budget is None else budget.label
        across = budget is None and self.family.title_across
        return f"{across or self.family.title} against {against}"

    @property
    def look(self) -> str:
        """Sentence of the caption that says what to look for."""
        look = self.family.look if self.axis in BUDGET_AXES else self.family.look_across
        return self.family.look_by_axis.get(self.axis, look)


def plots(curves: Iterable[Curve]) -> list[Plot]:
    """Return the figures of all curves that have points. A curve outside every family gets a figure of its own.

    Within a family, budgets on the x axis come first, in the order of ``BUDGET_AXES``, then metrics.
    """
    drawn = [curve for curve in curves if curve.x]
    axes = [*BUDGET_AXES, *dict.fromkeys(curve.axis for curve in drawn if curve.axis not in BUDGET_AXES)]
    return [plot for family in (*FAMILIES, *_others(drawn)) for plot in _family_plots(family, drawn, axes)]


def _family_plots(family: Family, curves: list[Curve], axes: list[str]) -> list[Plot]:
    found = []
    for axis in axes:
        here = [curve for curve in curves if curve.axis == axis]
        if family.needs and not any(curve.metric == family.needs for curve in here):
            continue
        panels = [(title, tuple(c for c in here if c.metric == metric)) for metric, title in family.panels]
        panels = [panel for panel in panels if panel[1]]
        if panels:
            found.append(Plot(family, axis, tuple(panels)))
    return found


def _others(curves: list[Curve]) -> list[Family]:
    known = {metric for family in FAMILIES for metric, _ in family.panels}
    names = dict.fromkeys(curve.metric for curve in curves if curve.metric not in known)
    look = "Look for a curve that differs from the others by more than the seeds differ."
    return [Family(stem(name), capital(quantity(name).full), ((name, ""),), look) for name in names]
