"""What MLflow's pages show first."""

from types import SimpleNamespace
from typing import Any

from igrpo.metrics.definitions import STEP_METRICS
from igrpo.runs.headline import headline_metrics, settings_first
from igrpo.runs.mlflow_client import MlflowRun


def test_accuracies_have_copies_that_sort_before_everything_else() -> None:
    line = {
        "test/single_shot/accuracy": 0.5,
        "test/draft_conditioned/accuracy": 0.75,
        "aime 24/single_shot/accuracy": 0.25,
        "test/single_shot/low": 0.4,
        "test/greedy/accuracy": 1.0,
        "answer/accuracy": 0.1,
        "alarm/copying": 0.0,
    }
    copies = headline_metrics(line)
    assert copies == {"accuracy/test": 0.5, "accuracy/test_draft_conditioned": 0.75, "accuracy/aime 24": 0.25}
    assert sorted(copies | line)[:3] == sorted(copies)
    assert min(STEP_METRICS) > max(copies)  # no metric of a run sorts before them


def test_a_line_begins_with_its_copies() -> None:
    """MLflow lists a run's metrics in the order in which they came."""
    sent: list[Any] = []
    client = SimpleNamespace(log_batch=lambda run_id, metrics: sent.extend(metrics))
    line = {"step": 3, "time": 2.0, "test/single_shot/low": 0.1, "test/single_shot/accuracy": 0.5}
    MlflowRun(client, "x", "1").log_points([line])  # type: ignore[arg-type]
    assert [(point.key, point.value, point.step, point.timestamp) for point in sent] == [
        ("accuracy/test", 0.5, 3, 2000),
        ("test/single_shot/low", 0.1, 3, 2000),
        ("test/single_shot/accuracy", 0.5, 3, 2000),
    ]


def test_condition_and_seed_come_first() -> None:
    params = {"learning_rate": "1", "algorithm.name": "grpo", "condition": "grpo", "seed": "0"}
    assert list(settings_first(params, ["learning_rate", "seed"])) == [
        *("condition", "seed", "learning_rate", "algorithm.name"),
    ]
