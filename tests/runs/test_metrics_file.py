import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.runs.metrics_file import MetricsFile, check_metric_name, read_metrics


def steps_of(path: Path) -> list[int]:
    return [line["step"] for line in read_metrics(path)]


def write(path: Path, steps: range) -> MetricsFile:
    file = MetricsFile(path)
    for step in steps:
        file.append(step, {"train/loss": step / 4})
    return file


def test_a_line_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(1, {"answer/entropy": 0.5, "count": 3})
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert list(line) == ["step", "time", "answer/entropy", "count"]
    assert (line["step"], line["answer/entropy"], line["count"]) == (1, 0.5, 3)


def test_non_finite_values_are_strict_json_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).append(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    raw = json.loads(path.read_text(), parse_constant=refuse)
    assert (raw["a"], raw["b"], raw["c"]) == ("nan", "inf", "-inf")
    (line,) = read_metrics(path)
    assert math.isnan(line["a"])
    assert (line["b"], line["c"]) == (math.inf, -math.inf)


@given(st.floats())
def test_every_float_comes_back_bit_for_bit(value: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        file = MetricsFile(path)
        file.append(0, {"x": value})
        file.close()
        (line,) = read_metrics(path)
    assert line["x"] == value or (math.isnan(line["x"]) and math.isnan(value))


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_left_out_and_repaired(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4)).close()
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -min(cut, last)])
    assert steps_of(path) == [1, 2]
    file = MetricsFile(path)
    assert file.last_step == 2
    file.append(3, {"train/loss": 9.0})
    assert [(line["step"], line["train/loss"]) for line in read_metrics(path)] == [(1, 0.25), (2, 0.5), (3, 9.0)]


@given(last=st.integers(0, 12), cut=st.integers(-1, 14))
def test_truncation_keeps_the_steps_up_to_the_checkpoint(last: int, cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        file = write(path, range(last + 1))
        file.append(last, {"eval/accuracy": 0.5})  # a second line of the same step
        before = path.read_bytes()
        file.truncate_after(cut)
        kept = [step for step in [*range(last + 1), last] if step <= cut]
        assert steps_of(path) == kept
        assert before.startswith(path.read_bytes())  # what stays does not change: MLflow counts its bytes
        assert file.last_step == max(kept, default=None)
        file.append(cut + 1, {"train/loss": 1.0})
        assert steps_of(path) == [*kept, cut + 1]
        file.close()


def test_steps_never_go_back(tmp_path: Path) -> None:
    file = write(tmp_path / "metrics.jsonl", range(1, 6))
    with pytest.raises(ValueError, match="step 3 after those of step 5"):
        file.append(3, {"train/loss": 1.0})
    assert steps_of(file.path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["loss", "eval/aime24/avg_at_16", "a.b-c d/e", "refinement/reward_mean"])
def test_good_names(name: str) -> None:
    check_metric_name(name)


@pytest.mark.parametrize(
    "name", ["avg@16", "", "/loss", "loss/", "a//b", "a/../b", "..", "a:b", "step", "time", "verlust_ä", "x" * 251]
)
def test_bad_names_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="is not allowed: use letters, digits"):
        file.append(1, {name: 1.0})
    assert file.path.read_bytes() == b""


@pytest.mark.parametrize("line", [b"{broken\n", b"[1]\n", b'{"loss": 1}\n', b'{"step": "1"}\n', b'{"step": true}\n'])
def test_a_bad_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "time": 0}\n' + line + b'{"step": 3, "time": 0}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is not"):
        list(read_metrics(path))


def test_times_never_decrease_though_the_clock_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 50.0, 60.0, 110.0])
    monkeypatch.setattr("igrpo.runs.metrics_file.time.time", lambda: next(clock))
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(1, {"a": 1.0})
    file.append(2, {"a": 1.0})
    file.truncate_after(1)  # MLflow may have the point of step 2
    file.append(2, {"a": 1.0})
    file.append(3, {"a": 1.0})
    assert [line["time"] for line in read_metrics(file.path)] == [100.0, 100.0, 110.0]
