"""Run directories as training writes them, made in milliseconds with chosen accuracies and costs, and their report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from igrpo.files import write_json_atomic
from igrpo.report.compare import build_report
from igrpo.report.model import Report
from igrpo.report.runs import find_runs
from igrpo.runs.fingerprints import Fingerprints, Part, digest, write_fingerprints
from igrpo.runs.metrics_file import MetricsFile
from igrpo.runs.run_directory import RunDirectory, RunStatus
from igrpo.runs.summary import Accuracy, Summary, TokenCounts, write_summary
from igrpo.settings.reward import NOT_SCORING
from tests import composed

#: Share of right answers after training, by seed and problem.
GRPO = {0: [0.75, 0.5, 1.0, 0.25], 1: [0.5, 0.5, 1.0, 0.5], 2: [0.75, 0.75, 0.75, 0.5]}
IGRPO = {0: [0.5, 0.25, 0.75, 0.25], 1: [0.25, 0.5, 0.5, 0.25], 2: [0.5, 0.5, 0.75, 0.25]}

#: Costs of a step, unless a test gives others.
COSTS = {"samples": 8.0, "generated_tokens": 160.0, "prefilled_tokens": 40.0, "trained_tokens": 200.0, "flops": 1e9}
SECONDS = {"generation": 0.5, "update": 0.25, "evaluation": 3.0, "checkpoint": 0.125}

STEPS, EVERY, SAMPLES = 4, 2, 4
BEFORE = (0.25, 0.5, 0.5, 0.75)


def write_run(
    path: Path,
    *overrides: str,
    seed: int = 0,
    after: Sequence[float],
    before: Sequence[float] | None = None,
    changes: Mapping[str, Any] | None = None,
    costs: Mapping[str, float] | None = None,
    samples: int = SAMPLES,
    steps: int = STEPS,
    status: RunStatus = "FINISHED",
    ended: float = 1.8e9,
    ids: Sequence[str] | None = None,
    made_of: Mapping[Part, Any] | None = None,
) -> Path:
    """Write a run directory and return its path.

    Args:
        overrides: Hydra overrides of the shipped configuration; each combination is composed once (a third of a second).
        seed: seed of the run and of its warm start.
        changes: dotted keys of the configuration, set after it was composed.
        after, before: share of right answers to each problem of the test split, in multiples of 1/``samples``. Greedy answers
            are right where the share is over 1/2, refinements where an answer is, and one more of them.
        costs: costs of a step that replace those of ``COSTS``; a cost of -1 is not counted at all.
        ids: ids of the problems (default: p0, p1, ...).
        made_of: for a part that is not what its settings say, any value that changes its fingerprint (see `prints`).
    """
    seeds = {"seed": seed, "model.warm_start.seed": seed}
    config = composed.changed(
        {**seeds, "trainer.steps": STEPS, "evaluation.every": EVERY, **(changes or {})}, *overrides
    )
    directory = RunDirectory(path)
    directory.create()
    directory.save_config(config)
    directory.begin(["igrpo", "train", *overrides])
    start = [0.5] * len(after) if before is None else before
    names = [f"p{i}" for i in range(len(after))] if ids is None else ids
    counted = {name: cost for name, cost in {**COSTS, **(costs or {})}.items() if cost >= 0}
    file = MetricsFile(directory.metrics)
    for step in range(steps + 1):
        if step:
            file.append(step, _training_line(step, counted, drafts=config["algorithm"].get("drafts", 0) > 0))
        done = step / steps
        if step % EVERY == 0 or step == steps:
            accuracy = (1 - done) * fmean(start) + done * fmean(after)
            file.append(step, _evaluation_line("development", accuracy))
        if step in {0, steps}:
            shares = after if step else start
            file.append(step, _evaluation_line("test", fmean(shares)))
            write_evaluation(directory.evaluations / f"test-{step:06d}.json", names, shares, samples)
    file.close()
    fingerprints = prints(config, made_of or {})
    write_fingerprints(directory.fingerprints, fingerprints)
    write_summary(
        directory.summary,
        _summary(config, steps, counted, fmean(start), fmean(after), fingerprints=fingerprints.short()),
    )
    directory.finish(status, ended)
    return path


def write_condition(
    folder: Path, name: str, by_seed: Mapping[int, Sequence[float]], *overrides: str, **more: Any
) -> None:
    """Write the runs of one condition, one per seed, to ``folder``; ``name`` is its label."""
    changes = {"condition": name, **more.pop("changes", {})}
    for seed, after in by_seed.items():
        write_run(folder / f"{name}-{seed}", *overrides, seed=seed, after=after, changes=changes, **more)


def report_of(folder: Path, **more: Any) -> Report:
    """Build the report of all runs in a folder."""
    return build_report(find_runs([folder]), **{"title": "t", "sources": [str(folder)]} | more)


def of_metric(parts: Iterable[Any], metric: str = "single_shot") -> list[Any]:
    """Return the results or comparisons of one accuracy on the test split."""
    return [part for part in parts if part.metric == f"test/{metric}/accuracy"]


def prints(config: Mapping[str, Any], made_of: Mapping[Part, Any]) -> Fingerprints:
    """Return fingerprints that are a function of the settings and of ``made_of``."""

    def mark(part: Part, section: str) -> str:
        settings = {name: value for name, value in config[section].items() if name not in NOT_SCORING}
        return digest(json.dumps([made_of.get(part), settings], sort_keys=True))

    questions = {"questions": "9"} | dict.fromkeys(("ids", "problems"), "same")
    return Fingerprints(
        date="2026-01-02",
        questions={split: questions | {"answers": mark("questions", "data")} for split in ("train", "test")},
        prompts={"question": {"tokens": mark("prompts", "prompt")}},
        reward={"reward": {"source": mark("reward", "reward")}},
        model={"model": {"weights": mark("model", "model")}},
    )


def write_evaluation(path: Path, ids: Sequence[str], shares: Sequence[float], samples: int) -> None:
    """Write the file of one evaluation of the test split."""
    problems = []
    for name, share in zip(ids, shares, strict=True):
        right = round(share * samples)
        refined = min(samples, right + 1) if right else 0
        problems.append(
            {
                "id": name,
                "single_shot": [i < right for i in range(samples)],
                "answers": ["7" if i < right else None for i in range(samples)],
                "greedy": 2 * right > samples,
                "draft_conditioned": [i < refined for i in range(samples)],
                "draft_conditioned_oracle": [],
            }
        )
    write_json_atomic(path, {"split": "test", "per_question": problems})


def change_json(path: Path, **values: Any) -> None:
    """Set values in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _training_line(step: int, costs: Mapping[str, float], *, drafts: bool) -> dict[str, float]:
    first = "draft" if drafts else "answer"
    line = {f"{first}/entropy": 1 / step, f"{first}/reward_mean": step / 10, f"{first}/length_mean": 20.0}
    line["groups/zero_variance_share"] = 0.25
    if drafts:
        line |= {
            "refinement/entropy": 0.5 / step,
            "refinement/reward_mean": step / 8,
            "refinement/length_mean": 21.0,
        }
        line["copy/answer_rate"] = 0.5
        if step != 3:  # no wrong draft was shown in this step
            line["transfer/right_given_wrong"] = step / 20
    line |= {f"budget/{name}": step * cost for name, cost in costs.items()}
    return line | {f"seconds/{phase}": step * cost for phase, cost in SECONDS.items()}


def _evaluation_line(split: str, accuracy: float) -> dict[str, float]:
    return {f"{split}/single_shot/accuracy": accuracy, f"{split}/draft_conditioned/accuracy": accuracy + 0.05}


def _summary(
    config: Mapping[str, Any],
    steps: int,
    costs: Mapping[str, float],
    before: float,
    after: float,
    *,
    fingerprints: Mapping[str, str],
) -> Summary:
    total = {name: int(steps * cost) for name, cost in costs.items()}
    return Summary(
        algorithm=config["algorithm"]["name"],
        objective=config["objective"]["name"],
        seed=config["seed"],
        steps=steps,
        single_shot=Accuracy(before=before, after=after),
        draft_conditioned=Accuracy(),
        entropy={},
        samples=total["samples"],
        tokens=TokenCounts(
            generated=total["generated_tokens"], prefilled=total["prefilled_tokens"], trained=total["trained_tokens"]
        ),
        seconds={phase: steps * cost for phase, cost in SECONDS.items()},
        fingerprints=dict(fingerprints),
        versions={},
        commit=None,
        config_hash="0" * 12,
    )
