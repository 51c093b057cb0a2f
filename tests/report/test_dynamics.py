"""The part 'Learning dynamics' of the report: from run directories to sentences, tables, figures and the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from igrpo.report.dynamics_model import ClusteredMean, CourseDifference, Dynamics, GainDifference
from igrpo.report.dynamics_words import changes, readings
from igrpo.report.figure_bands import draw_bands
from igrpo.report.figure_gains import draw_gains
from igrpo.report.figure_style import house_style, looks
from igrpo.report.model import SCHEMA_VERSION, Report
from igrpo.report.page import html
from igrpo.report.table_dynamics import all_wrong, dynamics_tables
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
    left_out = {"step", "time", "answer/entropy", "draft/entropy"}  # so that only evaluations measured it
    write_condition(folder, "grpo", GRPO, "algorithm=grpo")
    write_condition(folder, "igrpo", IGRPO, "algorithm=igrpo")
    for run in folder.iterdir():
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        (run / "metrics.jsonl").unlink()
        file, end = MetricsFile(run / "metrics.jsonl"), 0.2 if run.name.startswith("igrpo") else 0.1
        for row in rows:
            if "development/single_shot/accuracy" in row:
                row["development/answer/entropy"] = 0.4 + (end - 0.4) * row["step"] / STEPS
            file.append(row["step"], {name: value for name, value in row.items() if name not in left_out})
        file.close()
    return report_of(folder)


def test_what_is_read_off(measured: Report) -> None:
    start, difference = measured.dynamics.readings.entropy
    assert start == (
        "Before training, the entropy of answers to the bare question (development split) is alike in all conditions: "
        "0.400 nats per token."
    )
    assert difference == (
        "Averaged over training (answers to the bare question, development split; 3 evaluations per run), the entropy "
        "of igrpo is 0.300 and that of grpo 0.250 nats per token: a difference of +0.050 at each of 3 seeds; at equal "
        "accuracy it was measured too rarely (3 evaluations per run, and it takes 4: lower evaluation.every)."
    )
    reward, length = measured.dynamics.readings.reward, measured.dynamics.readings.length
    assert reward[0].startswith(
        "Averaged over training (answers to the bare question, in training; 4 steps per run), the mean reward of igrpo"
    )
    assert not any("Before training" in text for text in reward)  # a step asks few questions
    assert length[0].endswith(": no difference at any of 3 seeds.")
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
    assert ": no difference is shown (+0.022, 95 % interval −0.011 to +0.055, 3 seeds);" in none
    (_, shown) = readings(Dynamics(differences=(of(interval=(0.01, 0.03)),))).entropy
    assert ": a difference of +0.022 (95 % interval +0.010 to +0.030, 3 seeds);" in shown
    (_, single) = readings(Dynamics(differences=(of(interval=None, seeds=1),))).entropy
    assert "a difference of +0.022 at one seed, which shows nothing;" in single
    many, few = (readings(Dynamics(differences=(of(points=number),))).entropy[1] for number in (4, 3))
    assert many.endswith("; the two have no range of accuracy in common.")
    assert few.endswith("(3 evaluations per run, and it takes 4: lower evaluation.every).")
    (apart, _) = readings(Dynamics(differences=(of(starts=(0.2, 0.3)),))).entropy
    assert apart == (
        "Before training, the entropy of answers to the bare question (development split) is not alike in all "
        "conditions (grpo 0.200, igrpo 0.300), so part of a difference may be that of their starts."
    )
    alone = readings(Dynamics(bands=(dynamics_cases.band("grpo", 0, "entropy/bare", 1),)))
    assert alone.entropy == (
        "The entropy of grpo (answers to the bare question, development split) goes from 0.200 to 0.074 nats per token.",
    )


def test_averages_are_those_of_steps_where_steps_were_measured() -> None:
    """Two evaluations are the ends of training; the start is theirs, and the average that of 40 steps."""
    ends, steps = of(points=2), of(measure="entropy/training", points=40, means=(0.3, 0.4))
    start, text = readings(Dynamics(differences=(ends, steps))).entropy
    assert "(development split) is alike" in start
    assert text.startswith(
        "Averaged over training (answers to the bare question, in training; 40 steps per run), the entropy of igrpo is "
        "0.400 and that of grpo 0.300 nats per token: "
    )
    assert text.endswith(
        "; at equal accuracy it was measured too rarely (2 evaluations per run, and it takes 4: lower "
        "evaluation.every)."
    )


def test_a_narrow_interval_has_the_decimals_that_tell_its_ends_apart() -> None:
    length = of(measure="length/training", difference=0.004, interval=(-0.012, 0.02))
    assert changes("length", length) == ["0.00", "−0.01", "+0.02"]
    assert changes("length", of(difference=3.21, interval=(1.0, 5.42))) == ["+3.2", "+1.0", "+5.4"]
    assert changes("entropy", of(difference=1e-9, interval=(-1e-9, 3e-9))) == ["0.000000"] * 3  # no more than six


def test_one_seed_makes_no_claim_anywhere_in_the_part() -> None:
    """Neither the tables nor the figures have an interval; sentences say that a difference shows nothing."""
    found = dynamics_cases.dynamics(["grpo", "igrpo"], 1)
    single = EIGHT.model_copy(update={"dynamics": found, "across": None})
    cells = [cell for table in dynamics_tables(single) for row in table.rows for cell in row]
    assert not any(cell.endswith("]") and "[" in cell for cell in cells)
    assert all("one seed has none" in table.note for table in dynamics_tables(single))
    (text,) = readings(found).difficulty
    assert text == (
        "At one seed igrpo ends so many points above (+) or below (−) grpo, by the share right that chose the bin: "
        "−10.0 where it was 0, −10.0 where it was 1/2 and −10.0 where it was 1. This shows nothing: another seed may "
        "give another result."
    )
    with house_style():
        (one,), (several,) = (
            draw_gains(dynamics_cases.dynamics(["grpo"], seeds).gains, looks(["grpo"], "grpo")) for seeds in (1, 3)
        )
    intervals = [
        [line for line in drawing.canvas.axes[0].lines if str(line.get_label()).startswith("interval")]
        for drawing in (one, several)
    ]
    assert [len(lines) for lines in intervals] == [0, 3]
    assert one.caption.endswith("Points: means; one seed has no interval.")
    assert "bars: 95 % intervals over questions and seeds" in several.caption


def test_questions_that_were_not_asked_again_have_no_table() -> None:
    never = dynamics_cases.all_wrong("grpo", 0, 3).model_copy(update={"again": 0, "chance": None, "later": None})
    asked = dynamics_cases.all_wrong("igrpo", 1, 3)
    assert all_wrong(Dynamics(all_wrong=(never,))) == []
    assert [len(table.rows) for table in all_wrong(Dynamics(all_wrong=(never, asked)))] == [2]
    (text,) = readings(Dynamics(all_wrong=(never,))).all_wrong
    assert text.endswith("; none of them was asked again, so what became of them is not known.")


def test_a_bin_is_named_only_if_its_interval_excludes_0() -> None:
    def mean(value: float) -> ClusteredMean:
        return ClusteredMean(mean=value, interval=(value - 0.1, value + 0.1), values=9, questions=3, seeds=3)

    pair = GainDifference(task="t", pair=("grpo", "igrpo"), bins={"0": mean(-0.166), "1/2": mean(0.05)})
    assert readings(Dynamics(gain_differences=(pair,))).difficulty == (
        "Where the share right that chose the bin was 0, igrpo ends 16.6 points below grpo [−26.6, −6.6]. In the other bins "
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


def test_only_evaluations_are_marked_on_the_axis_of_accuracy() -> None:
    band = dynamics_cases.band("grpo", 0, "entropy/bare", 3, accuracy=True)
    with house_style():
        (drawing,) = draw_bands([band], looks(["grpo"], "grpo"))
    line, points = drawing.canvas.axes[0].lines
    assert (tuple(line.get_xdata()), line.get_marker()) == (band.x, "None")
    assert tuple(zip(points.get_xdata(), points.get_ydata(), strict=True)) == band.measured
    assert (points.get_linestyle(), points.get_marker()) == ("None", "o")
    assert "Points: evaluations of each seed, joined by straight lines." in drawing.caption


def test_noise_does_not_fill_a_panel() -> None:
    """Lengths of 19.8 to 20.1 tokens with bands of +-0.3: the axis covers two tokens, and the bands are whole."""
    (x, y) = (0.0, 50.0, 100.0), (19.8, 20.1, 20.0)
    band = dynamics_cases.band("grpo", 0, "length/bare", 3).model_copy(
        update={"x": x, "mean": y, "low": tuple(v - 0.3 for v in y), "high": tuple(v + 0.3 for v in y)}
    )
    with house_style():
        (drawing,) = draw_bands([band], looks(["grpo"], "grpo"))
    low, high = drawing.canvas.axes[0].get_ylim()
    # a tenth of 20.1 tokens about the middle of the means, and 5 % of it beyond either end
    assert (low, high) == pytest.approx((19.95 - 0.55 * 2.01, 19.95 + 0.55 * 2.01))
    assert low < min(band.low)
    assert max(band.high) < high


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
