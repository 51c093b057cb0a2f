"""The time that a sweep still takes: from predictions, corrected by what the runs took, warm starts counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.models import weight_cache
from igrpo.sweeps.time_left import Elapsed, Expected, expect, time_left
from tests.composed import config

NOTHING = Expected({}, {})


def done(seconds: float) -> Elapsed:
    return Elapsed(seconds, is_finished=True)


def running(seconds: float) -> Elapsed:
    return Elapsed(seconds, is_finished=False)


def test_nothing_is_known_before_the_first_end_unless_a_step_was_measured() -> None:
    assert time_left(NOTHING, [0, 1], {0: running(5)}, 1) is None
    assert time_left(Expected({0: 10, 1: 20}, {}), [0, 1], {}, 1) == 30


def test_the_rest_takes_as_long_as_the_finished_runs() -> None:
    assert time_left(NOTHING, [2, 3], {0: done(10), 1: done(14)}, 1) == 24
    assert time_left(NOTHING, [2, 3], {0: done(10), 1: done(14), 2: running(5)}, 1) == 12 - 5 + 12
    assert time_left(NOTHING, [2], {0: done(10), 2: running(99)}, 1) == 0
    assert time_left(NOTHING, [], {0: done(10)}, 1) == 0


def test_predictions_are_scaled_by_what_the_runs_took() -> None:
    # run 0 took twice as long as predicted, so run 1 will take 2 x 30
    assert time_left(Expected({0: 10, 1: 30}, {}), [1], {0: done(20)}, 1) == 60


def test_a_warm_start_is_paid_by_its_first_run_only() -> None:
    expected = Expected(dict.fromkeys(range(4), 10.0), {0: 45, 1: 45})
    assert time_left(expected, [0, 1, 2, 3], {}, 1) == 40 + 90
    # 55 s of run 0 were 45 s of warm start: the others are not slower than predicted
    assert time_left(expected, [1, 2, 3], {0: done(55)}, 1) == 30 + 45
    assert time_left(expected, [2, 3], {0: done(55), 1: done(55)}, 1) == 20


def test_runs_at_a_time_share_the_rest_but_no_run_is_shared() -> None:
    expected = Expected(dict.fromkeys(range(4), 10.0), {})
    assert time_left(expected, [0, 1, 2, 3], {}, 2) == 20
    assert time_left(expected, [3], {0: done(10), 3: running(1)}, 4) == 9


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGRPO_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("_own_cache")
def test_the_first_run_of_each_seed_trains_the_warm_start_unless_it_is_cached() -> None:
    from igrpo.assembly.policy import warm_start_entry
    from igrpo.models.tiny import TinyShape, build_tiny_model

    configs = {n: config({"seed": seed, "model.warm_start.seed": seed}) for n, seed in enumerate((0, 1, 2, 0, 1, 2))}
    predicted = dict.fromkeys(configs, 10.0)
    assert expect(configs, predicted).warm_starts == {}  # nothing says how long one takes
    entry = warm_start_entry(configs[1])
    assert entry is not None
    weight_cache.save(build_tiny_model(TinyShape(32, 1, 2, 48), 0), entry, 45.0)
    assert weight_cache.seconds(entry) == 45.0
    assert expect(configs, predicted) == Expected(predicted, {0: 45.0, 2: 45.0})
    other = {0: config(None, "experiment=math_local", "data.path=none.jsonl")}
    assert expect(other, {}).warm_starts == {}
