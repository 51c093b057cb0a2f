"""The part 'Learning dynamics' of the report: from run directories to sentences, tables, figures and the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from igrpo.report.dynamics_model import ClusteredMean, CourseDifference, Dynamics, GainDifference
from igrpo.report.dynamics_words import readings
from igrpo.report.figure_bands import draw_bands
from igrpo.report.figure_style import house_style, looks
from igrpo.report.model import SCHEMA_VERSION, Report
from igrpo.report.page import html
from igrpo.report.table_dynamics import dynamics_tables
from igrpo.report.tables import markdown
from igrpo.runs.metrics_file import MetricsFile
from tests.report import dynamics_cases
from tests.report.report_cases import EIGHT, HOSTILE_NAMES, figures_of
from tests.report.run_dirs import GRPO, IGRPO, STEPS, report_of, write_condition
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report of runs with entropies of the development split: from 0.4 to 0.1 for GRPO, to 0.2 for iGRPO."""
    folder = tmp_path_factory.mktemp("measured")
    write_condition(folder, "grpo", GRPO, "algorithm=grpo")
    write_condition(folder, "igrpo", IGRPO, "algorithm=igrpo")
    for run in folder.iterdir():
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        (run / "metrics.jsonl").unlink()
        file, end = MetricsFile(run / "metrics.jsonl"), 0.2 if run.name.startswith("igrpo") else 0.1
        for row in rows:
            if "development/single_shot/accuracy" in row:
                row["development/answer/entropy"] = 0.4 + (end - 0.4) * row["step"] / STEPS
            file.append(row["step"], {name: value for name, value in row.items() if name not in {"step", "time"}})
        file.close()
    return report_of(folder)


def test_what_is_read_off(measured: Report) -> None:
    start, difference = measured.dynamics.readings.entropy
    assert start == "All conditions start alike, at 0.400 nats per token."
    assert difference == (  # from 50 % on, the accuracy of one rises and that of the other falls
        "Averaged over training, the entropy of igrpo is 0.300 and that of grpo 0.250 nats per token: a difference of "
        "+0.050, which each of 3 seeds has; the two have no range of accuracy in common."
    )
    reward, length = measured.dynamics.readings.reward, measured.dynamics.readings.length
    assert reward[0].startswith("Averaged over training, the mean reward of igrpo is ")
    assert not any("start alike" in text for text in reward)  # a step asks few questions
    assert length[0].endswith("a difference of 0.0, which each of 3 seeds has.")
    assert measured.dynamics.readings.all_wrong == ()
    assert measured.dynamics.missing == (
        "Questions that were all wrong are not counted for grpo and igrpo: there are no rollouts of a run on this "
        "machine.",
    )
    for text in (start, *reward):
        assert f"- {text}" in markdown(measured)


def test_the_report_file_has_all_of_it(measured: Report) -> None:
    assert SCHEMA_VERSION == 4
    again = Report.model_validate_json(measured.model_dump_json())
    assert again == measured
    assert {band.measure for band in again.dynamics.bands} >= {"entropy/bare", "reward/bare", "length/training"}
    assert [one.condition for one in again.dynamics.gains] == ["grpo", "igrpo"]
    assert again.across is None


def of(**changes: Any) -> CourseDifference:
    one = dynamics_cases.difference("grpo", "igrpo", 3)
    return one.model_copy(update=changes)


def test_a_sentence_says_whether_a_difference_is_shown() -> None:
    (_, none) = readings(Dynamics(differences=(of(),))).entropy
    assert "a difference of +0.022 (95 % interval −0.011 to +0.055, 3 seeds), which shows none;" in none
    (_, shown) = readings(Dynamics(differences=(of(interval=(0.01, 0.03)),))).entropy
    assert "(95 % interval +0.010 to +0.030, 3 seeds);" in shown
    (_, single) = readings(Dynamics(differences=(of(interval=None, seeds=1),))).entropy
    assert "a difference of +0.022, which one seed has;" in single
    (apart, _) = readings(Dynamics(differences=(of(starts=(0.2, 0.3)),))).entropy
    assert apart == (
        "The conditions do not start alike (grpo at 0.200, igrpo at 0.300), so part of a difference may be that of "
        "their starts."
    )
    alone = readings(Dynamics(bands=(dynamics_cases.band("grpo", 0, "entropy/bare", 1),)))
    assert alone.entropy == ("The entropy of grpo goes from 0.200 to 0.074 nats per token.",)


