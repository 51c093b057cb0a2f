"""From run directories to a report: every number is checked by hand arithmetic, and every warning appears once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from igrpo.report import statistics
from igrpo.report.compare import build_report
from igrpo.report.model import Curve, Report
from igrpo.report.runs import find_runs
from igrpo.report.verdict import sentences
from tests.report.run_dirs import COSTS, GRPO, IGRPO, change_json, of_metric, report_of, write_condition, write_run


def two(folder: Path, **more: Any) -> Report:
    """Build a report of GRPO and iGRPO."""
    write_condition(folder, "grpo", GRPO, "algorithm=grpo")
    write_condition(folder, "igrpo", IGRPO, "algorithm=igrpo", **more)
    return report_of(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of `two`, built once."""
    return two(tmp_path_factory.mktemp("plain"))


def curve(found: Report, condition: str, metric: str, axis: str) -> Curve:
    (one,) = [c for c in found.curves if (c.condition, c.metric, c.axis) == (condition, metric, axis)]
    return one


def test_what_a_condition_reached(plain: Report) -> None:
    finals = {(final.condition, final.metric): final for final in plain.finals}
    assert len(finals) == 6
    final = finals["grpo", "test/single_shot/accuracy"]
    assert final.per_seed == pytest.approx({0: 2.5 / 4, 1: 2.5 / 4, 2: 2.75 / 4})
    assert final.mean == pytest.approx((2.5 + 2.5 + 2.75) / 12)
    assert (final.before, final.problems, final.samples_per_problem) == (0.5, 4, 4)
    assert final.interval[0] < final.mean < final.interval[1]
    greedy = finals["igrpo", "test/greedy/accuracy"]  # right where more than half of the samples are
    assert greedy.per_seed == {0: 0.25, 1: 0.0, 2: 0.25}
    assert greedy.samples_per_problem == 1
    refined = finals["igrpo", "test/draft_conditioned/accuracy"]  # one more of four right on every problem
    assert refined.per_seed == pytest.approx({0: 2.75 / 4, 1: 2.5 / 4, 2: 3.0 / 4})


def test_differences_are_paired_by_seed_and_problem(plain: Report) -> None:
    (c,) = of_metric(plain.comparisons)
    assert c.pair == ("grpo", "igrpo")
    assert c.seed_differences == pytest.approx({0: -0.75 / 4, 1: -1.0 / 4, 2: -0.75 / 4})
    assert c.difference == pytest.approx(-2.5 / 12)
    assert (c.seeds, c.problems, c.family) == (3, 4, 1)
    d_SQ = [[i - g for g, i in zip(GRPO[seed], IGRPO[seed], strict=True)] for seed in GRPO]
    estimate = statistics.crossed_estimate(d_SQ, 0.95)
    assert c.interval == pytest.approx((estimate.low, estimate.high))
    assert c.p_value == pytest.approx(statistics.two_sided_p(estimate))
    assert c.p_better < 0.5
    assert c.effect_size == pytest.approx(statistics.effect_size(d_SQ))
    assert c.minimum_detectable_effect == pytest.approx(statistics.minimum_detectable_effect(estimate, 0.8))


