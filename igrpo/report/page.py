"""HTML page of a report: one self-contained file without network access, scripts or embedded fonts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.figure_style import Figure
from igrpo.report.labels import moment, pair_words, quantity
from igrpo.report.model import Comparison, Report
from igrpo.report.page_dynamics import FIGURES, across_part, dynamics_parts
from igrpo.report.table import Table
from igrpo.report.table_changes import changes
from igrpo.report.table_contents import budgets, conditions, runs
from igrpo.report.table_results import comparisons, results
from igrpo.report.verdict import SIGNIFICANCE, difference_words, headline, not_measured, others, sentence

#: Sections of the page: (key, title, lead, beginnings of figure names). The last section takes the remaining figures.
_SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "accuracy",
        "Accuracy in the course of training",
        "Development accuracy against each budget. A lead that changes with the axis is due to a difference in cost.",
        ("accuracy-by-",),
    ),
    (
        "entropy",
        "Entropy",
        "Entropy of the policy at temperature 1, mean over all tokens of a role's samples. It falls as accuracy rises, "
        "so compare it at equal accuracy before you attribute a difference to exploration.",
        ("entropy-by-",),
    ),
    (
        "transfer",
        "Transfer and copying",
        "Does training on refinements also improve the answers to the bare question, and do refinements correct drafts "
        "or copy them?",
        ("transfer-by-", "right-given-wrong-by-", "copy-by-"),
    ),
    ("further", "Further measurements", "Other metrics of each step.", ("",)),
)


@dataclass(frozen=True, slots=True)
class _Section:
    """Section of the page: a heading, an introduction and figures."""

    key: str
    title: str
    lead: str
    figures: tuple[Figure, ...]
    aside: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """Headline comparison in words, with the verdicts on the other accuracies.

    ``matched`` is empty if no budget was matched; the verdict then says so.
    """

    pair: str
    difference: str
    matched: str
    verdict: str
    others: tuple[str, ...]
    shown: bool


@dataclass(frozen=True, slots=True)
class Live:
    """Progress of a sweep that still runs.

    Attributes:
        table: its progress.
        updated: time of the page (ISO 8601).
        every: seconds until a browser loads the page again, a whole number.
    """

    table: Table
    updated: str
    every: int


def html(report: Report, figures: Iterable[Figure], live: Live | None = None) -> str:
    """Return the page as HTML. All text of the report is escaped; every figure appears once, as inline SVG.

    ``live``: the progress of a sweep that still runs; the page then loads itself again.
    """
    drawn = list(figures)
    compared = headline(report)
    return _template("report.html.j2").render(
        report=report,
        live=live,
        created=moment(report.created),
        metric=quantity(compared[0].metric).full if compared else "",
        findings=[_finding(report, c) for c in compared],
        not_measured=not_measured(report),
        results=results(report),
        result_figures=[f for f in drawn if f.name.startswith("final-")],
        comparisons=comparisons(report),
        comparison_figures=[f for f in drawn if f.name.startswith("difference-")],
        changes=changes(report),
        sections=_sections([f for f in drawn if not f.name.startswith(("final-", "difference-", *FIGURES))]),
        dynamics=dynamics_parts(report, drawn),
        across=across_part(report, drawn),
        budgets=budgets(report),
        conditions=conditions(report),
        runs=runs(report),
        folders={run.name: f"{quote(run.folder)}/" for run in report.runs if run.folder is not None},
        inline=_inline,
    )


def waiting(title: str, live: Live) -> str:
    """Return the page of a sweep of which no run has finished yet."""
    return _template("waiting.html.j2").render(title=title, live=live)


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("igrpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _finding(report: Report, c: Comparison) -> _Finding:
    matched = f"at equal {BUDGET_AXES[c.matched_by].label}" if c.matched_by in BUDGET_AXES else ""
    shown = c.p_adjusted is not None and c.p_adjusted < SIGNIFICANCE
    rest = tuple(sentence(other.verdict) for other in others(report, c.pair))
    return _Finding(pair_words(c.pair), difference_words(c), matched, sentence(c.verdict), rest, shown)


def _sections(figures: list[Figure]) -> list[_Section]:
    left = list(figures)
    found = []
    for key, title, lead, beginnings in _SECTIONS:
        mine = [figure for figure in left if figure.name.startswith(beginnings)]
        left = [figure for figure in left if figure not in mine]
        shown, aside = ([figure for figure in mine if bool(figure.aside) is hidden] for hidden in (False, True))
        found.append(_Section(key, title, lead, tuple(shown), tuple(aside)))
    return found


def _inline(figure: Figure) -> Markup:
    """Return the SVG without escaping it: ``figure_style.render`` has escaped its text and attributes."""
    return Markup(figure.svg)
