"""HTML page of a report: one self-contained file without network access, scripts or embedded fonts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from igrpo.report.budget_axes import BUDGET_AXES
from igrpo.report.figure_style import Figure
from igrpo.report.labels import pair_words, quantity
from igrpo.report.model import Comparison, Report
from igrpo.report.table_contents import budgets, conditions, runs
from igrpo.report.table_results import comparisons, results
from igrpo.report.verdict import SIGNIFICANCE, difference_words, headline, sentence

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


@dataclass(frozen=True, slots=True)
class _Finding:
    """Headline comparison in words. ``matched`` is empty if no budget was matched; the verdict then says so."""

    pair: str
    difference: str
    matched: str
    verdict: str
    shown: bool


def html(report: Report, figures: Iterable[Figure]) -> str:
    """Return the page as HTML. All text of the report is escaped; every figure appears once, as inline SVG."""
    drawn = list(figures)
    environment = Environment(
        loader=PackageLoader("igrpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    compared = headline(report)
    return environment.get_template("report.html.j2").render(
        report=report,
        metric=quantity(compared[0].metric).full if compared else "",
        findings=[_finding(c) for c in compared],
        results=results(report),
        result_figures=[f for f in drawn if f.name.startswith("final-")],
        comparisons=comparisons(report),
        comparison_figures=[f for f in drawn if f.name.startswith("difference-")],
        sections=_sections([f for f in drawn if not f.name.startswith(("final-", "difference-"))]),
        budgets=budgets(report),
        conditions=conditions(report),
        runs=runs(report),
        inline=_inline,
    )


def _finding(c: Comparison) -> _Finding:
    matched = f"at equal {BUDGET_AXES[c.matched_by].label}" if c.matched_by in BUDGET_AXES else ""
    shown = c.p_adjusted is not None and c.p_adjusted < SIGNIFICANCE
    return _Finding(pair_words(c.pair), difference_words(c), matched, sentence(c.verdict), shown)


def _sections(figures: list[Figure]) -> list[_Section]:
    left = list(figures)
    found = []
    for key, title, lead, beginnings in _SECTIONS:
        mine = [figure for figure in left if figure.name.startswith(beginnings)]
        left = [figure for figure in left if figure not in mine]
        found.append(_Section(key, title, lead, tuple(mine)))
    return found


def _inline(figure: Figure) -> Markup:
    """Return the SVG without escaping it: ``figure_style.render`` has escaped its text and attributes."""
    return Markup(figure.svg)
