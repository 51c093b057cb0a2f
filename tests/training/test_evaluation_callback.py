"""Which split is asked when: the test split before and after training only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from igrpo.evaluation.records import QuestionRecord
from igrpo.evaluation.result import EvaluationResult, summarise
from igrpo.training.evaluation_callback import EvaluationCallback
from igrpo.types import Question
from tests import evaluated
from tests.algorithms.fakes import completion, score
from tests.training.small_run import fit, fit_and_save, make


def result(value: float) -> EvaluationResult:
    answers = evaluated.answers((completion("x"),), (score(value),))
    return summarise([QuestionRecord(Question("q", "", ""), answers, None, None, None)], "fake")


@dataclass
class FakeEvaluator:
    """An evaluation that costs nothing."""

    value: float
    in_bf16: list[bool] = field(default_factory=list)

    async def run(self) -> EvaluationResult:
        self.in_bf16.append(torch.is_autocast_enabled("cpu"))
        return result(self.value)


@dataclass
class Reports:
    """What the callback reported: (step, split), and the accuracies by split."""

    calls: list[tuple[int, str]] = field(default_factory=list)
    accuracies: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: int, split: str, found: EvaluationResult) -> None:
        self.calls.append((step, split))
        self.accuracies[split] = found.single_shot.value


def callback(reports: Reports, every: int, *, done: bool = False) -> EvaluationCallback:
    development: Any = FakeEvaluator(1.0)
    test: Any = FakeEvaluator(0.0)
    return EvaluationCallback(development, {"test": test}, reports, lambda step, split: done, every=every)


@pytest.mark.parametrize(
    ("every", "on_the_way"),
    [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4]), (9, [4])],  # the last step (4) always
)
def test_development_on_the_way_and_test_before_and_after(every: int, on_the_way: list[int], tmp_path: Path) -> None:
    reports, module = Reports(), make("grpo", steps=4)
    fit(module, 4, tmp_path, callbacks=[callback(reports, every)])
    assert reports.calls == [(0, "development"), (0, "test"), *((n, "development") for n in on_the_way), (4, "test")]
    assert reports.accuracies == {"development": 1.0, "test": 0.0}  # each split from its own evaluator
    assert module.budget.seconds["evaluation"] > 0


def test_a_run_that_its_budget_ends_is_evaluated_where_it_ends(tmp_path: Path) -> None:
    reports = Reports()
    module = make("grpo", steps=9, limits={"max_samples": 25})  # 12 samples a step: 24 are too few
    fit(module, 9, tmp_path, callbacks=[callback(reports, 2)])
    assert reports.calls == [(0, "development"), (0, "test"), (2, "development"), (3, "development"), (3, "test")]


def test_a_resumed_run_repeats_no_evaluation(tmp_path: Path) -> None:
    file = fit_and_save(make("grpo"), 4, tmp_path)
    reports = Reports()
    fit(make("grpo", steps=4), 4, tmp_path, callbacks=[callback(reports, 2)], checkpoint=file, start_step=2)
    assert reports.calls == [(4, "development"), (4, "test")]


@pytest.mark.parametrize(("done", "expected"), [(True, []), (False, [(2, "development"), (2, "test")])])
def test_a_resume_at_the_last_step_evaluates_what_is_missing(tmp_path: Path, done: bool, expected: list[Any]) -> None:
    file = fit_and_save(make("grpo"), 2, tmp_path)
    reports, module = Reports(), make("grpo", steps=2)
    fit(module, 2, tmp_path, callbacks=[callback(reports, 1, done=done)], checkpoint=file, start_step=2)
    assert (module.rollout_step, reports.calls) == (2, expected)


def test_evaluation_has_the_precision_of_training() -> None:
    development, test = FakeEvaluator(1.0), FakeEvaluator(0.0)
    evaluators: Any = (development, {"test": test})
    asked = EvaluationCallback(*evaluators, Reports(), lambda step, split: False, every=1)
    trainer: Any = SimpleNamespace(precision_plugin=MixedPrecision("bf16-mixed", "cpu"))
    asked.on_train_start(trainer, make("grpo"))
    assert development.in_bf16 == test.in_bf16 == [True]


@dataclass
class Kept:
    """Results of earlier runs, by split."""

    results: dict[str, EvaluationResult]

    def load(self, split: str) -> EvaluationResult | None:
        return self.results.get(split)

    def save(self, split: str, found: EvaluationResult) -> None:
        self.results[split] = found


def test_a_kept_result_replaces_the_first_evaluation_only(tmp_path: Path) -> None:
    development, test = FakeEvaluator(1.0), FakeEvaluator(0.0)
    evaluators: Any = (development, {"test": test})
    kept, reports = Kept({"test": result(1.0)}), Reports()
    first = EvaluationCallback(*evaluators, reports, lambda step, split: False, every=9, first=kept)
    first.on_train_start(SimpleNamespace(precision_plugin=MixedPrecision("bf16-mixed", "cpu")), make("grpo"))  # type: ignore[arg-type]
    assert reports.accuracies == {"development": 1.0, "test": 1.0}
    assert (len(development.in_bf16), len(test.in_bf16)) == (1, 0)
    assert kept.results["development"] == result(1.0)
    fit(make("grpo", steps=1), 1, tmp_path, callbacks=[first])
    assert (len(development.in_bf16), len(test.in_bf16)) == (2, 1)  # the first from what was kept, the last anew
    assert kept.results["test"] == result(1.0)
