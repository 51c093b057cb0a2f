"""The parts 'Learning dynamics' and 'Across tasks' of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from igrpo.report.figure_style import Figure
from igrpo.report.model import Report
from igrpo.report.table import Table
from igrpo.report.table_dynamics import across, all_wrong, courses, gains

#: Beginnings of the names of these parts' figures.
FIGURES = ("dynamics-", "across-")


@dataclass(frozen=True, slots=True)
class Subsection:
    """Heading with an introduction, what can be read off, figures and tables."""

    title: str
    lead: str
    readings: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]

    @property
    def is_empty(self) -> bool:
        """True if nothing was measured."""
        return not (self.readings or self.figures or self.tables)


def dynamics_parts(report: Report, figures: Sequence[Figure]) -> list[Subsection]:
    """Return the subsections of the learning dynamics that have something to show."""
    return [part for part in _parts(report, figures) if not part.is_empty]


def across_part(report: Report, figures: Sequence[Figure]) -> Subsection | None:
    """Return the part about several tasks; None with one task."""
    if report.across is None:
        return None
    lead = (
        "Conditions are compared within a task. Here the methods that were run on every task are summed up as Agarwal "
        "et al. 2021 (arXiv 2108.13264) propose: the mean of the middle half of all runs, the share of runs above each "
        "accuracy, and the probability that a run of one method beats a run of another."
    )
    readings = (*report.across.readings, *report.across.left_out)
    return Subsection("Across tasks", lead, readings, _named(figures, "across-"), tuple(across(report)))


def _parts(report: Report, figures: Sequence[Figure]) -> Iterator[Subsection]:
    found = report.dynamics
    yield Subsection(
        "Entropy",
        "Percent of training is the share of a run's updates before the measurement; at 0 % all conditions of a seed "
        "are the same policy. Answers to the bare question on held-out questions are the same quantity for every "
        "condition; trained samples are not, since a refinement has a draft in its prompt.",
        found.readings.entropy,
        _named(figures, "dynamics-entropy-"),
        tuple(courses(found, ("entropy",), "Entropy compared")),
    )
    yield Subsection(
        "Reward and completion length",
        "The same over training. The bare question is asked in training as answers (GRPO) or as drafts (iGRPO).",
        (*found.readings.reward, *found.readings.length),
        _named(figures, "dynamics-reward-", "dynamics-length-"),
        tuple(courses(found, ("reward", "length"), "Reward and length compared")),
    )
    yield Subsection(
        "Gains by difficulty",
        "Held-out questions by the share of right samples before training. A question that looks hard by the bad luck "
        "of a few samples looks easier the next time without any training (regression to the mean); therefore no "
        "sample both chooses a question's bin and measures its start.",
        found.readings.difficulty,
        _named(figures, "dynamics-gains"),
        tuple(gains(found)),
    )
    yield Subsection(
        "Questions whose first answers are all wrong",
        "GRPO has no gradient from a question whose answers are all wrong; iGRPO shows the refinement a wrong draft. "
        "First answers are GRPO's answers and iGRPO's drafts, counted from the rollouts of training; conditions are "
        "compared by the same number of them.",
        found.readings.all_wrong,
        _named(figures, "dynamics-all-wrong-"),
        tuple(all_wrong(found)),
    )


def _named(figures: Sequence[Figure], *beginnings: str) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure.name.startswith(beginnings))
