"""Which curves share a figure, and what its reader should look for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from igrpo.report.labels import AXES, AXIS_LABELS, capital, quantity, stem
from igrpo.report.model import Curve

_ACCURACY = "development/single_shot/accuracy"
_REFINED = "development/draft_conditioned/accuracy"
_STAGE_1, _STAGE_2 = "stage 1: answers to the bare question", "stage 2: refinements"

_BY_COST = {
    "steps": "A step is an update, not a price: look at the other axes before calling the higher curve better.",
    "samples": "The budget that methods are matched by as a rule: a curve that lies above the other by more than its "
    "seeds differ learns more from each sample.",
    "generated_tokens": "A curve further left reaches the same accuracy with less sampled text.",
    "trained_tokens": "A curve further left needs fewer tokens in the optimizer; drafts are sampled without being "
    "trained on.",
    "flops": "All arithmetic of training counts here, that of sampling too: a curve further left is cheaper.",
    "seconds": "Wall time of training on this machine, without evaluation and checkpoints: what waiting for it costs.",
}


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that belong together.

    Attributes:
        name: begins the name of the files.
        title: what is shown.
        panels: (metric, what its panel is called); one panel each, as far as it has data.
        look: the sentence of the caption that says what to look for, against an axis of the budget.
        look_by_axis: that sentence, where it depends on the axis.
        y_label: of every panel; empty: the metric's own words and unit.
        side_by_side: panels beside each other on one y axis, else one above the other on one x axis.
        needs: the metric without which there is no such figure; empty: any of them will do.
        title_across, look_across: the same for another metric on the x axis; an empty title stays.
        diagonal: whether to draw y = x there.
    """

    name: str
    title: str
    panels: tuple[tuple[str, str], ...]
    look: str
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
        "Look for a curve that lies above the other by more than the seeds differ.",
        look_by_axis=_BY_COST,
    ),
    Family(
        "transfer",
        "Single-shot beside draft-conditioned accuracy",
        ((_ACCURACY, "single-shot"), (_REFINED, "draft-conditioned")),
        "A gain on the right that is missing on the left improved the refiner and not the bare answer.",
        y_label="accuracy, %",
        side_by_side=True,
        needs=_REFINED,
        diagonal=True,
        title_across="Draft-conditioned accuracy",
        look_across="Above the grey diagonal a draft helps; a curve that climbs without moving to the right improved "
        "the refiner alone.",
    ),
    Family(
        "entropy",
        "Policy entropy by stage",
        (("stage1/entropy", _STAGE_1), ("stage2/entropy", _STAGE_2)),
        "Look whether the entropy collapses early, and remember that it falls as accuracy rises.",
        y_label="entropy, nats a token",
        look_across="Compare at equal accuracy: only there does a higher entropy mean more exploration.",
    ),
    Family(
        "zero-variance",
        "Trained groups without variance",
        (("groups/zero_variance_share", ""),),
        "The higher the curve, the more samples are paid for without giving a gradient.",
    ),
    Family(
        "right-given-wrong",
        "Right refinements of wrong drafts",
        (("transfer/right_given_wrong", ""),),
        "Look for a rising curve: refinement that repairs errors and does not merely repeat what was right.",
    ),
    Family(
        "copy",
        "Refinements that repeat the draft's answer",
        (("copy/answer_rate", ""),),
        "A curve close to 100 % means that the second stage copies; read it beside the repaired errors.",
    ),
    Family(
        "length",
        "Completion length by stage",
        (("stage1/length_mean", _STAGE_1), ("stage2/length_mean", _STAGE_2)),
        "Look for answers that grow or shrink while accuracy stays, and for a budget that tokens would match better.",
        y_label="length, tokens",
    ),
    Family(
        "reward",
        "Training reward by stage",
        (("stage1/reward_mean", _STAGE_1), ("stage2/reward_mean", _STAGE_2)),
        "Training reward that rises without held-out accuracy points at the reward, not at the answers.",
        y_label="reward",
    ),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure to draw: the curves of a family on one axis, panel by panel."""

    family: Family
    axis: str
    panels: tuple[tuple[str, tuple[Curve, ...]], ...]

    @property
    def name(self) -> str:
        return f"{self.family.name}-by-{stem(self.axis)}"

    @property
    def title(self) -> str:
        against = AXIS_LABELS.get(self.axis) or quantity(self.axis).full
        across = self.axis not in AXES and self.family.title_across
        return f"{across or self.family.title} against {against}"

    @property
    def look(self) -> str:
        """The sentence of the caption that says what to look for."""
        look = self.family.look if self.axis in AXES else self.family.look_across
        return self.family.look_by_axis.get(self.axis, look)


def plots(curves: Iterable[Curve]) -> list[Plot]:
    """Every curve with points finds a figure: that of its family, or one of its own.

    Budgets come in their usual order, then metrics on the x axis.
    """
    drawn = [curve for curve in curves if curve.x]
    axes = [*AXES, *dict.fromkeys(curve.axis for curve in drawn if curve.axis not in AXES)]
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
    look = "Look for a curve that parts from the others by more than the seeds differ."
    return [Family(stem(name), capital(quantity(name).full), ((name, ""),), look) for name in names]
