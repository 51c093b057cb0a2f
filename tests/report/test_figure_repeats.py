"""Figures that repeat one fact are found from their data, and the page shows them on request."""

from __future__ import annotations

import re
from dataclasses import replace

from igrpo.report.figure_families import plots
from igrpo.report.figure_repeats import says_nothing_new
from igrpo.report.model import Curve, SeedCurve
from igrpo.report.page import html
from tests.report.report_cases import TWO, figures_of

ACCURACY = "development/single_shot/accuracy"


def curve(condition: str, axis: str, x: tuple[float, ...], y: tuple[float, ...] = (0.1, 0.2, 0.4)) -> Curve:
    lines = (SeedCurve(seed=0, x=x, y=y),)
    return Curve(condition=condition, metric=ACCURACY, axis=axis, lines=lines, x=x, mean=y, low=y, high=y)


def reasons(*curves: Curve) -> list[str]:
    found = plots(curves)
    return [says_nothing_new(plot, found[:number]) for number, plot in enumerate(found)]


def test_a_budget_that_is_proportional_in_all_conditions_repeats() -> None:
    steps = [curve(name, "steps", (0.0, 5.0, 10.0)) for name in "ab"]
    samples = [curve(name, "samples", (0.0, 640.0, 1280.0)) for name in "ab"]
    tokens = [
        curve("a", "trained_tokens", (0.0, 5000.0, 10000.0)),
        curve("b", "trained_tokens", (0.0, 9000.0, 18000.0)),
    ]
    first, second, third = reasons(*steps, *samples, *tokens)
    assert first == ""
    assert "there are 128 training samples to one" in second
    assert third == ""  # proportional in each, with another factor: this is what the figure shows


def test_a_budget_that_is_nearly_proportional_does_not() -> None:
    steps = curve("a", "steps", (0.0, 5.0, 10.0))
    assert reasons(steps, curve("a", "seconds", (0.0, 52.0, 100.0)))[1] == ""
    assert reasons(steps, curve("a", "seconds", (0.0, 50.01, 100.0)))[1] != ""
    assert reasons(steps, curve("a", "samples", (0.0, 5.0), (0.1, 0.2)))[1] == ""  # not the same points


def test_single_points_show_no_course() -> None:
    assert reasons(curve("a", "steps", (5.0,), (0.1,)), curve("b", "steps", (5.0,), (0.3,))) == [
        "Every curve is a single point."
    ]
    assert reasons(curve("a", "steps", (5.0,), (0.1,)), curve("b", "steps", (0.0, 5.0), (0.3, 0.4))) == [""]


def test_the_page_keeps_them_closed() -> None:
    figures = [replace(f, aside="It repeats." * (f.name == "accuracy-by-samples")) for f in figures_of("two")]
    source = html(TWO, figures)
    (inside,) = re.findall(r"<details><summary>1 more.*?</details>", source, re.DOTALL)
    assert 'id="figure-accuracy-by-samples"' in inside
    assert inside.count("<figure") == 1
    assert source.count('id="figure-accuracy-by-samples"') == 1