def test_a_bin_is_named_only_if_its_interval_excludes_0() -> None:
    def mean(value: float) -> ClusteredMean:
        return ClusteredMean(mean=value, interval=(value - 0.1, value + 0.1), values=9, questions=3, seeds=3)

    pair = GainDifference(task="t", pair=("grpo", "igrpo"), bins={"0": mean(-0.166), "1/2": mean(0.05)})
    assert readings(Dynamics(gain_differences=(pair,))).difficulty == (
        "Where the share right at the start was 0, igrpo ends 16.6 points below grpo [−26.6, −6.6]. In the other bins "
        "no difference is shown.",
    )
    equal = pair.model_copy(update={"bins": {"0": mean(0.05)}})
    assert readings(Dynamics(gain_differences=(equal,))).difficulty == (
        "In no bin does igrpo end measurably better or worse than grpo.",
    )


def test_the_page_has_every_figure_table_and_sentence_once() -> None:
    source = html(HOSTILE_NAMES, figures_of("hostile"))
    page, found = Page(source), HOSTILE_NAMES.dynamics
    own = [figure for figure in figures_of("hostile") if figure.name.startswith(("dynamics-", "across-"))]
    assert [figure.name for figure in own] == [
        "dynamics-entropy-by-percent",
        "dynamics-entropy-by-accuracy",
        "dynamics-reward-by-percent",
        "dynamics-length-by-percent",
        "dynamics-all-wrong-by-percent",
        "dynamics-gains",
        "across-profile",
    ]
    assert all(source.count(figure.svg) == 1 for figure in own)
    tables = dynamics_tables(HOSTILE_NAMES)
    assert [table.key for table in tables] == [
        "courses-entropy",
        "gains",
        "gain-differences",
        "all-wrong",
        "across",
        "improvement",
    ]
    for table in tables:
        assert source.count(f"</b> {table.title}</caption>") == 1
        assert all(cell in page.text for row in table.rows for cell in row)
        assert table.title in markdown(HOSTILE_NAMES)
    assert HOSTILE_NAMES.across is not None
    for text in (*found.readings.entropy, *found.readings.difficulty, *found.missing, *HOSTILE_NAMES.across.readings):
        assert " ".join(text.split()) in page.text
    plain = HOSTILE_NAMES.model_copy(update={"dynamics": Dynamics(), "across": None})
    assert "Learning dynamics" not in html(plain, [])
    assert "Across tasks" not in html(plain, [])


def test_a_band_is_drawn_as_far_as_it_does_not_hide_the_means() -> None:
    (band,) = [
        b for b in EIGHT.dynamics.bands if (b.condition, b.measure, b.axis) == ("igrpo", "entropy/bare", "percent")
    ]
    wide = band.model_copy(update={"low": tuple(y - 9 for y in band.mean), "high": tuple(y + 9 for y in band.mean)})
    with house_style():
        (drawing,) = draw_bands([wide], looks(["igrpo"], "igrpo"))
    (axes,) = drawing.canvas.axes
    assert [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines] == [(band.x, band.mean)]
    low, high = axes.get_ylim()
    span = max(band.mean) - min(band.mean)
    assert min(band.mean) - 0.7 * span < low < min(band.mean)
    assert max(band.mean) < high < max(band.mean) + 0.7 * span


def test_tasks_share_no_figure() -> None:
    bands = [dynamics_cases.band("grpo", 0, "entropy/bare", 3)]
    bands.append(bands[0].model_copy(update={"task": "times_tables", "condition": "igrpo"}))
    with house_style():
        drawn = list(draw_bands(bands, looks(["grpo", "igrpo"], "grpo")))
    assert [one.name for one in drawn] == [
        "dynamics-entropy-by-percent--chains",
        "dynamics-entropy-by-percent--times-tables",
    ]
    assert [[line.get_label() for line in one.canvas.axes[0].lines] for one in drawn] == [["grpo"], ["igrpo"]]
