"""Callback of ``profile=true``: the time of a run by phase, and a trace of a few steps by torch.profiler.

The profiler makes every operator slower, and therefore the phases that have many. So the phases are measured in all
steps but the traced ones.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from igrpo.disk import disk_errors
from igrpo.distributed import is_main, rank
from igrpo.files import atomic_path, write_json_atomic, write_text_atomic
from igrpo.phases import PhaseTimer, process_clock
from igrpo.settings.tracking import ProfilingConfig
from igrpo.training.module import IGRPOModule
from igrpo.training.profile_table import Operator, profile_record, profile_text

log = logging.getLogger(__name__)

#: Prefix of the phases in the trace.
_MARK = "igrpo: "
#: Level at which torch's profiler prints no lines about its start and its end.
_NO_LINES = "6"
#: Number of operators in the table.
_TOP = 20


class ProfileCallback(lightning.Callback):
    """Callback that measures all phases of the training, and traces some steps.

    Each process writes ``trace-rankN.json.gz`` as soon as its traced steps are done, for Perfetto or chrome://tracing.
    At the end the main process writes ``phases.json`` and ``phases.txt``. A run that is stopped before writes none of
    what is not complete yet, and a resumed one replaces the files. This must be the last callback.

    Args:
        directory: folder of the files, made when the first is written.
        config: the traced steps, counted from the first step of this process.
        show: prints the table at the end.
    """

    def __init__(self, directory: Path, config: ProfilingConfig, show: Callable[[str], object]) -> None:
        self._directory, self._config, self._show = directory, config, show
        self._timer: PhaseTimer | None = None
        self._profiler: profile | None = None
        self._done = 0
        self._traced: list[int] = []
        self._operators: list[Operator] = []

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start to measure, before the first evaluation."""
        self._timer = PhaseTimer(_device_clock(pl_module.device))
        self._timer.activate()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Begin the trace at its first step."""
        if self._done == self._config.after and self._timer is not None:
            self._timer.pause(paused=True)
            os.environ.setdefault("KINETO_LOG_LEVEL", _NO_LINES)
            self._timer.mark = lambda name: record_function(f"{_MARK}{name}")
            on_gpu = pl_module.device.type == "cuda"
            self._profiler = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])])
            self._profiler.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Write the trace after its last step."""
        assert isinstance(pl_module, IGRPOModule)
        self._done += 1
        if self._profiler is None:
            return
        self._traced.append(pl_module.rollout_step)
        if len(self._traced) == self._config.steps:
            self._end_trace()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write and print the table; a trace with fewer steps than asked for is written, too."""
        if self._traced and self._profiler is not None:
            self._end_trace()
        timer = self._stop()
        if timer is None or not is_main():
            return
        if not self._traced:
            log.warning(
                "profile=true: no step was traced, since this process did %d steps and profiling.after=%d",
                self._done,
                self._config.after,
            )
        steps = self._done - len(self._traced)
        record = profile_record(timer.times, steps, self._traced, self._operators, top=_TOP)
        text = profile_text(record)
        with disk_errors(self._directory):
            write_json_atomic(self._directory / "phases.json", record)
            write_text_atomic(self._directory / "phases.txt", text)
        self._show(f"\n{text}\nthese tables and the trace: {self._directory}")

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Stop without writing: the trace of a step that was interrupted is not whole."""
        self._stop()

    def _end_trace(self) -> None:
        """Write the trace, and keep its operators for the table."""
        assert self._profiler is not None
        assert self._timer is not None
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        self._timer.mark = None
        self._operators = list(_operators(profiler))
        target = self._directory / f"trace-rank{rank()}.json.gz"
        with disk_errors(target):
            _write_trace(profiler, target)
        log.info("the trace of steps %s: %s", self._traced, target)
        self._timer.pause(paused=False)

    def _stop(self) -> PhaseTimer | None:
        """Stop to measure and to trace; return the timer if there was one."""
        timer, self._timer = self._timer, None
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            with suppress(RuntimeError):  # must not hide the error that ended the run
                profiler.stop()
        if timer is not None:
            timer.mark = None
            timer.deactivate()
        return timer


def _device_clock(device: torch.device) -> Callable[[], tuple[float, float]]:
    """Return the clock of phases. On a GPU it waits for the device, whose work would else be that of a later phase."""
    if device.type != "cuda":
        return process_clock

    def clock() -> tuple[float, float]:
        torch.cuda.synchronize(device)
        return process_clock()

    return clock


def _operators(profiler: profile) -> Iterator[Operator]:
    for event in profiler.key_averages():
        if not event.key.startswith((_MARK, "ProfilerStep")):
            yield Operator(event.key, event.count, event.self_cpu_time_total / 1e6, event.self_device_time_total / 1e6)


def _write_trace(profiler: profile, target: Path) -> None:
    """Write the trace, compressed, and only as a whole."""
    with atomic_path(target) as temporary, TemporaryDirectory(dir=target.parent) as folder:
        plain = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(plain))
        with plain.open("rb") as source, gzip.open(temporary, "wb", compresslevel=3) as compressed:
            shutil.copyfileobj(source, compressed)
