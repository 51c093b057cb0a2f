"""Measured numbers of READMEs and docs come out of committed files: this renders their tables and checks their text.

    python benchmarks/published.py          (rewrites the tables in place; exit code 1 where a number has no file)

Marks in README.md, experiments/README.md and the pages of docs/, paths from the root of the repository:

- `<!-- table: FILE -->` to `<!-- /table -->` is rendered from the Markdown tables of a report (`igrpo report`).
- After `<!-- numbers: FILE FILE -->`, up to the next heading or `<!-- /numbers -->`, every number of the text is in one
  of the files, rounded to the decimals that the text gives; code and links are not text. Values of JSON count as
  shares, too (0.022 is 2.2 %), and in thousandths.
- `<!-- 21 = 89.6 - 68.7 -->` within it: a number that is worked out from numbers of the files.
"""

from __future__ import annotations

import json
import math
import operator
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Every page with measured numbers; docs/metrics.md and docs/speed.md are generated and have none of these marks.
PAGES = ("README.md", "experiments/README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))

_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
_SCOPE = re.compile(r"<!-- numbers: ([^>]*?) -->\n(.*?)(?=^#|^<!-- /?numbers\b|\Z)", re.DOTALL | re.MULTILINE)
_DERIVED = re.compile(r"<!-- ([\d.,]+) = ([\d.,]+) ([-+*/]) ([\d.,]+) -->")
_NOT_TEXT = re.compile(r"^```.*?^```|`[^`]*`|\]\([^)]*\)|<!--.*?-->", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)(k\b)?(?![\w⁰¹²³⁴-⁹]|[.,]\d)")
_POWER = re.compile(r"(\d[\d.]*)×10([⁰¹²³⁴-⁹]+)")
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_UNIT = 1e11


@dataclass(frozen=True, slots=True)
class Number:
    """As the text has it: to within half a unit of its last digit."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text.rstrip("k").replace(",", "")) * self._thousand

    @property
    def tolerance(self) -> float:
        decimals = len(self.text.rstrip("k").partition(".")[2])
        return self._thousand * 0.5 * 10.0**-decimals * (1 + 1e-9)

    @property
    def _thousand(self) -> int:
        return 1000 if self.text.endswith("k") else 1

    def is_one_of(self, values: set[float]) -> bool:
        return any(abs(self.value - value) <= self.tolerance for value in values)


def numbers_of(text: str) -> list[Number]:
    """Every number in words and tables, without its sign."""
    plain = _NOT_TEXT.sub(" ", text)
    return [Number(number.rstrip(",") + thousand) for number, thousand in _NUMBER.findall(plain)]


def values_of(file: Path) -> set[float]:
    """Every number that a file of results holds, without its sign."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return {abs(value) * factor for value in _leaves(json.loads(text)) for factor in (1, 100, 1000)}
    return {number.value for number in numbers_of(text)} | {_power(*found) for found in _POWER.findall(text)}


def _leaves(node: Any) -> Iterator[float]:
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _leaves(child)
    elif isinstance(node, int | float):
        yield float(node)


def _power(mantissa: str, exponent: str) -> float:
    return float(mantissa) * 10.0 ** int(exponent.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))


def unsupported(text: str) -> list[str]:
    """Numbers in scopes of `numbers` that no file of theirs holds, with the files.

    A number without decimals proves little: some value is near most of them.
    """
    found = []
    for names, body in _SCOPE.findall(text):
        values = set().union(*(values_of(ROOT / name) for name in names.split()))
        for result, first, sign, second in _DERIVED.findall(body):
            operands = Number(first), Number(second)
            worked_out = _OPERATIONS[sign](*(one.value for one in operands))
            if all(one.is_one_of(values) for one in operands) and Number(result).is_one_of({worked_out}):
                values |= {Number(result).value}
            else:
                found.append(f"{result} = {first} {sign} {second} ({names})")
        words = _TABLE.sub("", body)
        found += [f"{one.text} ({names})" for one in numbers_of(words) if not one.is_one_of(values)]
    return found


def outside(text: str) -> list[str]:
    """Numbers with decimals that stand in no table and no scope."""
    rest = _SCOPE.sub("", _TABLE.sub("", text))
    return [one.text for one in numbers_of(rest) if "." in one.text]


def rendered(text: str) -> str:
    """The text with its tables as the files have them."""
    return _TABLE.sub(lambda match: match[1] + table_of(ROOT / match[2]) + match[3], text)


def table_of(file: Path) -> str:
    """What conditions reached and how they differ from GRPO, a row each, from the tables of a report."""
    text = file.read_text(encoding="utf-8").replace("\\_", "_").replace("&lt;", "<")
    finals, spent = sections(text, "Results after training"), sections(text, "Budget spent by a run")[""]
    differences, certainty = sections(text, "Differences"), sections(text, "Certainty and power")
    single, draft = (next(name for name in finals if name.startswith(kind)) for kind in ("Single", "Draft"))
    changes = [next(name for name in differences if name.startswith(kind)) for kind in ("Single", "Draft")]
    head = ["condition"]
    for name in ("single-shot", "draft-conditioned"):
        head += [name, "difference to GRPO"]
    head += ["steps", "samples", "tokens trained", "operations (10¹¹)"]
    rows = [head, ["---", *["--:", "---"] * 2, *["--:"] * 4]]
    for condition, final in finals[single].items():
        pair, cost = f"{condition} − grpo", spent[condition]
        first, second = (_difference(differences[name].get(pair), certainty[name].get(pair)) for name in changes)
        trained = f"{float(cost['trained'].replace(',', '')) / 1000:.0f}k"
        flops = f"{_power(*_POWER.findall(cost['FLOPs'])[0]) / _UNIT:.2f}"
        reached = (final["after"], first, finals[draft][condition]["after"], second)
        rows.append([name_of(condition), *reached, cost["steps"], cost["samples"], trained, flops])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("|  |", "| |")


def name_of(condition: str) -> str:
    """Return the name of a condition in tables."""
    return {"grpo": "GRPO", "igrpo": "iGRPO"}.get(condition, f"`{condition}`")


def _difference(size: Mapping[str, str] | None, certainty: Mapping[str, str] | None) -> str:
    """Bold, and with its p, where that is below 0.05 after correction."""
    if size is None or certainty is None:
        return ""
    text, p = f"{size['difference']} {size['95 % interval']}", certainty["p adjusted"]
    below = math.nextafter(0.001, 0) if p.startswith("<") else float(p)
    return f"**{text}**, p {p}" if below < 0.05 else text


def sections(text: str, heading: str) -> dict[str, dict[str, dict[str, str]]]:
    """The rows of the table under a heading: by metric ("": the table has none), first cell, and column."""
    lines = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|"))
    found: dict[str, dict[str, dict[str, str]]] = {"": {}}
    metric = ""
    for first, *cells in rows:
        if first.startswith("**"):
            metric = first.strip("*")
        else:
            found.setdefault(metric, {})[first.removesuffix(" (baseline)")] = dict(zip(head[1:], cells, strict=True))
    return found


def main() -> None:
    wrong = []
    for name in PAGES:
        file = ROOT / name
        text = rendered(file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        wrong += [f"{name}: {one}" for one in unsupported(text)]
    print("\n".join(wrong) or "every measured number is in its file")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
