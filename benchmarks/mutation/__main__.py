"""A mutation run: how many small wrong changes of the package do its tests notice?

python -m benchmarks.mutation [--per-area 40] [--seeds 0] [--workers 1] [--areas algorithm,metrics] [--results FILE]

Draws changes of each area (of a comparison, an operator, a constant, an argument, a condition, a statement: see
mutants.py), makes one at a time in a copy of the project, and runs the quick tests that run the changed line. Which
ones these are is measured once and kept in --work: a test file is measured anew when it or the changed modules have
changed. Changes that no test can notice, because nothing differs that anybody can see, stand in equivalent.json with
the reason; they are not run. Not a part of CI: 280 changes take half an hour or more.
"""

from __future__ import annotations

import argparse
import difflib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.mutation import forked
from benchmarks.mutation.mutants import Mutant, mutants_of
from benchmarks.mutation.tests_of import (
    AREAS,
    Tests,
    check_unchanged,
    copy_project,
    measured_tests,
    modules_digest,
    other_tests_of,
    quick_tests_of,
)

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.json")
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change: killed, timeout (a kill too), survived, untested or equivalent."""

    area: str
    mutant: Mutant
    verdict: str
    tests: int = 0
    seconds: float = 0.0
    reason: str = ""


def all_mutants(copy: Path, area: str) -> list[Mutant]:
    """Of all modules of an area."""
    files = sorted(str(path.relative_to(copy)) for pattern in AREAS[area][0] for path in copy.glob(pattern))
    return [mutant for file in files for mutant in mutants_of(copy, file)]


def drawn(everything: list[Mutant], area: str, seeds: list[int], count: int) -> list[Mutant]:
    """``count`` changes of an area for each seed, without repetition."""
    chosen: dict[Mutant, None] = {}
    for seed in seeds:
        chosen |= dict.fromkeys(random.Random(f"{seed} {area}").sample(everything, min(count, len(everything))))
    return list(chosen)


def judge(area: str, mutant: Mutant, measured: Tests) -> Outcome:
    """Make the change in the copy that this process works in, run the tests, and take it back."""
    quick, seconds = quick_tests_of(mutant, area, measured)
    others, longer = other_tests_of(mutant, area, measured, quick)
    if not quick and not others:
        return Outcome(area, mutant, "untested")
    path = Path(mutant.file)
    source, started = path.read_text(encoding="utf-8"), time.perf_counter()
    for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
        cached.unlink()
    path.write_text(mutant.apply(source), encoding="utf-8")
    log, ran = Path(f"{Path.cwd()}.txt"), 0
    status: int | None = 0
    try:
        for tests, expected in ((quick, seconds), (others, longer)):
            if tests and status == 0:
                work = partial(_without_bytecode, tests)
                status = forked.forked(work, 30 + 4 * expected, log)
                ran += len(tests)
    finally:
        path.write_text(source, encoding="utf-8")
    verdict = "timeout" if status is None else "survived" if status == 0 else "killed"
    return Outcome(area, mutant, verdict, ran, time.perf_counter() - started)


def _without_bytecode(tests: list[str]) -> int:
    sys.dont_write_bytecode = True  # the next change may have the same size in the same second
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return forked.run_tests(tests)


def _work(number: int, base: Path, todo: Any, done: Any, measured: Tests) -> None:
    copy = base.with_name(f"{base.name}-{number}")
    shutil.copytree(base, copy, dirs_exist_ok=True)
    forked.enter(copy)
    while (item := todo.get()) is not None:
        area, mutant = item
        done.put(judge(area, mutant, measured))


def outcomes_of(items: list[tuple[str, Mutant]], workers: int, base: Path, measured: Tests) -> Iterator[Outcome]:
    """As they come, from processes with a copy each."""
    context = multiprocessing.get_context("fork")
    todo, done = context.SimpleQueue(), context.SimpleQueue()
    processes = [context.Process(target=_work, args=(i, base, todo, done, measured)) for i in range(workers)]
    for process in processes:
        process.start()
    waiting = iter([*items, *[None] * workers])
    for _ in range(2 * workers):  # a pipe holds only so many
        todo.put(next(waiting, None))
    for _ in items:
        yield done.get()
        todo.put(next(waiting, None))
    for process in processes:
        process.join()


def change(mutant: Mutant, root: Path) -> tuple[str, str, str]:
    """As equivalent.json names it: the file, and the changed lines before and after."""
    return (mutant.file, *mutant.change((root / mutant.file).read_text(encoding="utf-8")))


def difference(mutant: Mutant) -> str:
    """The change as a diff."""
    _, before, after = change(mutant, ROOT)
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return "\n".join(line for line in lines if line[:1] in "+-")


def report(outcomes: list[Outcome], arguments: argparse.Namespace) -> dict[str, Any]:
    """Numbers by area; the share killed is of the changes that are not equivalent."""
    areas: dict[str, Any] = {}
    for area in (*arguments.areas, "all"):
        verdicts = Counter(one.verdict for one in outcomes if area in (one.area, "all"))
        counted = sum(verdicts.values()) - verdicts["equivalent"]
        killed = verdicts["killed"] + verdicts["timeout"]
        areas[area] = {"changes": sum(verdicts.values()), **verdicts, "killed_share": round(killed / counted, 4)}

    def listed(*verdicts: str) -> list[dict[str, str]]:
        chosen = [one for one in outcomes if one.verdict in verdicts]
        return [
            {"at": f"{one.mutant.file}:{one.mutant.line}", "change": difference(one.mutant)}
            | ({"reason": one.reason} if one.reason else {})
            for one in chosen
        ]

    return {
        "changes_per_area_and_seed": arguments.per_area,
        "seeds": arguments.seeds,
        "areas": areas,
        "survived": listed("survived", "untested"),
        "equivalent": listed("equivalent"),
    }


def read_arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-area", type=int, default=40)
    parser.add_argument("--seeds", type=lambda text: [int(one) for one in text.split(",")], default=[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--areas", type=lambda text: text.split(","), default=list(AREAS))
    parser.add_argument(
        "--again", action="store_true", help="run only what earlier runs, in --work, saw no test notice"
    )
    parser.add_argument("--trust", action="store_true", help="do not run all tests once without a change first")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"igrpo-mutation-{os.getuid()}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def run(arguments: argparse.Namespace, base: Path) -> list[Outcome]:
    """Draw, run and print."""
    copy_project(ROOT, base)
    forked.enter(base)
    print("measuring which tests run which lines", flush=True)
    measured = measured_tests(base, arguments.areas, arguments.work)
    if not arguments.trust:
        check_unchanged(arguments.areas, measured)
    reasons = {(e["file"], e["before"], e["after"]): e["reason"] for e in json.loads(EQUIVALENT.read_text("utf-8"))}
    outcomes: list[Outcome] = []
    items: list[tuple[str, Mutant]] = []
    known: set[tuple[str, str, str]] = set()
    ledger = arguments.work / f"killed-{modules_digest(base)}.txt"
    before = set(ledger.read_text().splitlines()) if arguments.again and ledger.exists() else set()
    for area in arguments.areas:
        everything = all_mutants(base, area)
        known |= {key for mutant in everything if (key := change(mutant, base)) in reasons}
        for mutant in drawn(everything, area, arguments.seeds, arguments.per_area):
            reason = reasons.get(change(mutant, base))
            if reason is not None:
                outcomes.append(Outcome(area, mutant, "equivalent", reason=reason))
            elif f"{mutant}" in before:
                outcomes.append(Outcome(area, mutant, "killed"))
            else:
                items.append((area, mutant))
    for file, old, _ in sorted(reasons.keys() - known) if set(arguments.areas) == set(AREAS) else ():
        print(f"equivalent.json names a change that is none any more, of {file}: {old}", flush=True)
    for i, one in enumerate(outcomes_of(items, arguments.workers, base, measured)):
        outcomes.append(one)
        if one.verdict in ("killed", "timeout"):
            with ledger.open("a") as file:
                file.write(f"{one.mutant}\n")
        at = f"{one.mutant.file}:{one.mutant.line}"
        print(f"{i + 1}/{len(items)} {one.verdict:<9}{at} ({one.tests} tests, {one.seconds:.1f} s)", flush=True)
        if one.verdict in ("survived", "untested"):
            print(difference(one.mutant), flush=True)
    return outcomes


def main() -> None:
    """See the module."""
    arguments = read_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="copy-", dir=arguments.work) as folder:
        base = Path(folder).resolve() / "project"
        base.mkdir()
        found = report(run(arguments, base), arguments)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for area, numbers in found["areas"].items():
        print(area, numbers)


if __name__ == "__main__":
    main()
