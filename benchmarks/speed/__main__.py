"""Speed and memory of igrpo against TRL on the same work, in turn: ``make bench``, or

    python -m benchmarks.speed [--quick | --scaling] [--without-trl] [--repetitions 2] [SETTING=VALUE ...]

Each run is a process of its own. Seconds are those of the processor (of the clock on a GPU), of whole steps after the
first: sampling, rewards, update, metrics and records. Both programs train the same random model on the same questions,
with completions of the same lengths, the same reward and the same settings of GRPO; a repetition runs TRL, igrpo's GRPO
and, in some cases, its iGRPO one after the other. Writes benchmarks/results/bench.json, docs/speed.md and its figures.
``--scaling`` measures curves of igrpo alone instead (bench_scaling.json); ``--quick`` runs tiny cases and publishes
nothing. SETTING=VALUE is for igrpo.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.speed import arithmetic, limits, page
from benchmarks.speed.arithmetic import BOTH_ALGORITHMS, GRPO, IGRPO, TRL
from benchmarks.speed.workload import Case, make_model
from igrpo.files import write_json_atomic
from igrpo.runs.versions import git_commit, versions

ROOT = Path(__file__).parents[2]
CASES = {
    "S_short": Case("S", questions=8, group=8, prompt=44, completion=128, steps=4),
    "S_long": Case("S", questions=8, group=8, prompt=426, completion=128, steps=2),
    "S_uniform": Case("S", questions=8, group=8, prompt=44, completion=128, steps=4, uniform=True),
    "M_short": Case("M", questions=2, group=8, prompt=44, completion=128, steps=2),
}
#: Curves over one size each; the other sizes are those of the base.
BASE = Case("S", questions=4, group=8, prompt=64, completion=64, steps=2)
CURVES = {
    "group": (2, 4, 8, 16, 32),
    "prompt": (32, 64, 128, 256, 512, 1024),
    "completion": (32, 64, 128, 256, 512),
    "questions": (4, 8, 16, 32, 64),
}
TRL_ROWS = 16  # of a micro-batch: its fastest; on S_short with 64 the update takes a third longer, with 8 as long


class Runner:
    """Runs one program on one case in a process of its own."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._arguments, self._folder, self._models = arguments, folder, dict[str, Path]()

    def run(self, name: str, program: str, case: Case, *, repetition: int = 0, settings: tuple[str, ...] = ()) -> Any:
        """Return what the program measured."""
        if case.size not in self._models:
            self._models[case.size] = make_model(case.size, self._folder / case.size)
        asked = self._arguments
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            job, result = Path(work) / "job.json", Path(work) / "result.json"
            values = {"case": asdict(case), "algorithm": program, "device": asked.device, "threads": asked.threads,
                      "seed": asked.seed + repetition, "model": str(self._models[case.size]), "folder": work,
                      "microbatch": min(TRL_ROWS, case.rows), "overrides": [*settings, *asked.overrides]}  # fmt: skip
            job.write_text(json.dumps(values), encoding="utf-8")
            python, module = (asked.trl_python, "trl") if program == TRL else (sys.executable, "igrpo")
            command = [str(python), "-m", f"benchmarks.speed.{module}_runner", str(job), str(result)]
            done = subprocess.run(
                command, check=False, cwd=ROOT, env=self._environment(), capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"{name}, {program}: {' '.join(command)} failed:\n{done.stderr[-4000:]}")
            measured = json.loads(result.read_text(encoding="utf-8"))
        arithmetic.check_tokens(name, program, measured, sum(case.completion_lengths()))
        step = arithmetic.seconds(measured)
        print(f"{name:10s} {program:6s} {step:8.2f} s a step {measured['peak_mib']:7.0f} MiB", flush=True)
        return measured

    def _environment(self) -> dict[str, str]:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        hidden = {} if self._arguments.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
        wanted = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": str(self._arguments.threads)}
        return os.environ | hidden | wanted | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def programs(name: str, arguments: argparse.Namespace) -> list[str]:
    """Return what runs on a case, in turn."""
    first = [] if arguments.without_trl else [TRL]
    return [*first, GRPO, *([IGRPO] if name in BOTH_ALGORITHMS else [])]


