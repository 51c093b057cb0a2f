"""Recording of a run's rollouts, evaluations, failures and summary."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igrpo.budget import Budget
from igrpo.config import RunConfig, config_hash
from igrpo.disk import disk_errors
from igrpo.evaluation.draft_worth import DraftWorth, draft_worth
from igrpo.evaluation.result import EvaluationResult
from igrpo.files import atomic_path, write_json_atomic
from igrpo.runs.fingerprints import read_fingerprints
from igrpo.runs.metrics_file import read_metrics
from igrpo.runs.rollout_lines import rollout_line, table_row
from igrpo.runs.rollout_log import RolloutLog
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.strict_json import compact_json
from igrpo.runs.summary import Accuracy, DraftWorths, FirstLast, JudgeUse, Summary, TokenCounts, write_summary
from igrpo.runs.tracker import Tracker
from igrpo.runs.versions import git_commit, versions
from igrpo.training.stopping import StoppingRule
from igrpo.types import ROLES, Rollout


class RunRecorder:
    """Writes a run's data to its directory, and sample tables and alarms to MLflow.

    Args:
        budget: the run's counters, which are read whenever the summary is written.
        parameters, hardware: see ``Summary``.
    """

    def __init__(
        self,
        directory: RunDirectory,
        tracker: Tracker,
        rollouts: RolloutLog,
        config: RunConfig,
        budget: Budget,
        *,
        parameters: int | None = None,
        hardware: str | None = None,
    ) -> None:
        self._directory, self._tracker, self._rollouts = directory, tracker, rollouts
        self._config, self._budget = config, budget
        self._versions, self._commit = versions(), git_commit()
        self._parameters, self._hardware = parameters, hardware
        self._fingerprints = read_fingerprints(directory.fingerprints)
        self._latest: Sequence[Rollout] = ()

    def record(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Write every sample of a step to the rollout log."""
        self._latest = rollouts
        self._rollouts.append(step, [rollout_line(step, rollout) for rollout in rollouts])

    def record_failure(self, step: int, rollouts: Sequence[Rollout], reason: str) -> Path:
        """Write the data of the step that stopped the run, with the reason in the first line. Returns the file."""
        target = self._directory.failures / f"step-{step:06d}.jsonl.gz"
        lines = [{"step": step, "reason": reason}, *(rollout_line(step, rollout) for rollout in rollouts)]
        with (
            disk_errors(target),
            atomic_path(target) as temporary,
            gzip.open(temporary, "wt", encoding="utf-8") as file,
        ):
            file.writelines(compact_json(line) + "\n" for line in lines)
        return target

    def has_evaluation(self, step: int, split: str) -> bool:
        """True if an evaluation after ``step`` exists. An evaluation without any score does not count: repeat it."""
        found = self._evaluation(split, step)
        return found is not None and found["single_shot"] is not None

    def record_evaluation(self, step: int, split: str, result: EvaluationResult) -> None:
        """Write an evaluation with its verdicts per question, a table of sampled questions, and the summary."""
        target = self._evaluation_file(split, step)
        with disk_errors(target):
            write_json_atomic(target, {"step": step, "split": split, **asdict(result)})
        examples = [table_row(rollout) for rollout in self._latest[: self._config.tracking.example_questions]]
        if split == "development" and examples:
            table = {"columns": list(examples[0]), "data": [list(row.values()) for row in examples]}
            target = self._evaluation_file("samples", step)
            with disk_errors(target):
                write_json_atomic(target, table)
        self.write_summary(step)

    def set_alarm(self, name: str, message: str) -> None:
        """Set an alarm as a tag of the run in MLflow."""
        self._tracker.set_tags({f"igrpo.alarm.{name}": message})

    def write_summary(self, step: int) -> Summary:
        """Write summary.json for the state after ``step``."""
        config = self._config
        rule = StoppingRule(config.trainer.steps, config.budget)
        rows = list(read_metrics(self._directory.metrics))
        before, after = self._evaluation("test", 0), self._evaluation("test", step) if step else None
        summary = Summary(
            algorithm=config.algorithm.name,
            objective=config.objective.name,
            seed=config.seed,
            steps=step,
            stopped_by=rule.stopped_by(step, self._budget.metrics()),
            single_shot=_accuracy(before, after, "single_shot", self._config.evaluation.samples),
            draft_conditioned=_accuracy(before, after, "draft_conditioned", self._config.evaluation.samples),
            draft_worth=DraftWorths(before=_draft_worth(before), after=_draft_worth(after)),
            entropy=_entropies(rows),
            samples=self._budget.samples,
            tokens=TokenCounts(
                generated=self._budget.generated_tokens,
                prefilled=self._budget.prefilled_tokens,
                trained=self._budget.trained_tokens,
            ),
            flops=self._budget.flops,
            seconds=dict(self._budget.seconds),
            judge=_judge_use(rows),
            fingerprints=None if self._fingerprints is None else self._fingerprints.short(),
            parameters=self._parameters,
            hardware=self._hardware,
            versions=self._versions,
            commit=self._commit,
            config_hash=config_hash(config),
        )
        write_summary(self._directory.summary, summary)
        return summary

    def forget_after(self, step: int) -> None:
        """Drop rollouts and evaluations after ``step``, the checkpoint from which a resumed run continues."""
        self._rollouts.truncate_after(step)
        for path in self._directory.evaluations.glob("*-*.json"):
            number = path.stem.rpartition("-")[2]
            if number.isdigit() and int(number) > step:
                path.unlink()

    def _evaluation_file(self, split: str, step: int) -> Path:
        return self._directory.evaluations / f"{split}-{step:06d}.json"

    def _evaluation(self, split: str, step: int) -> dict[str, Any] | None:
        path = self._evaluation_file(split, step)
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def _entropies(rows: Sequence[Mapping[str, float]]) -> dict[str, FirstLast]:
    """Return the entropy of each role's sampled tokens at the first and last training step in metrics.jsonl."""
    entropies: dict[str, FirstLast] = {}
    for role in ROLES:
        seen = [row[f"{role}/entropy"] for row in rows if f"{role}/entropy" in row]
        if seen:
            entropies[role] = FirstLast(first=seen[0], last=seen[-1])
    return entropies


