"""A run as an object: its directory, its settings and what was measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.config import RunConfig, read_config
from igrpo.files import shown_path
from igrpo.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from igrpo.runs.summary import Summary


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has been started, in this process or by the command line.

    A run can be given wherever its directory can: ``igrpo.report([run])``, ``Path(run)``. A notebook shows it as a
    table. `Run.load` makes one from a directory.

    Attributes:
        directory: directory of the run.
        config: its settings.
    """

    directory: Path
    config: RunConfig

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Run:
        """Return the run in a directory.

        Raises:
            ConfigError: it is not a run directory, or another version of igrpo wrote it.
        """
        path = Path(directory).absolute()
        return cls(path, read_config(RunDirectory(path).config))

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def summary(self) -> Summary:
        """Content of summary.json: accuracy before and after, entropy, cost.

        Raises:
            ValueError: the run was not evaluated yet.
        """
        from igrpo.runs.summary import read_summary

        return read_summary(self._files.summary)

    @property
    def status(self) -> str:
        """``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.

        Raises:
            ValueError: the run has not begun.
        """
        return self._files.read_record().status

    @property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """The measurements of every step: one mapping from names to values for each, with ``step`` and ``time``.

        docs/metrics.md says what they mean. Of several lines of metrics.jsonl for one step (a training step and the
        evaluation after it), each is an element: ``pandas.DataFrame(run.metrics)`` makes a table of them.
        """
        from igrpo.runs.metrics_file import read_metrics

        return list(read_metrics(self._files.metrics)) if self._files.metrics.exists() else []

    @property
    def accuracy(self) -> float | None:
        """Single-shot accuracy on the test split after training, in [0, 1]; None before that is measured."""
        return self.summary.single_shot.after if self._files.summary.exists() else None

    def __repr__(self) -> str:
        accuracy = self.accuracy
        measured = "" if accuracy is None else f", accuracy={accuracy:.3f}"
        label = f"condition={self.config.condition!r}, seed={self.config.seed}"
        return f"Run({shown_path(self.directory)!r}, {label}{measured})"

    def _repr_html_(self) -> str:
        head = "<tr><th style='text-align: left'>"
        rows = "".join(f"{head}{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("run", self.config.run_name),
            ("condition", f"{self.config.condition}, seed {self.config.seed}"),
            ("directory", shown_path(self.directory)),
        ]
        if not self._files.summary.exists():
            return rows
        summary = self.summary
        for name, found in (("single-shot", summary.single_shot), ("draft-conditioned", summary.draft_conditioned)):
            if found.after is not None:
                interval = "" if found.interval is None else " [{:.1f}, {:.1f}]".format(*_percent(found.interval))
                before = "" if found.before is None else f"{100 * found.before:.1f} → "
                rows.append((f"{name} accuracy, %", f"{before}{100 * found.after:.1f}{interval}"))
        seconds = sum(summary.seconds.values())
        rows.append(("cost", f"{summary.steps} steps, {summary.samples:,} samples, {seconds:.1f} s"))
        return rows

    @property
    def _files(self) -> RunDirectory:
        return RunDirectory(self.directory)


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]
