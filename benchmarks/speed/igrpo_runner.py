"""Training steps of igrpo on a case: ``python -m benchmarks.speed.igrpo_runner JOB RESULT``, two JSON files.

A run as ``igrpo train`` makes it, from a composed configuration through its Lightning module, recorder included and
MLflow, evaluations and checkpoints left out. Generation is the time in ``Collector.collect``, rewards included; update
is the phase of that name; training is everything but generation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch

from benchmarks.speed.workload import Case, Lengths, Meter, problems
from igrpo import assembly
from igrpo.budget import Budget
from igrpo.config.composing.composer import Composer
from igrpo.generation.local.decode_batch import DecodeBatch, DecodeRow
from igrpo.runs.building import build_parts, build_recorder, build_trainer
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker
from igrpo.training.collect import Collector
from igrpo.types import Question, Rollout


def overrides(job: dict[str, Any], case: Case, folder: Path) -> list[str]:
    """Return the settings of a case; whatever is not named keeps igrpo's default for a CPU."""
    data = folder / "problems.jsonl"
    lines = [json.dumps(row) + "\n" for row in problems(case, job["seed"])]
    data.write_text("".join(lines), encoding="utf-8")
    return [
        f"algorithm={job['algorithm']}", "objective=grpo", "trainer=cpu", f"trainer.device={job['device']}",
        f"trainer.precision={'bf16' if job['device'] == 'cuda' else 'fp32'}", f"trainer.threads={job['threads']}",
        f"trainer.steps={1 + case.steps}", f"trainer.questions_per_step={case.questions}",
        f"completions_per_question={case.group}", "trainer.learning_rate=1e-6", f"seed={job['seed']}",
        "model=huggingface", f"model.name_or_path={job['model']}", "data=jsonl", f"data.path={data}",
        f"data.development={data}", f"data.test={data}", "data.decontamination.method=off", "prompt=boxed",
        "prompt.chat_template=off", 'prompt.system=""', 'prompt.cut_marker=" "', 'prompt.question="{problem}"',
        'prompt.refinement="{problem}\\nDraft:\\n{draft}\\nAnswer:"', "reward=python",
        "reward.target=benchmarks.speed.workload:rewards", "rollout=local",
        f"sampling.max_completion_tokens={case.completion}",
        f"prompt.max_question_tokens={max(case.prompt_lengths())}", f"prompt.max_draft_tokens={case.completion}",
        "evaluation.questions=1", f"evaluation.max_completion_tokens={case.completion}", "tracking=none",
        *job["overrides"],
    ]  # fmt: skip


@dataclass
class TimedBudget(Budget):
    """A budget that also measures the phase ``update`` with the benchmark's clock."""

    meter: Meter | None = None
    updating: float = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        assert self.meter is not None
        start = self.meter.now()
        with super().phase(name):
            yield
        if name == "update":
            self.updating += self.meter.now() - start


class TimedCollector:
    """A collector that measures its own time."""

    def __init__(self, collector: Collector, meter: Meter) -> None:
        self._collector, self._meter, self.seconds = collector, meter, 0.0

    def collect(self, step: int, questions: Sequence[Question], budget: Budget) -> list[Rollout]:
        start = self._meter.now()
        rollouts = self._collector.collect(step, questions, budget)
        self.seconds += self._meter.now() - start
        return rollouts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collector, name)


class Steps(lightning.Callback):
    """Seconds and tokens of each step, from the end of the one before to its own."""

    def __init__(self, meter: Meter, collector: TimedCollector, budget: TimedBudget) -> None:
        self.meter, self.collector, self.budget = meter, collector, budget
        self.rows: list[dict[str, float]] = []
        self.peak_mib = 0.0
        self._before = self._totals()

    def _totals(self) -> dict[str, float]:
        return {"step": self.meter.now(), "generation": self.collector.seconds, "update": self.budget.updating,
                "generated_tokens": self.budget.generated_tokens, "trained_tokens": self.budget.trained_tokens,
                "flops": self.budget.flops}  # fmt: skip

    def on_train_start(self, *_: Any) -> None:
        self._before = self._totals()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        now = self._totals()
        row = {name: value - self._before[name] for name, value in now.items()}
        self.rows.append(row | {"training": row["step"] - row["generation"]})
        # on a GPU the module reads the peak in every step, which begins a new one
        self.peak_mib = max(self.peak_mib, 2**10 * module.latest.get("memory/peak_gib", 0.0))
        self._before = self._totals()


def limit_rows(lengths: Lengths) -> None:
    """Make the engine end each row at a length of its own, as TRL's rows do; a request has one limit for all."""
    admit = DecodeBatch.admit

    def admit_limited(self: Any, *arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            rows = value if isinstance(value, list) and value and isinstance(value[0], DecodeRow) else []
            for row, length in zip(rows, lengths.take(len(rows)), strict=True):
                row.params = replace(row.params, max_new_tokens=length)
        return admit(self, *arguments, **named)

    DecodeBatch.admit = admit_limited  # type: ignore[method-assign]


def run(job: dict[str, Any]) -> dict[str, Any]:
    case, folder = Case(**job["case"]), Path(job["folder"])
    torch.set_num_threads(job["threads"])
    meter = Meter(job["device"])
    with Composer("train") as composer:
        config = composer.check_run(overrides(job, case, folder)).config
    directory = RunDirectory(folder / "run")
    directory.begin(["benchmark"])
    with ExitStack() as closing:
        parts = build_parts(config, directory, closing, date.today())  # noqa: DTZ011
        # a token that ends a completion is sampled like any other: every row gets its full length
        parts = replace(parts, policy=replace(parts.policy, stop_token_ids=()))
        source = assembly.fitting_source(config, parts.prompts, assembly.read_splits(config))
        data = assembly.build_data(config, source.train)
        module: Any = assembly.build_module(config, parts, data, source.development[0])
        module.budget = budget = TimedBudget(meter=meter)
        module.collector = collector = TimedCollector(module.collector, meter)
        tracker = Tracker(directory, tracking_uri=None)
        build_recorder(config, directory, tracker, module)
        if case.uniform:
            limit_rows(Lengths(case, job["seed"]))
        steps = Steps(meter, collector, budget)
        build_trainer(config, directory, tracker, [steps]).fit(module, data)
        tracker.close("FINISHED")
    versions = {name: version(name) for name in ("igrpo", "torch", "transformers", "lightning")}
    measured = {"steps": steps.rows[1:], "peak_mib": steps.peak_mib or meter.peak_mib(), "versions": versions}
    return measured | {"microbatch_tokens": config.trainer.tokens_per_microbatch}


if __name__ == "__main__":
    job_file, result_file = map(Path, sys.argv[1:])
    result_file.write_text(json.dumps(run(json.loads(job_file.read_text(encoding="utf-8")))), encoding="utf-8")