def compare(runner: Runner, cases: Mapping[str, Case], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all cases and return the results."""
    runs: dict[str, dict[str, list[Any]]] = {name: {} for name in cases}
    rates: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for repetition in range(arguments.repetitions):
        for name, case in cases.items():
            for program in programs(name, arguments):
                measured = runner.run(name, program, case, repetition=repetition)
                runs[name].setdefault(program, []).append(measured)
            rates[name].append(limits.rates(case, arguments.device))
    middle = {name: {part: statistics.median(rate[part] for rate in found) for part in found[0]}
              for name, found in rates.items()}  # fmt: skip
    flops = {name: limits.flops(case) for name, case in cases.items()}
    found = arithmetic.results(runs, flops, middle)
    if arguments.without_trl:
        found["without_trl"] = "asked for by --without-trl: TRL was not run, and what is compared with it is null"
    if arguments.device == "cuda" and arguments.peak_tflops:
        found["utilisation"] = {
            name: {program: arithmetic.utilisation(of_program["step"], flops[name], arguments.peak_tflops)
                   for program, of_program in of_case.items() if program != IGRPO}
            for name, of_case in found["medians"].items()
        }  # fmt: skip
    return found | {"flops": flops, "gemm_flops_per_s": rates, "runs": runs}


def scale(runner: Runner, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure igrpo's GRPO over each size of the work, with the slopes of its parts in log-log."""
    curves: dict[str, Any] = {}
    # the longest rows need this micro-batch, and all points of a curve get the same
    settings = ("trainer.tokens_per_microbatch=8192",)
    for size, values in CURVES.items():
        points = []
        for value in values[:2] if arguments.quick else values:
            case = replace(BASE, **{size: value})
            points.append({size: value, **arithmetic.medians({GRPO: [runner.run(f"{size} {value}", GRPO, case,
                           settings=settings)]})[GRPO]})  # fmt: skip
        sizes = [point[size] for point in points]
        slopes = {part: arithmetic.slope(sizes, [point[part] for point in points])
                  for part in ("step", "generation", "training", "peak_mib")}  # fmt: skip
        curves[size] = {"points": points, "slopes": slopes}
    return {"base": asdict(BASE), "curves": curves}


def about(arguments: argparse.Namespace, cases: Mapping[str, Case]) -> dict[str, Any]:
    """Return what the numbers were measured with, and on."""
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    return {
        "cases": {name: asdict(case) for name, case in cases.items()},
        "machine": {"device": device, "cores": os.cpu_count(), "memory_gib": memory, "load": os.getloadavg()[0]},
        "settings": {"device": arguments.device, "threads": arguments.threads, "seed": arguments.seed,
                     "repetitions": arguments.repetitions, "overrides": arguments.overrides,
                     "trl_microbatch_rows": TRL_ROWS, "quick": arguments.quick},
        "date": datetime.now(tz=UTC).date().isoformat(),
        "commit": git_commit(),
        "versions": versions(),
    }  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny cases, one repetition: does it run at all")
    parser.add_argument("--without-trl", action="store_true", help="igrpo alone; publishes nothing")
    parser.add_argument("--scaling", action="store_true", help="curves over the sizes of the work, igrpo alone")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="only these; publishes nothing")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first repetition; the next one has the next")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak-tflops", type=float, help="what the GPU can do in bf16, for its utilisation")
    parser.add_argument("--trl-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    parser.add_argument("--out", type=Path, help="the JSON file, instead of the published one; no page is written then")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="settings of igrpo")
    return parser.parse_args()


def main() -> None:
    """Measure, and write the results and the page."""
    arguments = parse()
    arguments.without_trl |= arguments.scaling
    if not (arguments.without_trl or arguments.trl_python.exists()):
        sys.exit(f"TRL's environment is missing ({arguments.trl_python}): make .venv-bench/installed, or --without-trl")
    torch.set_num_threads(arguments.threads)
    cases = {name: CASES[name] for name in arguments.cases}
    if arguments.quick:
        arguments.repetitions = 1
        cases = {name: Case("S", 2, 4, 24, 24, 1, uniform=case.uniform) for name, case in cases.items()}
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(arguments, Path(folder))
        found = scale(runner, arguments) if arguments.scaling else compare(runner, cases, arguments)
    record = found | about(arguments, {} if arguments.scaling else cases)
    if not arguments.without_trl:
        record["versions"]["trl"] = next(iter(found["runs"].values()))[TRL][0]["versions"]["trl"]
    published = page.SCALING if arguments.scaling else page.RESULTS
    whole = arguments.scaling or (cases.keys() == CASES.keys() and not arguments.without_trl)
    publishes = whole and arguments.out is None and not arguments.quick
    out = published if publishes else arguments.out or ROOT / "build" / published.name
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(out, record)
    if publishes:
        page.write()
    names = ("ratio_vs_trl", "igrpo_over_grpo", "peak_memory_vs_trl", "train_over_limit", "decode_over_limit")
    slopes = {size: curve["slopes"] for size, curve in found.get("curves", {}).items()}
    print(json.dumps(slopes or {name: record[name] for name in names}, indent=2), f"\n{out}")


if __name__ == "__main__":
    main()
