"""Limits of MLflow's requests, and answers that get lost, against a stand-in for its client."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.store.entities import PagedList

from igrpo.runs import mlflow_client
from igrpo.runs.mlflow_client import MlflowRun, RunTarget, all_pages, open_run


class FakeClient:
    """A server that refuses what MLflow refuses, and whose first answer to a creation is lost."""

    def __init__(self) -> None:
        self.runs: list[dict[str, str]] = []
        self.answers_lost = 0
        self.requests: list[tuple[int, int, int]] = []
        self.metrics: list[tuple[str, float, int]] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self.requests.append((len(metrics), len(params), len(tags)))
        if len(metrics) + len(params) + len(tags) > 1000 or len(params) > 100:
            raise ValueError("INVALID_PARAMETER_VALUE")
        self.metrics += [(metric.key, metric.value, metric.step) for metric in metrics]
        self.params |= {param.key: param.value for param in params}
        self.tags |= {tag.key: tag.value for tag in tags}

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(params=self.params))

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        key, _, value = query.removeprefix("tags.").partition(" = ")
        found = [i for i, tags in enumerate(self.runs) if tags.get(key.strip("`")) == value.strip("'")]
        return [SimpleNamespace(info=SimpleNamespace(run_id=str(i))) for i in found]

    def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> Any:
        self.runs.append(tags)
        if self.answers_lost:
            self.answers_lost -= 1
            raise TimeoutError("read timed out")
        return SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.runs) - 1)))


def test_a_run_is_created_once_though_the_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient()
    monkeypatch.setattr(mlflow_client, "mlflow_client", lambda uri: client)
    client.answers_lost = 1
    target = RunTarget("http://fake", "experiment", "name", tags={"a": "b"})
    with pytest.raises(TimeoutError):
        open_run(target)
    assert open_run(target).run_id == "0"
    assert len(client.runs) == 1
    assert client.runs[0]["a"] == "b"
    assert open_run(RunTarget("http://fake", "experiment", "name")).run_id == "1"  # another target is another run


@pytest.mark.parametrize(("lines", "metrics"), [(1, 50), (18, 50), (3, 999), (1, 1000), (2, 2500)])
def test_points_fit_whatever_the_lines(lines: int, metrics: int) -> None:
    client = FakeClient()
    rows = [{"step": step, "time": 1.0} | {f"m{i}": i + step / 8 for i in range(metrics)} for step in range(lines)]
    MlflowRun(client, "x", "1").log_points(rows)  # type: ignore[arg-type]
    assert client.metrics == [(f"m{i}", i + step / 8, step) for step in range(lines) for i in range(metrics)]
    assert len(client.requests) == -(-lines * metrics // 999)


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_more_parameters_than_a_request_takes(count: int) -> None:
    client = FakeClient()
    client.params = {"p0": "known"}
    MlflowRun(client, "x", "1").log_params({f"p{i}": str(i) for i in range(count)})  # type: ignore[arg-type]
    assert client.params == {"p0": "known"} | {f"p{i}": str(i) for i in range(1, count)}


def test_every_page_of_a_search_is_read() -> None:
    pages = {None: PagedList([1, 2], "a"), "a": PagedList([3], "b"), "b": PagedList([4], None)}
    assert list(all_pages(pages.__getitem__)) == [1, 2, 3, 4]
