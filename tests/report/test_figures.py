"""The figures show the report's numbers, the same way each time, and harmlessly."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from igrpo.report.figure_curves import draw, running_mean
from igrpo.report.figure_families import plots
from igrpo.report.figure_style import Figure, looks
from igrpo.report.figures import draw_figures
from igrpo.report.model import Curve, SeedCurve
from tests.report.report_cases import EIGHT, HOSTILE, HOSTILE_NAMES, NO_ENTROPY, TWO, drawings_of, figures_of

SVG = "{http://www.w3.org/2000/svg}"


def drawn(case: str) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(case)}


def axes_of(case: str, name: str) -> list[Axes]:
    (found,) = [drawing for drawing in drawings_of(case) if drawing.name == name]
    return found.canvas.axes


def labelled(axes: Axes, label: str) -> Any:
    (found,) = [artist for artist in (*axes.lines, *axes.collections) if artist.get_label() == label]
    return found


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("case", ["two", "hostile"])
def test_svg_is_xml_with_ids_of_its_own_that_its_links_find(case: str) -> None:
    every: list[str] = []
    for figure in drawn(case).values():
        root = ElementTree.fromstring(figure.svg)
        assert root.tag == f"{SVG}svg"
        ids = [element.get("id", "") for element in root.iter() if element.get("id")]
        links = re.findall(r'href="#([^"]*)"', figure.svg) + re.findall(r"url\(#([^)]*)\)", figure.svg)
        assert links
        assert set(links) <= set(ids)
        assert not re.search(r'href="[^#]', figure.svg)
        every += ids
        assert figure.png.startswith(b"\x89PNG")
    assert len(every) == len(set(every))


def test_the_names_stand_in_every_figure_as_text() -> None:
    for name, figure in drawn("eight").items():
        only_drafts = name.startswith(("right-given-wrong", "copy"))
        said = " ".join(texts(figure.svg))
        for condition in [c.name for c in EIGHT.conditions][1 if only_drafts or name.startswith("difference") else 0 :]:
            assert condition in said, name


def test_a_hostile_name_is_text_and_nothing_else() -> None:
    figure = drawn("hostile")["accuracy-by-steps"]
    assert "<script" not in figure.svg
    assert {element.tag for element in ElementTree.fromstring(figure.svg).iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "defs", "style", "g", "path", "use", "text", "clipPath", "rect")
    }
    said = texts(figure.svg)
    for name in HOSTILE:  # a dollar sign starts no formula, an underscore hides no legend
        assert name in said
    odd = HOSTILE_NAMES.model_copy(
        update={"curves": tuple(c.model_copy(update={"condition": "a\x00\u202eb"}) for c in TWO.curves[:1])}
    )
    assert any("a\ufffd\ufffdb" in text for figure in draw_figures(odd) for text in texts(figure.svg))


def test_figures_are_the_same_bytes_with_any_matplotlibrc() -> None:
    report = TWO.model_copy(update={"curves": TWO.curves[:1] + TWO.curves[7:9], "comparisons": TWO.comparisons[:1]})
    first = draw_figures(report)
    before = dict(mpl.rcParams)
    with mpl.rc_context({"svg.fonttype": "path", "axes.facecolor": "black", "font.size": 30.0}):
        assert draw_figures(report) == first
        assert mpl.rcParams["font.size"] == 30.0
    assert dict(mpl.rcParams) == before


def test_curves_show_the_mean_the_band_and_each_seed() -> None:
    for axis in ("steps", "flops", "seconds"):
        (axes,) = axes_of("two", f"accuracy-by-{axis}")
        for name in ("GRPO", "iGRPO"):
            (curve,) = [
                c
                for c in TWO.curves
                if (c.condition, c.metric, c.axis) == (name, "development/single_shot/accuracy", axis)
            ]
            line = labelled(axes, name)
            assert tuple(line.get_xdata()) == curve.x
            assert tuple(line.get_ydata()) == pytest.approx(curve.mean, abs=1e-15)
            corners = {(round(x, 6), round(y, 9)) for x, y in labelled(axes, f"band {name}").get_paths()[0].vertices}
            edges = [*zip(curve.x, curve.low, strict=True), *zip(curve.x, curve.high, strict=True)]
            assert {(round(x, 6), round(y, 9)) for x, y in edges} <= corners
        seeds = [tuple(line.get_ydata()) for line in axes.lines if str(line.get_label()).startswith("seed ")]
        assert seeds == [
            line.y
            for c in TWO.curves
            if (c.metric, c.axis) == ("development/single_shot/accuracy", axis)
            for line in c.lines
        ]


def test_the_svg_has_the_curve_where_the_axes_put_it() -> None:
    """Read back from the file: the drawn points are an affine image of the report's numbers."""
    root = ElementTree.fromstring(drawn("two")["accuracy-by-samples"].svg)
    (group,) = [e for e in root.iter() if e.get("id") == "accuracy-by-samples-panel0-mean1"]
    path = group.find(f"{SVG}path")
    assert path is not None
    points = np.array([[float(n) for n in pair] for pair in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", ""))])
    (curve,) = [
        c
        for c in TWO.curves
        if (c.condition, c.metric, c.axis) == ("iGRPO", "development/single_shot/accuracy", "samples")
    ]
    for column, numbers in zip(points.T, (curve.x, curve.mean), strict=True):
        slope, offset = np.polyfit(numbers, column, 1)
        assert np.abs(slope * np.asarray(numbers) + offset - column).max() < 1e-3
        assert (slope > 0) == (numbers is curve.x)  # the y axis of SVG points down


def test_axis_labels_have_units_and_ticks_are_scaled() -> None:
    expected = {
        "steps": "training steps",
        "samples": "training samples",
        "generated-tokens": "generated tokens, thousands",  # 60 steps of 2,560: 154 thousand
        "trained-tokens": "trained tokens, thousands",
        "flops": "training FLOPs, 10¹²",  # 60 steps of 2.1e11: 1.26e13
        "seconds": "seconds of training",
    }
    for axis, label in expected.items():
        said = texts(drawn("two")[f"accuracy-by-{axis}"].svg)
        assert label in said
        assert "single-shot accuracy, %" in said
        assert {"40", "90"} <= set(said)  # in %
    assert {"50", "100", "150"} <= set(texts(drawn("two")["accuracy-by-generated-tokens"].svg))
    assert {"5", "10"} <= set(texts(drawn("two")["accuracy-by-flops"].svg))
    assert "entropy, nats per token" in texts(drawn("two")["entropy-by-steps"].svg)


def test_a_running_mean_is_centred_and_shortens_at_the_ends() -> None:
    # (1+2)/2, (1+2+6)/3, (2+6+3)/3, (6+3)/2
    assert running_mean([1.0, 2.0, 6.0, 3.0], 3).tolist() == pytest.approx([1.5, 3.0, 11 / 3, 4.5])
    assert running_mean([5.0], 1).tolist() == [5.0]


def test_step_by_step_metrics_have_a_raw_line_and_say_the_window() -> None:
    (axes,) = axes_of("two", "zero-variance-by-steps")
    (curve,) = [c for c in TWO.curves if (c.condition, c.metric) == ("GRPO", "groups/zero_variance_share")]
    assert tuple(labelled(axes, "raw GRPO").get_ydata()) == curve.mean
    strong = labelled(axes, "GRPO").get_ydata()
    assert strong[10] == pytest.approx(sum(curve.mean[7:14]) / 7)  # 60 steps: a window of 60 // 10 + 1
    assert "running mean over 7 points" in drawn("two")["zero-variance-by-steps"].caption
    assert "running mean" not in drawn("two")["accuracy-by-steps"].caption


def test_roles_have_panels_and_a_metric_axis_makes_a_path() -> None:
    first, second = axes_of("two", "entropy-by-development-single-shot-accuracy")
    (curve,) = [
        c
        for c in TWO.curves
        if (c.condition, c.metric, c.axis) == ("iGRPO", "refinement/entropy", "development/single_shot/accuracy")
    ]
    line = labelled(second, "iGRPO")
    assert tuple(line.get_xdata()) == curve.x
    assert tuple(line.get_ydata()) == pytest.approx(curve.mean, abs=1e-15)
    assert "GRPO" in [line.get_label() for line in first.lines]
    assert "GRPO" not in [line.get_label() for line in second.lines]  # it has no refinements
    assert not second.collections  # a band has no meaning where the curve may turn back
    assert len(axes_of("two", "transfer-by-steps")) == 2


def test_a_panel_has_room_for_the_curves_of_all_panels() -> None:
    (plot,) = [one for one in plots(TWO.curves) if one.name == "transfer-by-steps"]
    (title, curves), rest = plot.panels[0], plot.panels[1:]
    low = tuple(
        curve.model_copy(
            update={name: tuple(y / 20 for y in getattr(curve, name)) for name in ("mean", "low", "high")}
            | {"lines": ()}
        )
        for curve in curves
    )
    drawing = draw(replace(plot, panels=((title, low), *rest)), looks(["GRPO", "iGRPO"], "GRPO"))
    first, *others = drawing.canvas.axes
    for axes in (first, *others):
        for name in ("GRPO", "iGRPO"):
            y = labelled(axes, name).get_ydata()
            assert axes.get_ylim()[0] <= min(y) <= max(y) <= axes.get_ylim()[1]


def test_forest_rows_show_every_number_of_a_comparison() -> None:
    (axes,) = axes_of("eight", "difference-test-single-shot-accuracy")
    shown = [c for c in EIGHT.comparisons if c.metric == "test/single_shot/accuracy"]
    for row, c in enumerate(shown):
        below = len(shown) - 1 - row  # the first is on top
        assert tuple(labelled(axes, f"interval {below}").get_xdata()) == c.interval
        assert tuple(labelled(axes, f"point {below}").get_xdata()) == (c.difference,)
        assert tuple(labelled(axes, f"bootstrap {row}").get_xdata()) == c.bootstrap_interval
        assert list(labelled(axes, f"seeds {below}").get_xdata()) == list(c.seed_differences.values())
        zone = labelled(axes, f"mde {row}").get_paths()[0].vertices[:, 0]
        assert (zone.min(), zone.max()) == (-c.minimum_detectable_effect, c.minimum_detectable_effect)
        hollow = labelled(axes, f"point {below}").get_markerfacecolor() == "white"
        assert hollow == (c.identical_by_construction is not None)


def test_final_rows_hold_means_intervals_seeds_and_the_start() -> None:
    (axes,) = axes_of("two", "final-test-single-shot-accuracy")
    for row, final in enumerate(f for f in TWO.finals if f.metric == "test/single_shot/accuracy"):
        assert tuple(labelled(axes, f"interval {1 - row}").get_xdata()) == final.interval
        assert tuple(labelled(axes, f"point {1 - row}").get_xdata()) == (final.mean,)
        assert list(labelled(axes, f"seeds {1 - row}").get_xdata()) == list(final.per_seed.values())
        assert tuple(labelled(axes, f"before {row}").get_xdata()) == (final.before, final.before)


def test_every_measured_metric_and_no_other_has_a_figure() -> None:
    names = {plot.name for plot in plots(NO_ENTROPY.curves)}
    assert names
    assert not any("entropy" in name for name in names)
    assert {f"entropy-by-{axis}" for axis in ("steps", "development-single-shot-accuracy")} < {
        p.name for p in plots(TWO.curves)
    }
    held = {(c.condition, c.metric, c.axis) for c in TWO.curves}
    assert {(c.condition, c.metric, c.axis) for p in plots(TWO.curves) for _, part in p.panels for c in part} == held
    empty = TWO.model_copy(update={"curves": (), "finals": (), "comparisons": ()})
    assert draw_figures(empty) == []


def test_an_unknown_metric_gets_a_figure_and_names_stay_unique() -> None:
    line = SeedCurve(seed=0, x=(1.0, 2.0), y=(3.0, 4.0))
    one = Curve(
        condition="GRPO",
        metric="mine/odd thing",
        axis="steps",
        lines=(line,),
        x=line.x,
        mean=line.y,
        low=line.y,
        high=line.y,
    )
    two, nothing = one.model_copy(update={"metric": "mine/odd-thing"}), one.model_copy(update={"metric": "z", "x": ()})
    report = TWO.model_copy(update={"curves": (one, two, nothing), "finals": (), "comparisons": ()})
    assert [figure.name for figure in draw_figures(report)] == ["mine-odd-thing-by-steps", "mine-odd-thing-by-steps--2"]


def test_one_seed_has_no_band_and_says_so() -> None:
    (axes,) = axes_of("one-seed", "accuracy-by-steps")
    assert not axes.collections
    assert "one seed each" in next(d for d in drawings_of("one-seed") if d.name == "accuracy-by-steps").caption


def test_every_condition_differs_in_colour_and_in_marker_or_line() -> None:
    ten = looks([str(i) for i in range(10)], baseline="3")
    assert len({look.colour for look in ten.values()}) == 10
    assert len({look.marker for look in ten.values()}) == 10
    assert (
        len({(str(look.dashes), look.marker, look.colour) for look in looks([str(i) for i in range(40)], "0").values()})
        == 40
    )
    assert ten["3"].colour == looks(["x"], "x")["x"].colour  # the baseline always looks the same
    assert list(ten) == [str(i) for i in range(10)]


@pytest.mark.parametrize("case", ["two", "eight", "hostile"])
def test_nothing_is_drawn_outside_or_too_small(case: str) -> None:
    for drawing in drawings_of(case):
        width, height = drawing.canvas.get_size_inches()
        assert width == pytest.approx(5.2)
        for text in (*drawing.canvas.texts, *(t for axes in drawing.canvas.axes for t in axes.texts)):
            assert text.get_fontsize() >= 9
        for legend in drawing.canvas.legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width * 100
            assert box.y1 < min(axes.get_window_extent().y0 for axes in drawing.canvas.axes)
        for axes in drawing.canvas.axes:
            box = axes.get_window_extent()
            assert 0 < box.y0 < box.y1 <= height * 100
            assert all(
                box.x0 <= t.get_window_extent().x0 + 2 and t.get_window_extent().x1 <= box.x1 + 2 for t in axes.texts
            )
