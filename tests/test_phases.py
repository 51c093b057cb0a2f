"""Phases with a clock that the test moves: nested blocks share all of the time, and each second has one owner."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.budget import Budget
from igrpo.phases import OTHER, PhaseTimer, measured, phase


class FakeClock:
    """Seconds that pass only when told to; CPU time is half of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> tuple[float, float]:
        return self.now, self.now / 2


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timer(clock: FakeClock) -> Iterator[PhaseTimer]:
    made = PhaseTimer(clock)
    made.activate()
    yield made
    made.deactivate()


def wall(timer: PhaseTimer) -> dict[str, float]:
    assert timer.total.wall > 0  # also charges the phase that is open
    return {path: time.wall for path, time in timer.times.items()}


def test_a_phase_has_the_seconds_that_no_inner_phase_has(timer: PhaseTimer, clock: FakeClock) -> None:
    clock.now += 1
    for _ in range(2):
        with phase("rollout"):
            clock.now += 10
            with phase("decode"):
                clock.now += 100
            clock.now += 10
    with phase("decode"):  # the same name elsewhere is another phase
        clock.now += 1000
    assert wall(timer) == {OTHER: 1, "rollout": 40, "rollout/decode": 200, "decode": 1000}
    assert {path: time.calls for path, time in timer.times.items()} == {
        OTHER: 0, "rollout": 2, "rollout/decode": 2, "decode": 1,
    }  # fmt: skip
    assert (timer.total.wall, timer.total.cpu) == (1241, 620.5)


@given(st.lists(st.sampled_from(["a", "b", "leave", "pause", "go on", 1, 2, 5]), max_size=40))
def test_phases_sum_to_the_time_that_was_not_paused(script: list[str | int]) -> None:
    clock = FakeClock()
    timer = PhaseTimer(clock)
    timer.activate()
    open_blocks, paused, expected = 0, False, 0.0
    try:
        for do in script:
            if isinstance(do, int):
                clock.now += do
                expected += 0 if paused else do
            elif do in {"pause", "go on"}:
                paused = do == "pause"
                timer.pause(paused=paused)
            elif do == "leave" and open_blocks:
                timer.leave()
                open_blocks -= 1
            elif do != "leave":
                timer.enter(do)
                open_blocks += 1
    finally:
        timer.deactivate()
    assert timer.total.wall == expected == 2 * timer.total.cpu
    assert sum(time.wall for time in timer.times.values()) == expected


def test_without_a_timer_a_phase_is_nothing() -> None:
    assert not measured()
    assert phase("a") is phase("b")  # no object is made
    with phase("a"), phase("a"):
        pass


def test_an_error_closes_its_phases(timer: PhaseTimer, clock: FakeClock) -> None:
    def fail() -> None:
        with phase("outer"), phase("inner"):
            clock.now += 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    clock.now += 2
    assert wall(timer) == {OTHER: 2, "outer": 0, "outer/inner": 1}


def test_other_threads_have_no_phases(timer: PhaseTimer, clock: FakeClock) -> None:
    def work() -> None:
        with phase("elsewhere"):
            clock.now += 3

    with phase("here"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert wall(timer) == {OTHER: 0, "here": 3}


def test_a_stopped_timer_counts_no_more(timer: PhaseTimer, clock: FakeClock) -> None:
    clock.now += 1
    timer.deactivate()
    clock.now += 5
    assert not measured()
    with phase("later"):
        clock.now += 7
    timer.deactivate()
    assert {path: time.wall for path, time in timer.times.items()} == {OTHER: 1}


def test_the_phases_of_the_budget_are_phases(timer: PhaseTimer, clock: FakeClock) -> None:
    with Budget().phase("update"):
        clock.now += 4
    assert wall(timer)["update"] == 4


def test_marks_enclose_their_phases(timer: PhaseTimer) -> None:
    seen: list[str] = []

    class Mark:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            seen.append(f"+{self.name}")

        def __exit__(self, *_: object) -> None:
            seen.append(f"-{self.name}")

    timer.mark = Mark  # type: ignore[assignment]
    with phase("outer"), phase("inner"):
        pass
    assert seen == ["+outer", "+inner", "-inner", "-outer"]
