"""Measures of the learning dynamics: what is followed in training, and the metrics that it is read from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

#: Single-shot accuracy on the development split, the axis on which conditions are compared at equal accuracy.
ACCURACY = "development/single_shot/accuracy"

#: End of the name of the accuracy on any split or benchmark.
SCORE = "/single_shot/accuracy"


@dataclass(frozen=True, slots=True)
class Measure:
    """Quantity that is followed in training.

    Attributes:
        panel: title of its panel: whose samples it is about.
        metrics: names in metrics.jsonl; a step has the first of them that it recorded.
        held_out: True for a metric of evaluations, which come after an update; those of training samples come before.
    """

    panel: str
    metrics: tuple[str, ...]
    held_out: bool = False

    def value(self, metrics: Mapping[str, float]) -> float | None:
        """Return the value in the metrics of a step; None if it was not recorded."""
        return next((metrics[name] for name in self.metrics if name in metrics), None)


_BARE = "answers to the bare question, in training"
_HELD_OUT = "answers to the bare question, development split"

#: All measures by name; the part before the slash is the figure. Measures of answers to the bare question come first
#: where they exist: every condition has them from the same start, whatever it trains on.
MEASURES: dict[str, Measure] = {
    "entropy/bare": Measure(_HELD_OUT, ("development/answer/entropy",), held_out=True),
    "entropy/training": Measure(_BARE, ("answer/entropy", "draft/entropy")),
    "entropy/trained": Measure("trained samples", ("train/entropy",)),
    "reward/bare": Measure(_BARE, ("answer/reward_mean", "draft/reward_mean")),
    "reward/trained": Measure("trained samples", ("train/reward",)),
    "length/bare": Measure(_HELD_OUT, ("development/single_shot/length_mean",), held_out=True),
    "length/training": Measure(_BARE, ("answer/length_mean", "draft/length_mean")),
    "length/refinements": Measure("refinements, in training", ("refinement/length_mean",)),
}

#: Measure that is also compared at equal accuracy, since it falls as accuracy rises.
AT_EQUAL_ACCURACY = "entropy/bare"

#: Measures that are counted from the rollouts, not read from metrics.jsonl.
COUNTED: dict[str, str] = {
    "all-wrong/share": "questions whose first answers are all wrong",
    "all-wrong/refined": "refinements that are right although all drafts are wrong",
}

#: Units by figure; empty for a share.
UNITS: dict[str, str] = {"entropy": "nats per token", "reward": "", "length": "tokens", "all-wrong": "%"}


def figure_of(measure: str) -> str:
    """Return the figure that shows a measure."""
    return measure.partition("/")[0]


def measures_of(figure: str) -> list[str]:
    """Return the measures of a figure, in order."""
    return [name for name in (*MEASURES, *COUNTED) if figure_of(name) == figure]


def average_of(figure: str, compared: Collection[str]) -> str | None:
    """Return the measure whose average over training is stated: of each step where it was recorded; None without any.

    Evaluations are fewer than steps. Either way, answers to the bare question come first.
    """
    names = [name for name in measures_of(figure) if name in compared]
    return next((name for name in names if MEASURES[name].panel == _BARE), next(iter(names), None))


def metrics_read() -> frozenset[str]:
    """Return the names of all metrics that the measures are read from."""
    return frozenset(name for measure in MEASURES.values() for name in measure.metrics)