def _judge_use(rows: Sequence[Mapping[str, float]]) -> JudgeUse | None:
    """Return the judge's latest totals in metrics.jsonl; None without a judge."""
    last = next((row for row in reversed(rows) if "judge/cost" in row), None)
    if last is None:
        return None
    tokens = {name: round(last[f"judge/{name}"]) for name in ("input_tokens", "output_tokens")}
    return JudgeUse(**tokens, cost=last["judge/cost"])


def _accuracy(before: dict[str, Any] | None, after: dict[str, Any] | None, name: str, samples: int) -> Accuracy:
    first = None if before is None else before[name]
    last = None if after is None else after[name]
    greedy = name == "single_shot"
    return Accuracy(
        before=None if first is None else first["value"],
        after=None if last is None else last["value"],
        interval_before=None if first is None else (first["low"], first["high"]),
        interval=None if last is None else (last["low"], last["high"]),
        greedy_before=_value(before, "greedy") if greedy else None,
        greedy_after=_value(after, "greedy") if greedy else None,
        questions=None if before is None else len(before["per_question"]),
        samples_per_question=samples,
    )


def _draft_worth(evaluation: dict[str, Any] | None) -> DraftWorth | None:
    rows = [] if evaluation is None else evaluation["per_question"]
    return draft_worth([row["single_shot"] for row in rows], [row["draft_conditioned"] for row in rows])


def _value(evaluation: dict[str, Any] | None, name: str) -> float | None:
    part = None if evaluation is None else evaluation[name]
    return None if part is None else float(part["value"])
