"""The shipped tables: their runs compose, their rows have runs, and every number that the paper prints is in one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from igrpo.config import ConfigError
from igrpo.config.composing.composer import Composer
from igrpo.settings.judge import JudgeConfig
from igrpo.tools.doctor.paper import paper_tables
from igrpo.tools.reproduce.evaluating import OWN_SPLIT
from igrpo.tools.reproduce.grids import PlannedGrid, has, plan_grids, planned_cells, settings_of
from igrpo.tools.reproduce.measures import COSTS
from igrpo.tools.reproduce.names import folder, model_names, table_names
from igrpo.tools.reproduce.printed import footnotes, printed_rows
from igrpo.tools.reproduce.request import Request, read_request
from igrpo.tools.reproduce.tables import read_table, small_models

NAMES = table_names()
QUICK = [name for name in NAMES if read_table(name).quick is not None]
#: One seed says as much about the settings as three.
FORMS = [
    *((f"table={name}", "seed=0") for name in NAMES),
    *((f"table={name}", "quick=true", "seed=0") for name in QUICK),
    *(("table=1", "quick=true", "seed=0", f"model={model}") for model in small_models()),
]


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer("train") as made:
        yield made


def planned(composer: Composer, *settings: str) -> tuple[Request, list[PlannedGrid]]:
    request = read_request(settings, None)
    return request, plan_grids(request, composer)


def test_the_tables() -> None:
    assert NAMES == ["1", "2", "3", "fig2", "fig3", "s1", "s3", "s4"]
    assert sorted(path.stem for path in folder().glob("*.yaml")) == sorted(
        ["small_models", "table1", "table2", "table3", "tables1", "tables3", "tables4", "fig2", "fig3"]
    )


@pytest.mark.parametrize("settings", FORMS, ids=" ".join)
def test_the_settings_of_a_table_compose(settings: tuple[str, ...], composer: Composer) -> None:
    """Those of one row of each grid; a sweep checks the others in the same way before it starts."""
    request = read_request(settings, None)
    table, scale = request.table, request.scale
    for grid in scale.grids:
        row = grid.rows[-1]
        swept = [f"{key}={row.cell.get(key, values)}" for key, values in grid.sweep.items()]
        run = [*grid.settings, *scale.settings, *swept, "seed=0"]
        config = composer.check_run(run).config
        # decontamination leaves out training questions near a benchmark that the run knows of
        in_training = {name: benchmark.samples for name, benchmark in config.evaluation.benchmarks.items()}
        assert set(in_training.values()) <= {1}
        evaluation = [*scale.evaluation, *grid.evaluation]
        if table.kind == "accuracy" and evaluation:
            asked = composer.check_run([grid.settings[0], *evaluation]).config.evaluation.benchmarks
            assert set(scale.columns.values()) <= set(asked)
            assert set(scale.columns.values()) <= set(in_training)
            assert max(benchmark.samples for benchmark in asked.values()) > 1
        elif table.kind == "accuracy":
            assert list(scale.columns.values()) == [OWN_SPLIT]
        elif table.kind == "cost":
            assert set(scale.columns.values()) <= set(COSTS)


@pytest.mark.parametrize("settings", FORMS, ids=" ".join)
def test_every_run_fills_a_row(settings: tuple[str, ...]) -> None:
    for grid in read_request(settings, None).scale.grids:
        values = [[f"{key}={value}" for value in given.split(",")] for key, given in grid.sweep.items()]
        runs = [(*chosen, "seed=0") for chosen in product(*values)]
        trained = [row for row in grid.rows if not row.start]
        assert [sum(has(run, row) for run in runs) for row in grid.rows] == [1] * len(grid.rows)
        assert [sum(has(run, row) for row in trained) for run in runs] == [1] * len(runs)


def test_a_judge_of_ones_own(composer: Composer) -> None:
    _, (one,) = planned(composer, "table=3", "seed=5", "reward.base_url=http://127.0.0.1:1/v1", "reward.model=mine")
    rule, judge = (planned_cells(one, row) for row in one.grid.rows)
    assert [cell.config.reward.name for cell in rule] == ["math_verify"]
    (reward,) = (cell.config.reward for cell in judge)
    assert isinstance(reward, JudgeConfig)
    assert (reward.base_url, reward.model, reward.verdict) == ("http://127.0.0.1:1/v1", "mine", "rule")
    preset = composer.check_run(["experiment=paper/deepseek_r1_distill_qwen_7b_judge"]).config.reward
    update = {"base_url": reward.base_url, "model": reward.model}
    assert preset.model_copy(update=update) == reward
    assert {cell.config.seed for cell in one.sweep.cells} == {5}


def test_every_printed_number_is_in_a_table() -> None:
    shown = [
        number
        for name in NAMES
        for row in printed_rows(read_table(name), read_table(name).full)
        for number in row.numbers.values()
    ]
    keys = ("table1_math", "figure2_acereason", "table2_wrapper", "table3_judge", "tableS1_openr1_94k",
            "tableS3_cost", "tableS4_beta", "tableS4_total_completions", "figure3_entropy_nats")  # fmt: skip
    expected = [number for key in keys for number in _numbers(paper_tables()[key])]
    assert sorted(shown) == sorted(expected)
    assert len(shown) > 150
    rest = set(paper_tables()) - set(keys)
    assert rest == {"source", "unit", "note", "known_defects", "figureS1_pass_at_n", "tableS3_setting"}


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)


def test_a_printed_number_is_that_of_its_row() -> None:
    table = read_table("1")
    rows = {(row.model, row.method): row for row in printed_rows(table, table.full)}
    found = rows["DeepSeek-R1-Distill-Qwen-7B", "base"]
    assert (found.numbers["AIME24"], found.numbers["Avg"], found.marks) == (54.4, 61.93, (1,))
    assert rows["DeepSeek-R1-Distill-Qwen-7B", "GRPO"].marks == ()
    wrapped = read_table("2")
    assert [(row.method, row.numbers["Avg"]) for row in printed_rows(wrapped, wrapped.full)] == [
        ("DAPO", 69.74), ("DAPO + iGRPO", 70.93), ("GSPO", 69.2), ("GSPO + iGRPO", 70.31),
    ]  # fmt: skip
    control = read_table("fig2")
    assert [row.method for row in printed_rows(control, control.full)] == ["base", "iGRPO"]


def test_every_known_defect_is_a_footnote() -> None:
    notes = {note.rstrip(".").lower() for name in NAMES for note in footnotes(read_table(name))}
    assert {defect.rstrip(".").lower() for defect in paper_tables()["known_defects"]} <= notes


def test_seeds_model_and_settings_of_the_command(composer: Composer) -> None:
    request, (one,) = planned(
        composer, "table=fig3", "quick=true", "model=smollm2_135m", "seed=4,2", "trainer.steps=3", "tracking=none"
    )
    assert one.grid.name == "smollm2_135m-entropy"
    assert [settings_of(cell.overrides)["seed"] for cell in one.sweep.cells] == ["4", "2"] * 2
    assert {cell.config.trainer.steps for cell in one.sweep.cells} == {3}
    assert {cell.config.data.name for cell in one.sweep.cells} == {"times_tables"}
    assert request.output == Path.cwd() / "reproduce" / "fig3-quick-smollm2_135m"
    assert read_request(["table=fig3"], None).output.name == "fig3"
    assert read_request(["table=s1", "quick=true"], Path("x")).output == Path.cwd() / "x"
    assert {grid.name for grid in read_request(["table=1", "model=openmath_nemotron_7b"], None).scale.grids} == {
        "openmath_nemotron_7b"
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "give a table, as in table=1; known: 1, 2, 3, fig2, fig3, s1, s3, s4"),
        (["table=s2"], "table=s2: no such table; did you mean '2'?"),
        (["table=x"], "table=x: no such table; known here: 1, 2, 3, fig2"),
        (["table=1", "quick=yes"], "quick=yes: give true or false"),
        (["table=3", "quick=true"], "table=3 quick=true: the table is about a judge"),
        (["table=1", "model=openmath_nemotron_7"], "did you mean 'openmath_nemotron_7b'?"),
        (["table=1", "quick=true", "model=qwen3_0_6b"], "model=qwen3_0_6b: this table has no such model; known here"),
        (["table=1", "seed=0,0"], "seed=0,0: give different whole numbers"),
        (["table=1", "seed=a"], "seed=a: give different whole numbers"),
    ],
)
def test_what_a_table_does_not_have(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_request(settings, None)
    assert message in str(refused.value)


def test_an_unknown_setting(composer: Composer) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'trainer\.steps'"):
        planned(composer, "table=fig3", "quick=true", "seed=0", "trainer.stpes=3")


def test_names_for_completion() -> None:
    assert model_names()[:2] == ["tiny", "smollm2_135m_q4"]
    assert "openreasoning_nemotron_7b" in model_names()
    assert len(set(model_names())) == len(model_names())