def test_runs_of_different_numbers_of_samples_are_paired_by_their_shares(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", IGRPO, samples=8, changes={"evaluation.samples": 8})
    found = report_of(tmp_path)
    (c,) = of_metric(found.comparisons)
    assert c.seed_differences == pytest.approx({0: -0.75 / 4, 1: -1.0 / 4, 2: -0.75 / 4})
    d_SQ = [[i - g for g, i in zip(GRPO[seed], IGRPO[seed], strict=True)] for seed in GRPO]
    estimate = statistics.crossed_estimate(d_SQ, 0.95)
    assert c.interval == pytest.approx((estimate.low, estimate.high))
    assert {final.condition: final.samples_per_problem for final in of_metric(found.finals)} == {"grpo": 4, "igrpo": 8}


def test_holm_corrects_within_a_metric(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    for name, selection in (("a", "random"), ("b", "worst"), ("c", "best")):
        worse = {seed: [max(0.0, v - 0.25 * (name == "a")) for v in row] for seed, row in IGRPO.items()}
        write_condition(tmp_path, name, worse, changes={"algorithm.selection": selection})
    found = report_of(tmp_path)
    for metric in ("single_shot", "greedy", "draft_conditioned"):
        family = [c for c in found.comparisons if c.metric == f"test/{metric}/accuracy"]
        assert [c.pair for c in family] == [("grpo", "a"), ("grpo", "b"), ("grpo", "c")]
        assert {c.family for c in family} == {3}
        assert [c.p_adjusted for c in family] == pytest.approx(statistics.holm([c.p_value for c in family]))
    all_pairs = of_metric(report_of(tmp_path, pairs="all").comparisons)
    assert {c.family for c in all_pairs} == {6}
    assert ("a", "b") in [c.pair for c in all_pairs]


@pytest.mark.parametrize(
    ("costs", "matched"),
    [
        ({}, "samples"),
        ({"samples": 8.15}, "samples"),  # 1.9 % more
        ({"samples": 8.2}, "generated_tokens"),  # 2.5 % more
        ({"samples": 4.0, "generated_tokens": 80.0}, "trained_tokens"),
        ({"samples": 4.0, "generated_tokens": 80.0, "trained_tokens": 100.0}, "flops"),
        ({"samples": 4.0, "generated_tokens": 80.0, "trained_tokens": 100.0, "flops": -1}, "seconds"),
    ],
)
def test_what_budgets_are_matched_by(tmp_path: Path, costs: Mapping[str, float], matched: str) -> None:
    (c,) = of_metric(two(tmp_path, costs=costs).comparisons)
    assert c.matched_by == matched
    spent = {**COSTS, **costs}
    expected = {name: spent[name] / COSTS[name] for name in spent if name != "prefilled_tokens" and spent[name] > 0}
    assert c.budget_ratios == pytest.approx({"steps": 1.0, "seconds": 1.0, **expected})
    assert not c.verdict.startswith("budgets not matched")


def test_an_unmatched_comparison_says_so_first(tmp_path: Path) -> None:
    found = two(
        tmp_path, costs={name: 0.5 * cost for name, cost in COSTS.items()}, steps=6, changes={"trainer.steps": 6}
    )
    (c,) = of_metric(found.comparisons)
    assert c.matched_by == "nothing"
    assert c.budget_ratios == pytest.approx(
        dict.fromkeys(COSTS.keys() - {"prefilled_tokens"}, 0.75) | {"steps": 1.5, "seconds": 1.5}
    )
    assert c.verdict.startswith("budgets not matched (igrpo spent 0.75 times the samples, ")
    assert "1.50 times the seconds of grpo): " in c.verdict
    assert any(note.startswith("Budgets are not matched on any axis: igrpo spent 0.75") for note in found.notes)


def test_what_was_spent(tmp_path: Path) -> None:
    found = two(tmp_path, costs={"flops": -1})
    grpo, igrpo = (condition.spent for condition in found.conditions)
    assert (grpo.steps, grpo.samples, grpo.generated_tokens, grpo.trained_tokens, grpo.flops) == (4, 32, 640, 800, 4e9)
    assert igrpo.flops is None
    assert grpo.seconds == pytest.approx(4 * 0.75)  # generation and update; neither evaluation nor checkpoint
    assert grpo.seconds_by_phase == {"checkpoint": 0.5, "evaluation": 12.0, "generation": 2.0, "update": 1.0}


@pytest.mark.parametrize(
    ("axis", "x"),
    [
        ("steps", (0, 2, 4)),
        ("samples", (0, 16, 32)),
        ("generated_tokens", (0, 320, 640)),
        ("trained_tokens", (0, 400, 800)),
        ("flops", (0, 2e9, 4e9)),
        ("seconds", (0, 1.5, 3.0)),
    ],
)
def test_accuracy_along_every_budget(plain: Report, axis: str, x: tuple[float, ...]) -> None:
    found = curve(plain, "grpo", "development/single_shot/accuracy", axis)
    assert found.x == x
    assert [line.seed for line in found.lines] == [0, 1, 2]
    assert found.lines[2].y == pytest.approx((0.5, (0.5 + 2.75 / 4) / 2, 2.75 / 4))
    assert found.low[-1] == pytest.approx(2.5 / 4)
    assert found.high[-1] == pytest.approx(2.75 / 4)
    assert found.mean[-1] == pytest.approx(7.75 / 12)


def test_other_curves(plain: Report) -> None:
    entropy = curve(plain, "igrpo", "refinement/entropy", "steps")
    assert (entropy.x, entropy.mean) == ((1, 2, 3, 4), pytest.approx((0.5, 0.25, 0.5 / 3, 0.125)))
    against = curve(plain, "igrpo", "draft/entropy", "development/single_shot/accuracy")
    reached = sum(sum(row) for row in IGRPO.values()) / 12
    assert (against.x, against.mean) == (pytest.approx(((0.5 + reached) / 2, reached)), pytest.approx((0.5, 0.25)))
    repaired = curve(plain, "igrpo", "transfer/right_given_wrong", "steps")
    assert repaired.x == (1, 2, 4)  # at step 3 no wrong draft was shown
    names = {(c.metric, c.axis) for c in plain.curves if c.condition == "grpo"}
    assert ("development/draft_conditioned/accuracy", "development/single_shot/accuracy") in names
    assert {metric for metric, _ in names} >= {"groups/zero_variance_share", "answer/length_mean", "answer/reward_mean"}
    assert not any(metric.startswith(("draft/", "refinement/", "copy", "transfer")) for metric, _ in names)


def test_a_budget_that_one_seed_did_not_count_is_no_axis(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: GRPO[0]}, "algorithm=grpo")
    write_condition(tmp_path, "grpo", {1: GRPO[1]}, "algorithm=grpo", costs={"flops": -1})
    axes = {c.axis for c in report_of(tmp_path).curves if c.metric == "development/single_shot/accuracy"}
    assert axes == {"steps", "samples", "generated_tokens", "trained_tokens", "seconds"}


def test_grpo_on_the_whole_budget_is_the_baseline(tmp_path: Path) -> None:
    write_condition(
        tmp_path, "a_half", GRPO, "algorithm=grpo", changes={"algorithm.answers": 4}, costs={"samples": 4.0}
    )
    write_condition(tmp_path, "b_igrpo", IGRPO)
    write_condition(tmp_path, "c_imitation", IGRPO, "algorithm=grpo", "objective=best_of_n")
    write_condition(tmp_path, "d_dapo", IGRPO, "algorithm=grpo", "objective=dapo")
    write_condition(tmp_path, "e_plain", GRPO, "algorithm=grpo")
    found = report_of(tmp_path)
    assert found.baseline == "e_plain"
    assert {c.pair[0] for c in of_metric(found.comparisons)} == {"e_plain"}
    named = report_of(tmp_path, baseline="b_igrpo")
    assert named.baseline == "b_igrpo"
    assert {("b_igrpo", name) for name in ("a_half", "c_imitation", "d_dapo", "e_plain")} <= {
        c.pair for c in of_metric(named.comparisons)
    }
    with pytest.raises(ValueError, match=r"baseline 'grpo': .*a_half, b_igrpo, c_imi"):
        report_of(tmp_path, baseline="grpo")


def test_a_baseline_that_stands_in_for_grpo_says_so(tmp_path: Path) -> None:
    write_condition(tmp_path, "a_igrpo", IGRPO)
    write_condition(tmp_path, "b_dapo", GRPO, "algorithm=grpo", "objective=dapo")
    found = report_of(tmp_path)
    assert found.baseline == "b_dapo"
    assert "b_dapo is the baseline instead" in found.notes[0]
    for asked in (report_of(tmp_path, baseline="a_igrpo"), report_of(tmp_path, pairs="all")):
        assert not any("baseline instead" in note for note in asked.notes)
    write_condition(tmp_path, "c_grpo", GRPO, "algorithm=grpo")
    assert not any("baseline instead" in note for note in report_of(tmp_path).notes)


def test_each_group_size_is_compared_with_its_own_baseline(tmp_path: Path) -> None:
    for size in (4, 8, 16, 32):
        sizes = {"completions_per_question": size, "algorithm.answers": size}
        write_condition(
            tmp_path,
            f"grpo-k{size}",
            GRPO,
            "algorithm=grpo",
            changes=sizes,
            costs={name: size * c for name, c in COSTS.items()},
        )
        sizes = {"completions_per_question": size, "algorithm.drafts": size // 2}
        write_condition(
            tmp_path, f"igrpo-k{size}", IGRPO, changes=sizes, costs={name: size * c for name, c in COSTS.items()}
        )
    found = report_of(tmp_path)
    assert found.baseline == "grpo-k32"
    pairs = [c.pair for c in of_metric(found.comparisons)]
    assert pairs[:4] == [(f"grpo-k{size}", f"igrpo-k{size}") for size in (4, 8, 16, 32)]
    assert set(pairs[4:]) == {("grpo-k32", f"{name}-k{size}") for name in ("grpo", "igrpo") for size in (4, 8, 16)}
    assert [c.matched_by for c in of_metric(found.comparisons)][:4] == ["samples"] * 4


def test_one_seed_in_words(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: [1.0] * 20 + [0.75] * 4}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {0: [0.25] * 20 + [0.5] * 4})
    found = report_of(tmp_path)
    (c,) = of_metric(found.comparisons)
    assert c.verdict.startswith(
        "igrpo differs from grpo by \N{MINUS SIGN}66.7 points on single-shot accuracy (1 seed, 24 problems)"
    )  # (20 x .75 + 4 x .25) / 24
    assert "another seed may give another result" in c.verdict
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 seed only (grpo and igrpo)")


def test_a_difference_and_none_in_words(tmp_path: Path) -> None:
    strong = {seed: [0.25, 0.5, 0.25, 0.5] * 6 for seed in range(5)}
    write_condition(tmp_path, "grpo", strong, "algorithm=grpo")
    write_condition(
        tmp_path,
        "igrpo",
        {seed: [v + 0.25 + 0.25 * (i == seed) for i, v in enumerate(row)] for seed, row in strong.items()},
    )
    noise = {seed: [v + 0.25 * ((i + seed) % 3 - 1) for i, v in enumerate(row)] for seed, row in strong.items()}
    write_condition(tmp_path, "noise", noise, changes={"algorithm.selection": "random"})
    shown, none = of_metric(report_of(tmp_path).comparisons)
    assert shown.verdict.startswith(
        "igrpo is 26.0 points above grpo on single-shot accuracy (95 % interval +2"
    )  # .25 + .25 / 24
    assert re.search(r", p \S.* after Holm over 2 comparisons; 5 seeds, 24 problems\)$", shown.verdict)
    assert none.verdict.startswith("no difference shown between noise and grpo on single-shot accuracy (")
    assert "would have found" in none.verdict
    assert none.minimum_detectable_effect is not None
    assert none.seeds_needed is not None
    assert none.minimum_detectable_effect < none.seeds_needed.effect == 0.05
    assert none.verdict.endswith("points with 80 % power")  # and nothing about seeds: the design is large enough
    asked = of_metric(report_of(tmp_path, effect=0.02).comparisons)[1]
    assert asked.seeds_needed is not None
    assert (asked.seeds_needed.seeds or 0) > 5
    assert asked.verdict.endswith(
        f"to show 2.0 points takes about {asked.seeds_needed.seeds} seeds, if their spread is as measured"
    )


def test_every_accuracy_has_its_sentence(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", IGRPO)
    found = report_of(tmp_path)
    said = sentences(found)
    assert [c.pair for c in found.comparisons] == [("grpo", "igrpo")] * 3
    for text, words in zip(said, ("single-shot", "greedy", "draft-conditioned"), strict=True):
        assert f"on {words} accuracy" in text
    alone = [c for c in found.comparisons if "greedy" not in c.metric]
    assert sentences(found.model_copy(update={"comparisons": tuple(alone)}))[-1].startswith(
        "Greedy accuracy was measured for grpo and igrpo only (evaluation.greedy=true"
    )
    finals = tuple(final for final in found.finals if "greedy" not in final.metric)
    said = sentences(found.model_copy(update={"comparisons": tuple(alone), "finals": finals}))
    assert len(said) == 3
    assert said[-1].startswith("Greedy accuracy was not measured")


def test_a_control_is_named_as_one(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    write_condition(tmp_path, "bare", GRPO, changes={"algorithm.drafts": 0})
    (c,) = of_metric(report_of(tmp_path).comparisons)
    assert c.identical_by_construction is not None
    assert c.verdict.startswith(f"the two can differ only by chance ({c.identical_by_construction}): no difference")


def notes_of(folder: Path) -> str:
    return "\n".join(report_of(folder).notes)


def test_a_clean_comparison_has_no_notes(plain: Report) -> None:
    assert plain.notes == ()


def test_notes_on_seeds_and_starts(tmp_path: Path) -> None:
    two(tmp_path, changes={"model.warm_start.seed": 0})
    text = notes_of(tmp_path)
    assert "the same weights (model.warm_start.seed=0)" in text
    write_condition(tmp_path, "igrpo", {7: IGRPO[0]}, changes={"model.warm_start.seed": 0})
    assert "Conditions have different seeds (grpo: 0, 1, 2; igrpo: 0, 1, 2, 7)" in notes_of(tmp_path)
    assert of_metric(report_of(tmp_path).comparisons)[0].seeds == 3


def test_conditions_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: GRPO[0], 1: GRPO[1], 2: GRPO[2]}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {3: IGRPO[0], 4: IGRPO[1], 5: IGRPO[2]})
    found = report_of(tmp_path)
    assert found.comparisons == ()
    assert "igrpo and grpo have no seed in common" in found.notes[0]
    assert len(found.finals) == 6


def test_a_note_on_different_starts(tmp_path: Path) -> None:
    text = "\n".join(two(tmp_path, before=[0.5, 0.5, 0.5, 0.25]).notes)
    assert "(seed 2: grpo 50.0 %, igrpo 43.8 %)" in text


def test_a_note_on_drafts_that_were_worth_nothing(tmp_path: Path) -> None:
    two(tmp_path)
    nothing = {"drafts": 9, "right": 0.5, "gain": {"value": 0.0, "low": -0.1, "high": 0.1}}
    something = nothing | {"gain": {"value": 0.1, "low": -0.1, "high": 0.3}}
    for seed, given in enumerate((nothing, something, nothing)):
        for name in ("grpo", "igrpo"):
            worth = {"given_right": given, "given_wrong": nothing, "bare": 0.5}
            change_json(tmp_path / f"{name}-{seed}" / "summary.json", draft_worth={"before": worth, "after": None})
    (note,) = report_of(tmp_path).notes
    assert "raise the accuracy of igrpo (seed 0 and 2)" in note


def test_a_note_on_different_rewards_and_ways_of_testing(tmp_path: Path) -> None:
    write_condition(tmp_path, "igrpo", IGRPO)
    write_condition(tmp_path, "any_percent", IGRPO, changes={"reward.percent": "any"})
    text = "\n".join(report_of(tmp_path, baseline="igrpo").notes)
    assert text.startswith("Conditions have different rewards (reward.percent)")
    other = tmp_path / "other"
    text = "\n".join(two(other, changes={"evaluation.temperature": 0.5}).notes)
    assert text.startswith("Conditions are tested differently (evaluation.temperature)")


def test_different_problems_are_noted_and_common_ones_compared(tmp_path: Path) -> None:
    found = two(tmp_path, ids=["p1", "p2", "p3", "p9"])
    assert "different problems (4 each, 3 common to all)" in "\n".join(found.notes)
    (c,) = of_metric(found.comparisons)
    assert c.problems == 3
    # seed 0, by problem p1, p2, p3: igrpo's first three values minus grpo's last three
    assert c.seed_differences[0] == pytest.approx(((0.5 - 0.5) + (0.25 - 1.0) + (0.75 - 0.25)) / 3)


def test_intervals_stay_within_what_an_accuracy_can_be(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: [1.0, 1.0], 1: [1.0, 1.0]}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {0: [0.0, 0.0], 1: [0.0, 0.0]})
    found = report_of(tmp_path)
    # no spread at 2 problems: +- 1 - sqrt(0.05)
    assert [f.interval for f in found.finals[:2]] == [
        (pytest.approx(0.05**0.5), 1.0),
        (0.0, pytest.approx(1 - 0.05**0.5)),
    ]
    (c,) = of_metric(found.comparisons)
    assert c.interval == (-1.0, pytest.approx(-(0.05**0.5)))


