"""Agreement and speed of this project's verifier beside bare math-verify's, on the same cases.

python benchmarks/verifier_agreement.py [--output FILE] [CASES.jsonl ...]     (default: both of tests/rewards/math)
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from igrpo.rewards.math.verifier import MathVerifier
from igrpo.types import Question

FOLDER = Path(__file__).parent.parent / "tests" / "rewards" / "math"
DEFAULTS = [FOLDER / "cases.jsonl", FOLDER / "cases2.jsonl"]
_DELIMITED = re.compile(r"(?<!\\)\$|\\f?boxed|\\fbox|\\\(|\\\[")


def bare_math_verify(gold: str, answer: str) -> bool:
    """math-verify as its documentation uses it (its limits need the main thread).

    Bare gold answers are put in a box, and so are bare answers that are formulas; prose goes through its extraction.
    """
    from math_verify import parse, verify

    boxed = gold if _DELIMITED.search(gold) else f"\\boxed{{{gold}}}"
    prose = _DELIMITED.search(answer) or len(answer.split()) > 2
    return bool(verify(parse(boxed), parse(answer if prose else f"\\boxed{{{answer}}}")))


def measure(judge: Callable[[str, str], bool], cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Agreement, both kinds of error, and milliseconds per case."""
    seconds, accepted, missed = [], [], []
    judge("x+1", "1+x")  # the imports are not timed
    for case in cases:
        started = time.perf_counter()
        try:
            verdict = judge(case["gold"], case.get("prediction", case.get("answer", "")))
        except Exception:  # math-verify raises on some inputs; that is no agreement where the answer is right
            verdict = False
        seconds.append(time.perf_counter() - started)
        if verdict != case["expected"]:
            (accepted if verdict else missed).append(case["id"])
    return {
        "cases": len(cases),
        "agree": len(cases) - len(accepted) - len(missed),
        "false_positives": len(accepted),
        "false_negatives": len(missed),
        "wrongly_accepted": accepted,
        "missed": missed,
        "median_ms": round(statistics.median(seconds) * 1e3, 2),
        "p99_ms": round(sorted(seconds)[int(len(seconds) * 0.99)] * 1e3, 1),
    }


def show(name: str, result: dict[str, Any]) -> None:
    """One line of the table, and the cases behind it."""
    print(
        f"{name:<18}{result['agree']:>6} / {result['cases']}"
        f"{result['false_positives']:>8}{result['false_negatives']:>8}"
        f"{result['median_ms']:>12.2f}{result['p99_ms']:>10.1f}"
    )
    for what in ("wrongly_accepted", "missed"):
        if 0 < len(result[what]) <= 40:
            print(f"    {what.replace('_', ' ')}: {' '.join(result[what])}")


def fast_path(verifier: MathVerifier) -> float:
    """Microseconds per answer where an exact match or two integers decide: what a small CPU task pays."""
    question, texts = Question("q", "", "7"), [r"so \boxed{7}", r"\boxed{8}", "7", "12"] * 250
    best = min(_timed(lambda: verifier.score_sync(question, texts)) for _ in range(5))
    return round(best / len(texts) * 1e6, 1)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("cases", nargs="*", type=Path, default=DEFAULTS)
    arguments.add_argument("--output", type=Path, help="also write the table as JSON")
    parsed = arguments.parse_args()
    logging.disable(logging.WARNING)
    verifier = MathVerifier(workers=1)

    def ours(gold: str, text: str) -> bool:
        return verifier.score_sync(Question("q", "", gold), [text])[0].value == 1.0

    results: dict[str, Any] = {}
    for path in parsed.cases:
        lines = path.read_text(encoding="utf-8").splitlines()
        cases = [case for case in map(json.loads, lines) if not case.get("ambiguous")]
        print(f"{path.name:<18}{'agree':>12}{'false +':>9}{'false -':>8}{'median ms':>12}{'p99 ms':>10}")
        results[path.name] = {"math_verify": measure(bare_math_verify, cases), "igrpo": measure(ours, cases)}
        show("bare math-verify", results[path.name]["math_verify"])
        show("igrpo's verifier", results[path.name]["igrpo"])
    results["fast_path_microseconds"] = fast_path(verifier)
    print(f"fast path: {results['fast_path_microseconds']} microseconds per answer")
    verifier.close()
    if parsed.output:
        parsed.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
