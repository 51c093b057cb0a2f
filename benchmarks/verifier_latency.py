r"""How long an ordinary answer waits for its verdict, without and with 10 % of answers that run into the CPU limit.

    python benchmarks/verifier_latency.py [--repeats 3] [--results benchmarks/results/verifier_latency.json]

Ordinary answers are the rows of tests/rewards/math/cases.jsonl that are no matter of convention, each scored once by a
verifier of its own with 2 workers (no verdict is cached); two thirds of them need no worker. A poisoned answer passes
the guard and would be computed for minutes; one stands after every ninth ordinary answer. They come in two ways: all at
once, as after a generation in large batches, and at a steady rate. A latency is the time from an answer's arrival to
its score, on the wall; ratios of two latencies are taken within one repeat, and the medians over the repeats reported.
Verdicts per second are those of the ordinary answers alone, all at once, with the workers already started; CPU time per
verdict (the workers' and the caller's) tells what a machine with nothing else to do would reach.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from igrpo.files import write_json_atomic
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.types import Completion, Question

CASES = Path(__file__).parents[1] / "tests" / "rewards" / "math" / "cases.jsonl"
WORKERS = 2
EVERY = 9
START = ("x+1", r"\boxed{1+x}")
RATE_PER_S = 10.0
POISONED_GOLD = "x+7"
GOALS = {"p99_ratio": 3.0, "verdicts_per_s": 150.0}
#: Each passes the guard; the number makes them distinct, so that no cached verdict serves two.
POISON = (
    r"\prod_{{k=1}}^{{{}}}k",
    r"\sum_{{k=1}}^{{{}}}\frac{{1}}{{k^3}}",
    r"\sum_{{k=1}}^{{{}}}k!",
)


def completion(text: str) -> Completion:
    return Completion((1,), text, (0.0,), (0.0,), (0.0,), "stop", 0)


def ordinary_answers() -> list[tuple[str, str]]:
    """(gold, completion) of the typical mix."""
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    return [(case["gold"], case["prediction"]) for case in cases if not case["ambiguous"]]


def with_poison(answers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    mixed = []
    for i, answer in enumerate(answers):
        mixed.append(answer)
        if i % EVERY == EVERY - 1:
            mixed.append((POISONED_GOLD, rf"\boxed{{{POISON[i // EVERY % len(POISON)].format(1_000_000 + i)}}}"))
    return mixed


async def latencies(verifier: MathVerifier, answers: Sequence[tuple[str, str]], rate: float | None) -> list[float]:
    """Seconds from the arrival of each ordinary answer to its score. Poisoned ones are not waited for at the end."""
    started = time.perf_counter()

    async def one(number: int, gold: str, text: str) -> float:
        arrival = started + (number / rate if rate else 0.0)
        await asyncio.sleep(max(0.0, arrival - time.perf_counter()))
        await verifier.score(Question(f"q{number}", "?", gold), [completion(text)])
        return time.perf_counter() - arrival

    tasks = [(gold, asyncio.create_task(one(i, gold, text))) for i, (gold, text) in enumerate(answers)]
    found = list(await asyncio.gather(*(task for gold, task in tasks if gold != POISONED_GOLD)))
    rest = [task for gold, task in tasks if gold == POISONED_GOLD]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    return found


def measure(answers: Sequence[tuple[str, str]], rate: float | None) -> dict[str, float]:
    """Median and p99 of the ordinary answers' latencies, and the seconds until the last of them has its score."""
    verifier = MathVerifier(workers=WORKERS, unevaluated="accepted")
    asyncio.run(latencies(verifier, [START] * 2, None))  # starts the workers
    found = sorted(asyncio.run(latencies(verifier, answers, rate)))
    verifier.close()
    return {"median_s": statistics.median(found), "p99_s": found[int(len(found) * 0.99)], "last_s": found[-1]}


def cpu_seconds(answers: Sequence[tuple[str, str]]) -> float:
    """CPU seconds of this process and all of a verifier's, from its start to its end."""
    before_s = sum(os.times()[:4])
    verifier = MathVerifier(workers=WORKERS, unevaluated="accepted")
    asyncio.run(latencies(verifier, answers, None))
    verifier.close()
    return sum(os.times()[:4]) - before_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "verifier_latency.json")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    answers = ordinary_answers()
    poisoned = with_poison(answers)
    rows: list[dict[str, object]] = []
    per_second, cpu_ms = [], []
    for arrivals, rate in (("all at once", None), (f"{RATE_PER_S:g} per second", RATE_PER_S)):
        pairs = []
        for _ in range(arguments.repeats):
            pairs.append((measure(answers, rate), measure(poisoned, rate)))
            if rate is None:
                per_second.append(len(answers) / pairs[-1][0]["last_s"])
                cpu_ms.append(1e3 * (cpu_seconds(answers) - cpu_seconds([START])) / len(answers))
        row: dict[str, object] = {"arrivals": arrivals}
        for which, name in ((0, "without"), (1, "with")):
            row[name] = {key: statistics.median(pair[which][key] for pair in pairs) for key in pairs[0][which]}
        for key in ("median_s", "p99_s"):
            ratios = [pair[1][key] / pair[0][key] for pair in pairs]
            row[key.replace("_s", "_ratio")] = statistics.median(ratios)
        rows.append(row)
        print(json.dumps(row), flush=True)
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    versions = {name: version(name) for name in ("math-verify", "sympy")}
    settings = {"workers": WORKERS, "answers": len(answers), "poisoned": len(poisoned) - len(answers), "goals": GOALS}
    results = {"machine": machine, "versions": versions, **settings, "rows": rows}
    results |= {"verdicts_per_s": statistics.median(per_second), "cpu_ms_per_verdict": statistics.median(cpu_ms)}
    print(
        f"{results['verdicts_per_s']:.0f} verdicts per second, {results['cpu_ms_per_verdict']:.2f} CPU-ms per verdict"
    )
    write_json_atomic(arguments.results, results)


if __name__ == "__main__":
    main()