def test_seeds_with_different_problems_are_compared_by_means(tmp_path: Path) -> None:
    for seed, right in GRPO.items():
        ids = [f"{seed}/{i}" for i in range(4)]
        write_condition(tmp_path, "grpo", {seed: right}, "algorithm=grpo", ids=ids)
        write_condition(tmp_path, "igrpo", {seed: IGRPO[seed]}, ids=ids)
    found = report_of(tmp_path)
    (c,) = of_metric(found.comparisons)
    means = [-0.75 / 4, -1.0 / 4, -0.75 / 4]
    assert (list(c.seed_differences.values()), c.problems, c.degrees_of_freedom) == (pytest.approx(means), 4, 2)
    # the t interval of three means: -2.5/12 +- 4.3027 * 0.0360844 / sqrt(3)
    assert c.interval == pytest.approx((-0.2979723, -0.1186944), abs=1e-6)
    assert found.finals[0].mean == pytest.approx(7.75 / 12)
    assert "(4 each, 0 common to all)" in "\n".join(found.notes)


def test_one_problem_at_one_seed_is_no_report(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: [0.5]}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {0: [0.25]})
    with pytest.raises(ValueError, match="one problem at one seed is all that was tested"):
        report_of(tmp_path)


def test_one_common_problem_is_no_comparison(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", {0: [0.5, 0.25]}, "algorithm=grpo")
    write_condition(tmp_path, "igrpo", {0: [0.25, 1.0]}, ids=["p1", "p7"])
    found = report_of(tmp_path)
    assert (len(found.finals), found.comparisons) == (6, ())
    assert "igrpo and grpo have too few problems in common" in found.notes[0]


def test_unfinished_runs_are_listed_and_noted(tmp_path: Path) -> None:
    two(tmp_path)
    write_run(
        tmp_path / "late", "algorithm=grpo", seed=9, after=[1.0] * 4, status="FAILED", changes={"condition": "grpo"}
    )
    (tmp_path / "grpo-1" / "summary.json").write_text("{")
    found = report_of(tmp_path)
    excluded = {entry.name: entry for entry in found.runs if entry.excluded is not None}
    assert excluded.keys() == {"late", "grpo-1"}
    assert (excluded["late"].condition, excluded["late"].seed, excluded["late"].status) == ("grpo", 9, "FAILED")
    assert found.conditions[0].seeds == (0, 2)
    assert any(note.startswith("2 of 7 runs are not used: grpo-1 (") for note in found.notes)


def test_nothing_usable(tmp_path: Path) -> None:
    write_run(tmp_path / "a", after=[1.0], status="KILLED")
    with pytest.raises(ValueError, match=r"none of 1 run can be used: a \(it was stopped"):
        report_of(tmp_path)


def test_one_condition_is_shown_and_says_that_it_is_alone(tmp_path: Path) -> None:
    write_condition(tmp_path, "grpo", GRPO, "algorithm=grpo")
    found = report_of(tmp_path)
    assert (found.comparisons, len(found.finals)) == ((), 3)
    assert found.notes == ("Only one condition: there is nothing to compare it with.",)


def test_a_metric_that_was_switched_off_is_left_out(tmp_path: Path) -> None:
    two(tmp_path)
    path = tmp_path / "igrpo-1" / "evaluations" / "test-000004.json"
    evaluation = json.loads(path.read_text())
    for problem in evaluation["per_question"]:
        problem |= {"greedy": None, "draft_conditioned": []}
    path.write_text(json.dumps(evaluation))
    found = report_of(tmp_path)
    assert {c.metric for c in found.comparisons} == {"test/single_shot/accuracy"}
    assert [final.condition for final in found.finals] == ["grpo", "igrpo", "grpo", "grpo"]


def test_titles(tmp_path: Path) -> None:
    two(tmp_path)
    assert build_report(find_runs([tmp_path]), title=None, sources=[]).title == "igrpo against grpo"


def test_a_report_survives_json(plain: Report) -> None:
    text = json.dumps(plain.model_dump(mode="json"), allow_nan=False)
    assert Report.model_validate(json.loads(text)) == plain
