"""How often boxing the longest formula of a problem is taken for its answer: what a policy could earn without solving.

    python benchmarks/longest_formula.py PROBLEMS.jsonl[.gz] [--output FILE]     (rows with `problem` and `answer`)

The longest formula is judged twice: with the problem at hand, as in training, and without it. Rows where it is the gold
answer up to spelling are counted apart.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from igrpo.rewards.math.extraction import extract_gold
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.types import Question

_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\[(.+?)\\\]", re.DOTALL)


def rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Problem, gold answer and longest formula of every row that has a formula."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    for row in map(json.loads, text.splitlines()):
        formulas = [next(filter(None, found)) for found in _FORMULA.findall(row["problem"])]
        if formulas and row["answer"]:
            yield row["problem"], row["answer"], max(formulas, key=len)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("problems", type=Path)
    arguments.add_argument("--output", type=Path)
    parsed = arguments.parse_args()
    logging.disable(logging.WARNING)
    verifier = MathVerifier(workers=2, percent="number")

    def right(row: tuple[str, str, str], *, shown: bool) -> bool:
        problem, gold, formula = row
        question = Question("q", problem if shown else "", gold)
        return verifier.score_sync(question, [rf"\boxed{{{formula}}}"])[0].correct is True

    found = list(rows(parsed.problems))
    same = [normalise(extract_gold(gold)) == normalise(formula) for _, gold, formula in found]
    counts = {}
    with ThreadPoolExecutor(2) as threads:
        for name, shown in (("with_the_problem", True), ("without_the_problem", False)):
            verdicts = list(threads.map(lambda row, shown=shown: right(row, shown=shown), found))
            counts[name] = sum(verdict and not gold for verdict, gold in zip(verdicts, same, strict=True))
    verifier.close()
    result = {
        "problems": len(found),
        "formula_is_the_gold_answer": sum(same),
        "taken_for_the_answer": counts,
        "share": {name: round(count / len(found), 4) for name, count in counts.items()},
    }
    print(json.dumps(result, indent=1))
    if parsed.output:
        parsed.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
