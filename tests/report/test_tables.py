"""Every number of the report is in its tables, rounded as they say, and text from outside stays text."""

from __future__ import annotations

import re

import pytest

from igrpo.report import labels
from igrpo.report.model import Report
from igrpo.report.table_contents import all_tables
from igrpo.report.tables import latex, markdown
from tests.report.report_cases import CASES, EIGHT, HOSTILE_NAMES, ONE_SEED, TWO, final


def cells(report: Report, key: str) -> list[dict[str, str]]:
    (table,) = [table for table in all_tables(report) if table.key == key]
    return [dict(zip(table.head, row, strict=True)) for row in table.rows]


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"[-+]?\d+\.\d+|[-+]?\d+", text.replace("−", "-").replace(",", " "))]


def test_a_row_of_results_digit_by_digit() -> None:
    one = final("GRPO", 0, "test/single_shot/accuracy", (0, 1)).model_copy(
        update={"mean": 0.94349, "interval": (0.91251, 1.0), "per_seed": {1: 0.938, 0: 0.9489}, "before": 0.398}
    )
    (row,) = cells(TWO.model_copy(update={"finals": (one,)}), "results")
    assert row == {
        "condition": "GRPO",
        "after": "94.3",
        "95 % interval": "[91.3, 100.0]",
        "before": "39.8",
        "change": "+54.5",  # 94.349 - 39.8 = 54.549
        "per seed": "94.9, 93.8",  # by seed
        "size": "256 × 4",
    }


def test_a_row_of_differences_digit_by_digit() -> None:
    one = TWO.comparisons[0].model_copy(
        update={
            "difference": -0.21249,
            "interval": (-0.27751, -0.0004),
            "bootstrap_interval": (-0.25, 0.01),
            "seed_differences": {1: 0.0004, 0: -0.3},
            "p_value": 0.0004,
            "p_better": 0.99987,
            "p_adjusted": 0.0123,
            "effect_size": -1.234,
            "minimum_detectable_effect": 0.0549,
            "degrees_of_freedom": 4.26,
            "matched_by": "trained_tokens",
            "family": 3,
        }
    )
    report = TWO.model_copy(update={"comparisons": (one,)})
    (row,) = cells(report, "differences")
    assert row == {
        "pair": "iGRPO − GRPO",
        "matched by": "trained tokens",
        "difference": "−21.2",
        "95 % interval": "[−27.8, 0.0]",  # no minus sign before what rounds to zero
        "bootstrap interval": "[−25.0, +1.0]",
        "per seed": "−30.0, 0.0",
        "size": "5 × 256",
    }
    (row,) = cells(report, "certainty")
    assert row == {
        "pair": "iGRPO − GRPO",
        "P(better)": "> 0.999",
        "p": "< 0.001",
        "p adjusted": "0.012",
        "effect size": "−1.23",
        "MDE": "5.5",
        "df": "4.3",
    }
    (table,) = [table for table in all_tables(report) if table.key == "certainty"]
    assert "over the comparisons of a metric (3)." in table.note


def under(report: Report, key: str, metric: str) -> dict[str, str]:
    """The rows under a metric's heading, joined, by their first cell."""
    (table,) = [table for table in all_tables(report) if table.key == key]
    (rows,) = [
        rows for heading, rows in table.groups if heading.startswith(labels.capital(labels.quantity(metric).full))
    ]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: " ".join(row[1:]) for row in rows}


@pytest.mark.parametrize("case", list(CASES))
def test_every_number_of_the_report_is_in_the_tables(case: str) -> None:
    report = CASES[case]
    rows = {(t.key, row[0], i): row for t in all_tables(report) for i, row in enumerate(t.rows)}
    for f in report.finals:
        found = numbers(under(report, "results", f.metric)[f.condition])
        assert f.before is not None
        for value in (f.mean, *f.interval, *f.per_seed.values(), f.before, f.mean - f.before):
            assert min(abs(100 * value - n) for n in found) <= 0.0501
    for c in report.comparisons:
        pair = f"{c.pair[1]} − {c.pair[0]}"
        found = numbers(under(report, "differences", c.metric)[pair])
        ends = [*(c.interval or ()), *(c.bootstrap_interval or ())]
        for value in (c.difference, *ends, *c.seed_differences.values()):
            assert min(abs(100 * value - n) for n in found) <= 0.0501
        assert {float(c.seeds), float(c.problems)} <= set(found)
        if c.seeds == 1:
            assert not any(table.key == "certainty" for table in all_tables(report))
            continue
        found = numbers(under(report, "certainty", c.metric)[pair])
        assert c.p_value is not None and c.p_better is not None and c.p_adjusted is not None  # noqa: PT018
        assert c.minimum_detectable_effect is not None
        assert c.degrees_of_freedom is not None
        for value in (c.p_value, c.p_better, c.p_adjusted):
            assert min(abs(value - n) for n in found) <= 0.000501
        assert min(abs(100 * c.minimum_detectable_effect - n) for n in found) <= 0.0501
        assert min(abs(c.degrees_of_freedom - n) for n in found) <= 0.0501
        assert c.effect_size is None or min(abs(c.effect_size - n) for n in found) <= 0.00501
    for condition in report.conditions:
        (row,) = [r for (key, name, _), r in rows.items() if (key, name) == ("budget", condition.name)]
        assert f"{condition.spent.generated_tokens:,.0f}" in row
        assert f"{condition.spent.trained_tokens:,.0f}" in row
        assert f"{condition.spent.seconds:,.1f}" in row
        (row,) = [r for (key, name, _), r in rows.items() if key == "seconds" and name == condition.name]
        assert row[1] == f"{condition.spent.seconds_by_phase['generation']:,.1f}"
    shown = [row for (key, _, _), row in rows.items() if key == "runs"]
    assert [(row[0], row[5]) for row in shown if row[5] != "yes"] == [("stopped-9", "no: it failed at step 17")]
    assert len(shown) == len(report.runs)


