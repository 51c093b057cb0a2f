"""Evaluation from Python: `igrpo eval` as a function."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.api.run import Run
from igrpo.api.settings import as_settings
from igrpo.api.training import quiet_console
from igrpo.config import ConfigError
from igrpo.console import get_console
from igrpo.files import shown_path
from igrpo.runs.evaluation_directory import BenchmarkResult, EvaluationDirectory, EvaluationRecord

if TYPE_CHECKING:
    from igrpo.evaluation.samples import EvaluatedSample
    from igrpo.tools.evaluating.request import Request

_NAME = "igrpo.evaluate"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation that has begun, in this process or by the command line. A notebook shows it as a table.

    Attributes:
        directory: its directory.
    """

    directory: Path

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Evaluation:
        """Return the evaluation in a directory.

        Raises:
            ValueError: there is none, or another version of igrpo wrote it.
        """
        found = cls(Path(directory).absolute())
        _ = found.record
        return found

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def record(self) -> EvaluationRecord:
        """Content of eval.json: model, questions, prompts, sampling, versions."""
        return self._files.read_record()

    @property
    def complete(self) -> bool:
        """True if all benchmarks are complete."""
        return self._files.read_results().complete

    @property
    def benchmarks(self) -> Mapping[str, BenchmarkResult]:
        """Results by benchmark (``test`` is the test split), of the complete ones."""
        return self._files.read_results().benchmarks

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics, such as ``test/single_shot/accuracy``; docs/metrics.md says what they mean."""
        found = self.benchmarks.items()
        return {f"{name}/{metric}": value for name, result in found for metric, value in result.metrics.items()}

    def samples(self, benchmark: str) -> list[EvaluatedSample]:
        """Return the samples of a benchmark that are kept so far.

        Raises:
            ValueError: there is no such benchmark.
        """
        from igrpo.evaluation.store import read_samples

        path = self._files.samples(benchmark)
        if not path.is_file():
            raise ValueError(f"benchmark '{benchmark}' has no samples in {shown_path(self.directory)}")
        return read_samples(path)

    def rows(self, benchmark: str) -> list[dict[str, Any]]:
        """Return the samples of a benchmark as the mappings of samples.jsonl, with plain values: rows of a table.

        Raises:
            ValueError: there is no such benchmark.
        """
        from igrpo.evaluation.samples import sample_line

        return [sample_line(sample) for sample in self.samples(benchmark)]

    def __repr__(self) -> str:
        found = ", ".join(f"{name}={value:.3f}" for name, value in self._accuracies().items())
        return f"Evaluation({shown_path(self.directory)!r}{', ' if found else ''}{found})"

    def _repr_html_(self) -> str:
        found = self._accuracies().items()
        rows = [f"<tr><th>{escape(name)}</th><td>{100 * value:.1f} %</td></tr>" for name, value in found]
        return f"<table>{''.join(rows)}</table>"

    def _accuracies(self) -> dict[str, float]:
        metrics = {name: result.metrics.get("single_shot/accuracy") for name, result in self.benchmarks.items()}
        return {name: value for name, value in metrics.items() if value is not None}

    @property
    def _files(self) -> EvaluationDirectory:
        return EvaluationDirectory(self.directory)


def evaluate(
    model: str | os.PathLike[str] | Run | None = None,
    *settings: str | Sequence[str],
    checkpoint: str | int | None = None,
    questions: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Evaluation | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Evaluate a model in this process, as `igrpo eval` does, and return the evaluation.

    Works in a notebook and outside the main thread (where signals do not reach it).

    Args:
        model: a run or its directory, a Hugging Face directory, or a name on the hub. None: with ``resume``.
        settings: changes, such as ``"evaluation=paper"`` or ``"evaluation.samples=16"``, one by one or as a list.
        checkpoint: that of a run: ``best``, ``last`` (the default), ``start`` (the untrained model) or a step.
        questions: maximum number of questions per benchmark; None: all.
        directory: directory of the evaluation, which must be empty or not exist. None: evals/DATE/TIME_NAME.
        resume: directory of an evaluation to resume, or the evaluation. A complete one is
            returned as it is, unless settings ask for more checks of it.
        quiet: print nothing. Warnings are in the evaluation's log.txt.

    Raises:
        ConfigError: the settings cannot be used here, or the arguments contradict each other; nothing was started.
        KeyboardInterrupt: Ctrl-C ended it: ``igrpo.evaluate(resume=DIRECTORY)`` goes on.
        ValueError: the settings do not fit the model or the data, or something has changed since the beginning.
        RewardPausedError: a limit of the reward is reached; the evaluation can be resumed with a higher one.
    """
    from igrpo.tools.evaluating.execution import new_directory
    from igrpo.tools.evaluating.request import new_request, resumed_request

    changes = as_settings(settings, _NAME)
    others = [
        name
        for name, value in {"checkpoint": checkpoint, "questions": questions, "directory": directory}.items()
        if value is not None
    ]
    if (model is None) == (resume is None) or (resume is not None and others):
        raise ConfigError(["give a model, or resume=DIRECTORY alone: an evaluation is resumed as it was begun"], _NAME)
    if questions is not None and questions < 1:
        raise ConfigError([f"questions={questions}: give at least 1, or None for all"], _NAME)
    if resume is not None:
        files = EvaluationDirectory(Path(resume))
        request = resumed_request(files, changes)
        if files.read_results().complete and not changes:
            return Evaluation(files.path)
    else:
        assert model is not None
        request = new_request(os.fspath(model), changes, None if checkpoint is None else str(checkpoint), questions)
        files = new_directory(request, None if directory is None else Path(directory))
    return _evaluated(request, files, changes, quiet=quiet)


def _evaluated(request: Request, files: EvaluationDirectory, settings: Sequence[str], *, quiet: bool) -> Evaluation:
    from igrpo.runs.command import as_command
    from igrpo.runs.lifecycle import Ending
    from igrpo.tools.evaluating.execution import attempt, ending_message, import_evaluation
    from igrpo.tools.evaluating.printing import print_request, print_results

    with quiet_console(quiet=quiet):
        print_request(request, files.path, get_console())
        frozen = gc.get_freeze_count()
        import_evaluation()
        if not frozen:  # imports for the command line freeze all objects, also those of the caller
            gc.unfreeze()
        try:
            with as_command((_NAME, request.path, *settings)):
                results = attempt(request, files)
        except BaseException as error:
            ending = Ending.of(error)
            if ending.kind in {"stopped", "paused"} and not quiet:
                print(f"igrpo: {ending_message(ending, files)}", file=sys.stderr)
            raise
        print_results(files.read_record(), results, files.path, get_console())
    return Evaluation(files.path)
