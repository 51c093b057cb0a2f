"""Runs pytest in forks of a process that has imported everything heavy, so that a run costs a second or two."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What a test file may import anew in every fork: the package itself, which is mutated, and the tests.
OWN = ("igrpo", "tests", "benchmarks", "conftest", "__main__")

#: The derandomised profile, as in ``make test``: every run draws the same examples.
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--no-header", "-W", "ignore", "--tb=line"]


def enter(copy: Path) -> None:
    """Work in a copy of the project from now on, also in what the tests start."""
    sys.path[:] = [str(copy), *(entry for entry in sys.path if not (Path(entry or ".") / "igrpo").is_dir())]
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONHASHSEED"] = "0"
    os.chdir(copy)


def preload(names: Iterable[str]) -> None:
    """Import modules that tests were seen to need, all but the project's own."""
    for name in names:
        if name.split(".")[0] not in OWN and name not in sys.modules:
            with warnings.catch_warnings(), contextlib.suppress(BaseException):
                warnings.simplefilter("ignore")
                importlib.import_module(name)
    if threading.active_count() > 1:
        print(f"warning: {threading.active_count()} threads in the process that is forked", file=sys.stderr)


def forked(work: Callable[[], int], timeout: float, output: Path) -> int | None:
    """The exit status of ``work`` in a child with its output in a file (negative: a signal); None: it ran too long.

    What the child started ends with it.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    deadline, status = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        done, found = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(found)
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    return status


def run_tests(tests: list[str], *plugins: Any) -> int:
    """Pytest's exit status; for a forked child."""
    import pytest

    return int(pytest.main([*PYTEST, "--basetemp", f"{Path.cwd()}.tmp", *tests], plugins=list(plugins)))


#: Begins the line of a test that fails while it is measured; it is not run for a change.
FAILED = "failed without a change:"


@dataclass
class Measured:
    """What one test file ran: seconds of each passed test, and which of its tests ran which lines of the package.

    A file's own name stands for all of its tests, where a line ran while they were set up together.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)


def measure(test_file: str, marks: str) -> Measured:
    """Run a test file under coverage; for a forked child in the copy."""
    import coverage
    import pytest

    root, found = Path.cwd(), Measured()
    recorder = coverage.Coverage(data_file=None, include=[f"{root}/igrpo/*"], config_file=False)
    recorder.start()

    class Contexts:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
            recorder.switch_context(item.nodeid)
            return (yield)

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
            if fixturedef.scope == "function":
                return (yield)
            recorder.switch_context(test_file)
            try:
                return (yield)
            finally:
                recorder.switch_context(request._pyfuncitem.nodeid)

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.passed:
                found.seconds[report.nodeid] = found.seconds.get(report.nodeid, 0.0) + report.duration
            elif report.failed:
                print(FAILED, report.nodeid)
                failed.add(report.nodeid)

    failed: set[str] = set()
    arguments = [one for one in PYTEST if one != "-x"]
    pytest.main([*arguments, "--basetemp", f"{root}.tmp", "-m", marks, test_file], plugins=[Contexts()])
    recorder.stop()
    for name in failed:
        found.seconds.pop(name, None)
    data = recorder.get_data()
    for path in data.measured_files():
        lines = data.contexts_by_lineno(path)
        ran = {line: sorted(set(contexts) - {""} - failed) for line, contexts in lines.items()}
        found.tests[str(Path(path).relative_to(root))] = {line: tests for line, tests in ran.items() if tests}
    found.modules = sorted(name for name in sys.modules if name.split(".")[0] not in OWN)
    return found