def test_what_is_absent_is_a_dash() -> None:
    assert {row["95 % interval"] + row["bootstrap interval"] for row in cells(ONE_SEED, "differences")} == {"––"}
    assert [row["FLOPs"] for row in cells(EIGHT, "budget")][-2:] == ["8.82×10¹³", "–"]  # 1.26e13 * 7
    assert cells(EIGHT, "seconds")[0]["reward wait"] == "–"
    unread = TWO.runs[0].model_copy(update={"seed": None, "condition": "unknown", "excluded": "no config.yaml"})
    assert cells(TWO.model_copy(update={"runs": (unread,)}), "runs")[0]["seed"] == "–"


def test_identity_by_construction_is_said() -> None:
    (table,) = [table for table in all_tables(EIGHT) if table.key == "differences"]
    assert "igrpo, objective=dapo − grpo (one update a batch: the ratio is 1)" in table.note


@pytest.mark.parametrize(
    ("number", "decimals", "text"), [(0.04, 1, "0.0"), (-0.04, 1, "0.0"), (-1.25, 2, "−1.25"), (1234.0, 0, "+1,234")]
)
def test_signs(number: float, decimals: int, text: str) -> None:
    assert labels.signed(number, decimals) == text


def test_probabilities_never_claim_certainty() -> None:
    shown = [labels.probability(p) for p in (0.0, 0.0004, 0.0005, 0.5, 0.9994, 0.9996, 1.0)]
    assert shown == ["0.000", "< 0.001", "0.001", "0.500", "0.999", "> 0.999", "1.000"]


def test_markdown_has_every_table_with_escaped_names() -> None:
    text = markdown(HOSTILE_NAMES)
    assert "<script" not in text
    assert "<img" not in text
    tables = all_tables(HOSTILE_NAMES)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == sum(
        len(table.rows) + sum(bool(heading) for heading, _ in table.groups) + 2 for table in tables
    )
    assert "| **Single-shot accuracy, test (percentage points)** |" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert widths == {len(table.head) + 1 for table in tables}
    assert r"50% &amp; \_x" in text
    assert r"\`z\` [l]\(u)" in text  # no code, no link
    assert "> &lt;img src=x onerror=alert(2)&gt; &amp; more" in text
    assert TWO.comparisons[0].verdict in markdown(TWO)


def test_latex_escapes_and_balances() -> None:
    text = latex(HOSTILE_NAMES)
    assert r"50\% \& \_x" in text
    assert r"a\$b\$ \#2 \{y\} \textasciicircum{}\textasciitilde{}\textbackslash{}" in text
    assert r"\textless{}script\textgreater{}" in text
    assert len(re.findall(r"\\begin\{table\}", text)) == len(all_tables(HOSTILE_NAMES))
    for one in text.split("\\begin{table}")[1:]:
        head = re.search(r"\\begin\{tabular\}\{([lr]+)\}", one)
        assert head is not None
        body = one.partition("\\toprule\n")[2].partition("\\bottomrule")[0]
        for row in body.splitlines():
            if row.startswith("\\multicolumn"):
                assert row.startswith(f"\\multicolumn{{{len(head[1])}}}{{l}}")
            elif row != "\\midrule":
                assert row.endswith(r" \\")
                assert len(re.findall(r"(?<!\\)&", row)) == len(head[1]) - 1
        assert not re.search(r"[^\\\n][%#]", one.replace("{%\n", ""))
        bare = re.sub(r"\\[{}]", "", one)
        assert bare.count("{") == bare.count("}")
    assert not re.search(r"[−×⁰¹²³⁴⁵⁶⁷⁸⁹–…]", text)
    assert r"1.26$\times$10$^{13}$" in text


def test_latex_takes_a_leading_bracket_and_two_hyphens_literally() -> None:
    (run, *rest) = TWO.runs
    text = latex(TWO.model_copy(update={"runs": (run, run.model_copy(update={"name": "[x]--y"}), *rest)}))
    assert "{}[x]-{}-y & GRPO" in text


def test_a_metric_that_is_no_share_keeps_its_unit() -> None:
    entropy = final("GRPO", 0, "test/answer/entropy", (0,)).model_copy(update={"mean": 0.0294, "before": 0.17})
    report = TWO.model_copy(update={"finals": (entropy, *TWO.finals)})
    (table,) = [table for table in all_tables(report) if table.key == "results"]
    assert [heading for heading, _ in table.groups] == [
        "Entropy of answers, test (nats per token)",
        "Single-shot accuracy, test (%)",
        "Draft-conditioned accuracy, test (%)",
    ]
    assert table.rows[0][1] == "0.029"
    assert table.rows[0][3:5] == ("0.170", "−0.141")  # 0.0294 - 0.17 = -0.1406
