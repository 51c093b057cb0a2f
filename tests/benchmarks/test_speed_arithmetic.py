"""The arithmetic from measured runs to bench.json, against numbers worked out by hand. Nothing is timed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as program
from benchmarks.speed import arithmetic, limits, page
from benchmarks.speed.arithmetic import GRPO, IGRPO, TRL
from benchmarks.speed.workload import SHAPES, Case


def run(*steps: float, peak: float = 100.0) -> dict[str, Any]:
    """A run whose steps spend three quarters in training, all of it in the update."""
    rows = [{"step": s, "generation": s / 4, "training": 3 * s / 4, "update": 3 * s / 4} for s in steps]
    return {"steps": rows, "peak_mib": peak}


def measured(*, with_trl: bool = True) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Two repetitions of every case: TRL takes 10 and 60 s, GRPO 5 and 20 s, iGRPO 4 and 10 s."""
    found = {}
    for name in arithmetic.AGAINST_TRL:
        found[name] = {TRL: [run(10, peak=60), run(60, peak=60)]} if with_trl else {}
        found[name][GRPO] = [run(5, peak=30), run(20, peak=30)]
        if name in arithmetic.BOTH_ALGORITHMS:
            found[name][IGRPO] = [run(4), run(10)]
    return found


FLOPS = {"prefill": 10, "decode": 200, "train": 600, "train_unshared": 1200}
RATES = {"decode": 100.0, "train": 120.0}


def results(*, with_trl: bool = True) -> dict[str, Any]:
    names = arithmetic.AGAINST_TRL
    return arithmetic.results(measured(with_trl=with_trl), dict.fromkeys(names, FLOPS), dict.fromkeys(names, RATES))


def record() -> dict[str, Any]:
    """What a whole run writes, without the parts that no page shows."""
    about: dict[str, Any] = {
        "cases": {name: {"size": "S", "questions": 8, "group": 8, "prompt": 44, "completion": 128, "steps": 4,
                         "uniform": name == "S_uniform"} for name in arithmetic.AGAINST_TRL},
        "machine": {"device": "x86_64", "cores": 2, "memory_gib": 23.0},
        "settings": {"device": "cpu", "threads": 1, "seed": 3, "repetitions": 2, "trl_microbatch_rows": 8},
        "date": "2026-01-02", "commit": "abc", "versions": {"torch": "9.9", "trl": "7.7"},
    }  # fmt: skip
    return results() | about


def test_a_run_counts_by_the_median_of_its_steps() -> None:
    assert arithmetic.seconds(run(9, 2, 4)) == 4
    assert arithmetic.seconds(run(9, 2, 4), "generation") == 1


def test_a_ratio_pairs_the_runs_of_a_repetition() -> None:
    assert arithmetic.ratio([run(10), run(60)], [run(5), run(20)]) == 2.5, "of medians it would be 2.8"
    with pytest.raises(ValueError, match="shorter"):
        arithmetic.ratio([run(10), run(60)], [run(5)])


def test_the_main_numbers() -> None:
    found = results()
    assert found["ratio_vs_trl"] == {"S_short": 2.5, "S_long": 2.5, "S_uniform": 2.5, "M_short": 2.5}
    assert found["igrpo_over_grpo"] == {"S_short": 0.65, "S_long": 0.65}
    assert found["peak_memory_vs_trl"] == 0.5
    # GRPO's median step is 12.5 s, 3.125 of it generation; 200 / 100 + 10 / 120 and 600 / 120 s are needed
    assert found["decode_over_limit"] == pytest.approx(3.125 / (2 + 10 / 120))
    assert found["train_over_limit"] == pytest.approx(9.375 / 5)
    assert found["over_limit_by_case"]["S_short"]["train_unshared"] == pytest.approx(9.375 / 10)


def test_without_trl_what_is_compared_is_null() -> None:
    found = results(with_trl=False)
    assert found["ratio_vs_trl"] == dict.fromkeys(arithmetic.AGAINST_TRL)
    assert found["peak_memory_vs_trl"] is None
    assert found["igrpo_over_grpo"] == results()["igrpo_over_grpo"]
    assert found["train_over_limit"] == results()["train_over_limit"]
    json.dumps(found, allow_nan=False)


def test_cases_that_are_left_out_are_null() -> None:
    runs = {"M_short": measured()["M_short"]}
    found = arithmetic.results(runs, {"M_short": FLOPS}, {"M_short": RATES})
    assert found["ratio_vs_trl"] == {"S_short": None, "S_long": None, "S_uniform": None, "M_short": 2.5}
    assert found["train_over_limit"] is None
    assert found.keys() == results().keys()


