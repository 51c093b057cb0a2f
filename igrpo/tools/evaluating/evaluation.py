"""One evaluation from its request to its results, in a directory that keeps every sample."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, date, datetime

import torch
import yaml

from igrpo import assembly
from igrpo.assembly.answer_equality import AnswerEquality, verifier_settings
from igrpo.config import config_values, read_config
from igrpo.console import get_console, waiting
from igrpo.disk import disk_errors
from igrpo.evaluation.evaluator import Evaluator
from igrpo.evaluation.sampler import SampleStore
from igrpo.evaluation.store import SampleFile
from igrpo.evaluation.validity.console import lines
from igrpo.evaluation.validity.page import page
from igrpo.files import write_text_atomic
from igrpo.runs.building import build_parts
from igrpo.runs.command import current_command
from igrpo.runs.evaluation_directory import (
    BenchmarkResult,
    EvaluatedModel,
    EvaluatedQuestions,
    EvaluationDirectory,
    EvaluationRecord,
    EvaluationResults,
)
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.versions import git_commit, hardware, versions
from igrpo.settings.reward import RewardConfig
from igrpo.threads import torch_threads
from igrpo.tools.evaluating.checks import Evaluated, EvaluationChecks, expressible
from igrpo.tools.evaluating.identity import refuse_changes
from igrpo.tools.evaluating.kept import in_order, open_samples
from igrpo.tools.evaluating.loading import load_model, model_date
from igrpo.tools.evaluating.progress import EvaluationProgress
from igrpo.tools.evaluating.prompt_sets import prompt_sets
from igrpo.tools.evaluating.questions import EvaluatedSet, read_questions, write_questions
from igrpo.tools.evaluating.request import Request
from igrpo.tools.evaluating.results import benchmark_result
from igrpo.training.event_loop import run_coroutine

log = logging.getLogger(__name__)


def evaluate(request: Request, directory: EvaluationDirectory) -> EvaluationResults:
    """Evaluate in a directory, which the caller has locked, and return the results.

    Samples that are there already are not drawn again. Results are written after each benchmark.

    Raises:
        ValueError: the model or the data cannot be read, the settings do not fit them, or they are not those of the
            samples that are there.
        RewardError, DiskFullError: the evaluation was stopped by this error; its samples are kept.
    """
    wanted = request.config.evaluation.sensitivity.prompts
    prompts = prompt_sets(wanted, request.config.prompt)
    with torch_threads(request.config.trainer.threads), ExitStack() as closing:
        with waiting("preparing the evaluation", lines=True):
            parts, sets, record = _prepared(request, directory, closing)
            today = date.fromisoformat(record.date)
            if wanted == "all":
                prompts = expressible(prompts, parts.policy.tokenizer, today)
            checks = EvaluationChecks(request.config, parts, prompts, today, sets)
        _write_begin(request, directory, sets, record)
        return _Evaluation(request, directory, parts, sets, checks).run()


def _prepared(
    request: Request, directory: EvaluationDirectory, closing: ExitStack
) -> tuple[assembly.Parts, Mapping[str, EvaluatedSet], EvaluationRecord]:
    """Load the model, build the engine and the reward, and read the questions."""
    config = request.config
    before = directory.read_record() if directory.exists else None
    today = model_date(request) or datetime.now(UTC).date() if before is None else date.fromisoformat(before.date)
    policy, model = load_model(request, get_console())
    parts = build_parts(config, RunDirectory(directory.path), closing, today, policy)
    sets = read_questions(request, parts.prompts)
    record = _record(request, parts, model, sets, today)
    if before is not None:
        refuse_changes(before, record)
        record = before
    parts.engine.sync_weights(0)
    return parts, sets, record


class _Evaluation:
    """The benchmarks of an evaluation, one after the other."""

    def __init__(
        self,
        request: Request,
        directory: EvaluationDirectory,
        parts: assembly.Parts,
        sets: Mapping[str, EvaluatedSet],
        checks: EvaluationChecks,
    ) -> None:
        self._request, self._directory, self._parts, self._sets = request, directory, parts, sets
        self._checks = checks

    def run(self) -> EvaluationResults:
        results = self._directory.read_results()
        if results.complete:  # further checks are asked for: until they are done, it is to be resumed
            self._directory.write(results.model_copy(update={"complete": False}))
        files = {name: self._file(name) for name in self._sets}
        planned = {name: self._planned(name) for name in self._sets}
        progress = EvaluationProgress(get_console(), planned, {name: len(file) for name, file in files.items()})
        for name, file in files.items():
            started = time.monotonic()
            with progress.benchmark(name, file) as store:
                found = self._evaluated(name, file, store)
            done = {**results.benchmarks, name: found}
            seconds = results.seconds + time.monotonic() - started
            validity = self._checks.validity
            results = EvaluationResults(
                complete=name == list(files)[-1],
                seconds=seconds,
                benchmarks=done,
                contamination=validity.entry()["contamination"],
                remarks=tuple(lines(validity)),
            )
            with disk_errors(self._directory.validity):
                write_text_atomic(self._directory.validity, page(validity))
            self._directory.write(results)
            log.info("%s: %s", name, found.model_dump_json())
        return results

    def _evaluated(self, name: str, file: SampleFile, store: SampleStore) -> BenchmarkResult:
        evaluator = build_evaluator(self._request, name, self._sets[name], self._parts, store)
        of = self._as_evaluated(name, evaluator)
        with _precision(self._request):
            result = run_coroutine(evaluator.run())
            drawn = in_order(file.samples.values(), of.questions)
            checks = run_coroutine(self._checks.benchmark(name, of, drawn, store))
        with AnswerEquality(verifier_settings(of.reward)) as same, waiting(f"estimating the accuracies on {name}"):
            return benchmark_result(result, of.questions, evaluator.samples, drawn, checks=checks, same=same)

    def _file(self, name: str) -> SampleFile:
        of, config = self._sets[name], self._request.config
        kinds = build_evaluator(self._request, name, of, self._parts).kinds
        return open_samples(self._directory.samples(name), of.questions, kinds, config.seed)

    def _planned(self, name: str) -> int:
        evaluator = build_evaluator(self._request, name, self._sets[name], self._parts)
        return evaluator.planned_samples + self._checks.planned_samples(name, self._as_evaluated(name, evaluator))

    def _as_evaluated(self, name: str, evaluator: Evaluator) -> Evaluated:
        return Evaluated(self._sets[name].questions, _reward(self._request, name), evaluator.sampling)


def build_evaluator(
    request: Request, name: str, of: EvaluatedSet, parts: assembly.Parts, store: SampleStore | None = None
) -> Evaluator:
    """Build the evaluator of the test split or of a benchmark."""
    if request.measured == "test":
        return assembly.build_evaluator(request.config, of.questions, parts, store=store)
    return assembly.build_benchmark_evaluator(request.config, name, of.questions, parts, store=store)


@contextmanager
def _precision(request: Request) -> Iterator[None]:
    """Compute as the trainer does in evaluations."""
    trainer = request.config.trainer
    device = assembly.build_device(trainer).type
    with torch.autocast(device, torch.bfloat16) if trainer.precision == "bf16" else nullcontext():
        yield


def _record(
    request: Request,
    parts: assembly.Parts,
    model: EvaluatedModel,
    sets: Mapping[str, EvaluatedSet],
    today: date,
) -> EvaluationRecord:
    config = request.config
    return EvaluationRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(current_command()),
        model=model,
        measured=request.measured,
        limit=request.limit,
        benchmarks={name: _questions_record(request, name, of, parts) for name, of in sets.items()},
        prompt=config.prompt.model_dump(mode="json"),
        engine=config.rollout.model_dump(mode="json"),
        precision=config.trainer.precision,
        seed=config.seed,
        date=today.isoformat(),
        hardware=hardware(assembly.build_device(config.trainer).type, 1),
        commit=git_commit(),
        versions=versions(),
    )


def _questions_record(request: Request, name: str, of: EvaluatedSet, parts: assembly.Parts) -> EvaluatedQuestions:
    evaluator = build_evaluator(request, name, of, parts)
    sampling = asdict(evaluator.sampling)
    del sampling["stop_token_ids"]
    return EvaluatedQuestions(
        rows=of.rows,
        questions=len(of.questions),
        too_long=of.too_long,
        digest=of.digest,
        samples=evaluator.samples,
        kinds=evaluator.kinds,
        sampling=sampling,
        reward=_reward(request, name).model_dump(mode="json"),
    )


def _reward(request: Request, name: str) -> RewardConfig:
    """Return the settings of the reward that gives the verdicts."""
    own = None if request.measured == "test" else request.config.evaluation.benchmarks[name].reward
    return request.config.reward if own is None else own


def _write_begin(
    request: Request, directory: EvaluationDirectory, sets: Mapping[str, EvaluatedSet], record: EvaluationRecord
) -> None:
    """Write what is measured, before the first sample. eval.json comes last: with it, the evaluation has begun."""
    for name, of in sets.items():
        write_questions(directory.questions(name), of.questions)
    values = config_values(request.config)
    if directory.exists:  # further checks that were asked for are made again when it is resumed without settings
        values = config_values(read_config(directory.config)) | {"evaluation": values["evaluation"]}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    with disk_errors(directory.config):
        write_text_atomic(directory.config, text)
    if not directory.exists:
        directory.write(record)
