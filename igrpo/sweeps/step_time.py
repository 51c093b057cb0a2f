"""Estimate of a run's duration from a few real steps."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from igrpo.assembly.policy import warm_start_entry
from igrpo.config import RunConfig
from igrpo.config.facts import evaluation_questions, planned_steps
from igrpo.models import weight_cache
from igrpo.runs.console import get_console
from igrpo.runs.training_run import train

#: Number of measured steps. The first one includes one-time costs, so it is not counted.
_STEPS = 2
_QUESTIONS = 8  # more would take too long with a pretrained model on a CPU

#: Phases that occur in every step.
_STEP_PHASES = ("generation", "reward_wait", "update", "weight_sync")


@dataclass(frozen=True, slots=True)
class StepTime:
    """Wall-clock seconds of ``setup`` (starting and closing a run), a training ``step``, and evaluating a ``question``.

    The setup is that of a run whose warm start is cached. ``completions`` is the number of completions per measured
    step.
    """

    setup: float
    step: float
    completions: int
    question: float

    def of_run(self, config: RunConfig) -> float:
        """Return the seconds of a whole run at this speed. The time of a step scales with its completions."""
        evaluation, steps = config.evaluation, planned_steps(config)
        development, test = evaluation_questions(config)
        asked = (2 + (steps - 1) // evaluation.every) * development + 2 * test
        step = self.step * completions_per_step(config) / self.completions
        return self.setup + steps * step + asked * self.question


def completions_per_step(config: RunConfig) -> int:
    """Return the number of completions of one rollout cycle, of all roles together."""
    return config.trainer.questions_per_step * config.plan.samples


def measure_step(config: RunConfig) -> StepTime:
    """Train for two steps in a temporary directory, and measure the times.

    Raises:
        Exception: any error that stops a run.
    """
    asked = min(config.evaluation.questions, _QUESTIONS)
    # All evaluations are to be measured, with all samples: an interval over so few questions would be too wide to stop.
    evaluation = {"every": _STEPS, "questions": asked, "benchmarks": {}, "reuse_first": False, "interval_width": None}
    short = config.model_copy(
        update={
            "trainer": config.trainer.model_copy(update={"steps": _STEPS}),
            "evaluation": config.evaluation.model_copy(update=evaluation),
            "tracking": config.tracking.model_copy(update={"uri": None}),
            "profile": False,
        }
    )
    entry = warm_start_entry(config)
    trained_here = entry is not None and not entry.exists()
    console = get_console()
    quiet, console.quiet = console.quiet, True
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="igrpo-step-") as folder:
            run_dir = Path(folder) / "run"
            summary = train(short, run_dir, resume=False)
            lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    finally:
        console.quiet = quiet
    elapsed = time.perf_counter() - start
    if trained_here and entry is not None:
        elapsed -= weight_cache.seconds(entry) or 0.0
    steps = [
        sum(line.get(f"step_seconds/{phase}", 0.0) for phase in _STEP_PHASES)
        for line in lines
        if "budget/samples" in line
    ]
    evaluating = summary["seconds"].get("evaluation", 0.0)
    return StepTime(
        setup=max(elapsed - sum(steps) - evaluating, 0.0),
        step=sum(steps[1:]) / len(steps[1:]),
        completions=completions_per_step(config),
        question=evaluating / (4 * asked),  # both splits, before and after
    )
