"""Which tests run which lines: measured once in a copy of the project, and chosen for a change."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import subprocess
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.mutation import forked
from benchmarks.mutation.mutants import Mutant

#: The modules of each area, and the tests that belong to it.
AREAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "algorithm": (("igrpo/algorithms/*.py",), ("tests/algorithms", "tests/assembly/test_variants.py")),
    "objective": (("igrpo/losses/*.py",), ("tests/losses",)),
    "training": (("igrpo/training/*.py",), ("tests/training",)),
    "rollout": (("igrpo/generation/*.py", "igrpo/generation/local/*.py"), ("tests/generation",)),
    "prompts": (("igrpo/prompts/builder.py",), ("tests/prompts/test_prompts.py",)),
    "metrics": (
        ("igrpo/metrics/*.py",),
        ("tests/metrics",),
    ),
    "statistics": (
        tuple(f"igrpo/report/{name}.py" for name in ("statistics", "intervals", "estimates")),
        ("tests/report",),
    ),
}

#: Tests of other environments are left out, and those of the vLLM engine, which is no part of the areas.
_MARKS, _OTHERS = "not slow and not gpu and not vllm", "test_vllm"

#: Tests that take longer, or would make more than so many seconds altogether, are run for a change only where the
#: others have not noticed it.
LONGEST_S, ALTOGETHER_S = 6.0, 25.0

Tests = dict[str, forked.Measured]


def copy_project(root: Path, target: Path) -> None:
    """Everything that git knows or could know."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def modules_digest(copy: Path) -> str:
    """Of all modules of the areas."""
    patterns = [pattern for modules, _ in AREAS.values() for pattern in modules]
    found = sorted({path for pattern in patterns for path in copy.glob(pattern)})
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()


def measured_tests(copy: Path, areas: list[str], work: Path) -> Tests:
    """By test file, from ``work`` where nothing has changed since. Imports what they need into this process."""
    package = modules_digest(copy)
    files = {
        str(path.relative_to(copy))
        for area in areas
        for name in AREAS[area][1]
        for path in ([copy / name] if name.endswith(".py") else (copy / name).rglob("test_*.py"))
        if not path.name.startswith(_OTHERS)
    }
    forked.preload(["pytest", "coverage", "torch", "transformers", "lightning", "scipy.stats", "hypothesis"])
    found: Tests = {}
    for file in sorted(files):
        key = hashlib.sha256(f"{package}{file}".encode() + (copy / file).read_bytes()).hexdigest()
        kept = work / f"{key}.pickle"
        if not kept.exists():
            started, log = time.perf_counter(), work / "measure.txt"
            forked.forked(lambda f=file, k=kept: _keep(f, k), 900, log)  # type: ignore[misc]
            print(f"  {file}: {time.perf_counter() - started:.0f} s", flush=True)
            print(*(line for line in log.read_text(errors="replace").splitlines() if forked.FAILED in line), sep="\n")
        found[file] = pickle.loads(kept.read_bytes())
        forked.preload(found[file].modules)
    return found


def _keep(file: str, kept: Path) -> int:
    kept.write_bytes(pickle.dumps(forked.measure(file, _MARKS)))
    return 0


def check_unchanged(areas: list[str], measured: Tests) -> None:
    """Without a change all of these tests pass in a fork: else every change would count as noticed."""
    files = {file for area in areas for file in measured if file.startswith(AREAS[area][1])}
    tests = [name for file in sorted(files) for name, took in measured[file].seconds.items() if took <= LONGEST_S]
    log = Path(f"{Path.cwd()}.txt")
    if forked.forked(lambda: forked.run_tests(tests), 3600, log) != 0:
        raise SystemExit("tests fail without a change:\n" + log.read_text(errors="replace")[-3000:])


def quick_tests_of(mutant: Mutant, area: str, measured: Tests) -> tuple[list[str], float]:
    """The quick tests of the area that run the mutant's lines, or else its file, and the seconds that they take.

    By file, the quickest first.
    """
    everything = _tests_of(mutant, area, measured)
    kept: dict[str, float] = {}
    for name in sorted(everything, key=lambda name: (everything[name], name)):
        if everything[name] > LONGEST_S or (kept and sum(kept.values()) + everything[name] > ALTOGETHER_S):
            break
        kept[name] = everything[name]
    of_file: dict[str, float] = defaultdict(float)
    for name, took in kept.items():
        of_file[name.split("::")[0]] += took
    order = sorted(kept, key=lambda name: (of_file[name.split("::")[0]], name.split("::")[0], kept[name]))
    return order, sum(kept.values())


def other_tests_of(mutant: Mutant, area: str, measured: Tests, done: list[str]) -> tuple[list[str], float]:
    """The rest of them, for a mutant that the quick ones did not notice; and all tests of the files that start
    processes, in which nothing sees what runs."""
    chosen = _tests_of(mutant, area, measured)
    for file, one in measured.items():
        if file.startswith(AREAS[area][1]) and "in_processes(" in Path(file).read_text(encoding="utf-8"):
            chosen |= one.seconds
    chosen = {name: took for name, took in chosen.items() if name not in set(done)}
    return sorted(chosen), sum(chosen.values())


def _tests_of(mutant: Mutant, area: str, measured: Tests) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for first, last in ([mutant.lines] if mutant.lines else []) + [(0, 10**9)]:
        for file, one in measured.items():
            if file.startswith(AREAS[area][1]):
                lines = one.tests.get(mutant.file, {})
                ran = {name for line, names in lines.items() if first <= line <= last for name in names}
                names = one.seconds if file in ran else ran
                chosen |= {name: one.seconds[name] for name in names if name in one.seconds}
        if chosen:
            break
    return chosen
