"""Agreement and speed of our verifier beside bare math-verify's, on the same cases.

python benchmarks/verifier_agreement.py [CASES.jsonl]     (default: tests/rewards/math/cases.jsonl)
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

CASES = Path(__file__).parent.parent / "tests" / "rewards" / "math" / "cases.jsonl"
_DELIMITED = re.compile(r"(?<!\\)\$|\\f?boxed|\\fbox|\\\(|\\\[")


def bare_math_verify(gold: str, prediction: str) -> bool:
    """math-verify as its documentation uses it, with bare answers in a box (its limits need the main thread)."""
    from math_verify import parse, verify

    boxed = [text if _DELIMITED.search(text) else f"\\boxed{{{text}}}" for text in (gold, prediction)]
    return bool(verify(parse(boxed[0]), parse(boxed[1])))


def measure(name: str, judge: Callable[[str, str], bool], cases: list[dict[str, Any]]) -> None:
    """One line of the table: agreement, both kinds of error, milliseconds a case."""
    seconds, accepted, missed = [], [], []
    judge("x+1", "1+x")  # the imports are not timed
    for case in cases:
        started = time.perf_counter()
        verdict = judge(case["gold"], case["prediction"])
        seconds.append(time.perf_counter() - started)
        if verdict != case["expected"]:
            (accepted if verdict else missed).append(case["id"])
    p99 = sorted(seconds)[int(len(seconds) * 0.99)]
    right = len(cases) - len(accepted) - len(missed)
    print(
        f"{name:<18}{right:>6} / {len(cases)}{len(accepted):>8}{len(missed):>8}"
        f"{statistics.median(seconds) * 1e3:>12.2f}{p99 * 1e3:>10.1f}"
    )
    for what, ids in (("wrongly accepted", accepted), ("missed", missed)):
        if ids:
            print(f"    {what}: {' '.join(ids)}")


def fast_path(verifier: MathVerifier) -> None:
    """Microseconds an answer where an exact match or two integers decide: what a small CPU task pays."""
    question, texts = Question("q", "", "7"), [r"so \boxed{7}", r"\boxed{8}", "7", "12"] * 250
    best = min(_timed(lambda: verifier.score_sync(question, texts)) for _ in range(5))
    print(f"fast path: {best / len(texts) * 1e6:.1f} microseconds an answer")


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("cases", nargs="?", type=Path, default=CASES)
    lines = arguments.parse_args().cases.read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if not case.get("ambiguous")]
    logging.disable(logging.WARNING)
    verifier = MathVerifier(workers=1)
    print(f"{'':<18}{'agree':>12}{'false +':>9}{'false -':>8}{'median ms':>12}{'p99 ms':>10}")
    measure("bare math-verify", bare_math_verify, cases)
    measure(
        "igrpo verifier", lambda gold, text: verifier.score_sync(Question("q", "", gold), [text])[0].value == 1.0, cases
    )
    fast_path(verifier)
    verifier.close()


if __name__ == "__main__":
    main()