def test_utilisation_is_of_every_row_on_its_own() -> None:
    assert arithmetic.utilisation(2.0, FLOPS, 1e-12) == (1200 + 200 + 10) / 2


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_a_power_is_its_exponent(power: float) -> None:
    sizes = [2, 4, 8, 32]
    assert arithmetic.slope(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-12)


def test_other_lengths_than_the_cases_are_an_error() -> None:
    steps = {"steps": [{"generated_tokens": 64}, {"generated_tokens": 63}]}
    with pytest.raises(ValueError, match="sampled 63 tokens, and the case has 64"):
        arithmetic.check_tokens("S_short", TRL, steps, 64)


@pytest.mark.parametrize("uniform", [False, True])
def test_operations_are_those_of_a_loop_over_all_tokens(uniform: bool) -> None:
    case = Case("M", questions=2, group=3, prompt=9, completion=20, steps=1, uniform=uniform)
    prompts, completions = case.prompt_lengths(), case.completion_lengths()
    hidden, layers = SHAPES["M"]["hidden_size"], SHAPES["M"]["num_hidden_layers"]
    *layer, head = (2 * outputs * inputs for outputs, inputs in limits.matrices("M"))

    def token(context: int) -> int:
        return sum(layer) + 4 * layers * hidden * context

    expected = dict.fromkeys(("prefill", "decode", "train", "train_unshared"), 0)
    for prompt in prompts:
        once = sum(token(i + 1) for i in range(prompt))
        expected["prefill"] += once + head
        expected["train"] += 3 * once
    for i, completion in enumerate(completions):
        prompt = prompts[i % 2]
        expected["decode"] += sum(token(prompt + j + 1) + head for j in range(completion - 1))
        alone = sum(token(prompt + j + 1) + head for j in range(completion))
        expected["train"] += 3 * alone
        expected["train_unshared"] += 3 * (alone + sum(token(j + 1) for j in range(prompt)))
    assert limits.flops(case) == expected


def test_rates_are_those_of_every_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_median", lambda work, meter: work() or 2.0)
    monkeypatch.setattr(limits, "_TOKENS", 4)
    case = Case("S", questions=1, group=3, prompt=10, completion=10, steps=1)
    *layer, head = (outputs * inputs for outputs, inputs in limits.matrices("S"))
    found = limits.rates(case, "cpu")
    assert found["decode"] == 2 * 3 * (sum(layer) + head) / 2
    assert found["train"] == 3 * 2 * (4 * sum(layer) + 2 * head) / 2, "half of the tokens go through the head"


def test_without_trls_environment_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["speed", "--quick", "--trl-python", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"make \.venv-bench/installed, or --without-trl"):
        program.main()


def test_the_page_has_every_program_of_every_case() -> None:
    text = page.text(record(), None)
    for case in arithmetic.AGAINST_TRL:
        assert f"| {case} | TRL, GRPO | 8.75 | 26.25 | 35.00 | 2.50 | 60 |" in text
        assert f"| {case} | igrpo, GRPO | 3.12 | 9.38 | 12.50 | 1.00 | 30 |" in text
    assert "| S_short | igrpo, iGRPO | 1.75 | 5.25 | 7.00 | 0.65 | 100 |" in text
    assert all(part in text for part in ("commit abc", "seeds 3 to 4", "torch 9.9", "**Not run**: a GPU"))
    assert page.steps_figure(record()).startswith("<svg")


def test_the_curves_are_on_the_page() -> None:
    points = [{"prompt": size, "step": size, "generation": size, "training": size**2} for size in (32, 64)]
    slopes = {"step": 1.0, "generation": 1.0, "training": 2.0, "peak_mib": 0.5}
    curves = {size: {"points": [{**point, size: point["prompt"]} for point in points], "slopes": slopes}
              for size in program.CURVES}  # fmt: skip
    base = {"questions": 4, "group": 8, "prompt": 64, "completion": 64}
    scaling = {"base": base, "commit": "def", "curves": curves}
    text = page.text(record(), scaling)
    assert "| prompt tokens | 32-64 | 1.00 | 1.00 | 2.00 | 0.50 |" in text
    assert "commit def" in text
    assert page.scaling_figure(scaling).startswith("<svg")


def test_the_committed_page_is_that_of_the_results() -> None:
    assert page.PAGE.exists() == page.RESULTS.exists(), "run `python -m benchmarks.speed.page`"
    if page.RESULTS.exists():
        scaling = json.loads(page.SCALING.read_text(encoding="utf-8")) if page.SCALING.exists() else None
        found = json.loads(page.RESULTS.read_text(encoding="utf-8"))
        assert page.PAGE.read_text(encoding="utf-8") == page.text(found, scaling)
