"""Publication of runs as a bundle, one file that `igrpo report` reads on another machine."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from igrpo.disk import disk_errors, require_free
from igrpo.files import write_json_atomic
from igrpo.messages import count
from igrpo.report.bundle_format import MANIFEST, SUFFIX, WEIGHTS, BundledFile, Manifest, file_sha256
from igrpo.report.runs import LoadedRun, find_runs
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import SweepDirectory
from igrpo.runs.versions import git_commit
from igrpo.tools.bundle_archive import write_archive
from igrpo.tools.bundle_records import (
    redact_weights,
    write_config_copy,
    write_json_copy,
    write_run_copy,
    write_sweep_copy,
)
from igrpo.tools.redaction import Redactor, home_roots

#: Files of a run that are copied as they are; those of its folders are added.
_FILES = ("summary.json", "metrics.jsonl", "fingerprints.json", "prompts.txt", "decontamination.json")

#: What a run directory may have besides, for the list of what was left out.
_LEFT_OUT = (
    "rollouts", "checkpoints", "failures", "profile", "log.txt", "console.txt", "judge.sqlite", "config.previous.yaml",
)  # fmt: skip

_ELSEWHERE = "choose another place with --out"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Published:
    """A written bundle. ``warnings`` are about runs and parts that a reader will miss."""

    path: Path
    sha256: str
    manifest: Manifest
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Parts of a run that go into a bundle.

    Attributes:
        rollouts: every sample of every training step.
        weights: exported weights of this checkpoint; None: no weights.
        unfinished: runs that have not finished, too.
        with_machine: host names, process numbers and absolute paths. Secrets never go into a bundle.
    """

    rollouts: bool = True
    weights: str | None = None
    unfinished: bool = False
    with_machine: bool = False


def publish(paths: Sequence[Path], choice: Choice, out: Path | None = None) -> Published:
    """Write the runs in the given folders, and their report, as one bundle. The same runs give the same bytes.

    Args:
        out: path of the bundle, or a folder for it; None: NAME.igrpo.tar.gz in the working directory.

    Raises:
        ValueError: there is no run, a run is unfinished or has no such weights, or the file exists or cannot be
            written.
        DiskFullError: the disk is full.
    """
    runs = find_runs(paths)
    _refuse_unfinished(runs, choice)
    created = max(run.ended for run in runs)
    sweeps = {Path(run.sweep): SweepDirectory(run.sweep).read() for run in runs if run.sweep is not None}
    places = _places(runs, {path: record.name for path, record in sweeps.items()})
    name = _name(runs, [record.name for record in sweeps.values()], created)
    target = _target(out, name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage_folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ValueError(f"{target} cannot be made ({error.strerror}); {_ELSEWHERE}") from None
    with stage_folder as folder, disk_errors(target):
        stage = Path(folder)
        hosts = frozenset(run.record.host for run in runs if run.record is not None)
        roots = _roots([record.working_directory for record in sweeps.values()], places, stage)
        redactor = Redactor(roots, hosts=hosts, keep_machine=choice.with_machine)
        for run in runs:
            _stage_run(run, stage / places[_path(run)], redactor, choice)
        for path, record in sweeps.items():
            write_sweep_copy(record, stage / places[path], redactor, keep_machine=choice.with_machine)
            if (path / "search.json").exists():
                write_json_copy(path / "search.json", stage / places[path] / "search.json", redactor)
        _refuse_secrets(stage, redactor)
        if choice.rollouts:
            _link_rollouts(runs, places, stage)
        warnings = [*_unusable(runs), *_write_report(stage, name, created, redactor)]
        files = {path.relative_to(stage).as_posix(): path for path in stage.rglob("*") if path.is_file()}
        manifest = Manifest(
            name=name,
            igrpo_version=version("igrpo"),
            commit=git_commit(),
            created=created,
            runs={places[path]: _status(stage / places[path]) for path in map(_path, runs)},
            left_out=_left_out(runs, choice),
            with_machine=choice.with_machine,
            files={
                name: BundledFile(size=path.stat().st_size, sha256=file_sha256(path))
                for name, path in sorted(files.items())
            },
        )
        require_free(target, sum(file.size for file in manifest.files.values()) / 2**20, _ELSEWHERE)
        write_json_atomic(stage / MANIFEST, manifest.model_dump(mode="json"))
        write_archive(target, {MANIFEST: stage / MANIFEST, **dict(sorted(files.items()))})
    return Published(target, file_sha256(target), manifest, tuple(warnings))


def _refuse_unfinished(runs: Sequence[LoadedRun], choice: Choice) -> None:
    unfinished = [run.name for run in runs if run.status != "FINISHED"]
    if unfinished and not choice.unfinished:
        raise ValueError(
            f"{len(unfinished)} of {count(len(runs), 'run')} did not finish ({_some(unfinished)}): resume them, or "
            "publish them as they are with --unfinished"
        )


def _unusable(runs: Sequence[LoadedRun]) -> list[str]:
    """Return warnings about runs that a report leaves out."""
    return [f"{run.name} is in the bundle, but not in its report: {run.problem}" for run in runs if run.problem]


def _places(runs: Iterable[LoadedRun], sweep_names: Mapping[Path, str]) -> dict[Path, str]:
    """Return the folder in the bundle for each sweep and each run."""
    places = dict[Path, str]()
    taken = {"report", "runs", MANIFEST}
    for path, name in sweep_names.items():
        base = place = _clean(name)
        number = 1
        while place.casefold() in taken:  # some file systems do not tell "A" from "a"
            number += 1
            place = f"{base}-{number}"
        taken.add(place.casefold())
        places[path] = place
    for run in runs:
        sweep = None if run.sweep is None else places[Path(run.sweep)]
        places[_path(run)] = f"runs/{run.name}" if sweep is None else f"{sweep}/{_path(run).name}"
    return places


def _name(runs: Sequence[LoadedRun], sweep_names: Sequence[str], created: str) -> str:
    if len(runs) == 1:
        return _clean(_path(runs[0]).name)
    one = len(sweep_names) == 1 and all(run.sweep is not None for run in runs)
    return f"{_clean(sweep_names[0]) if one else 'runs'}-{created[:10]}"


def _target(out: Path | None, name: str) -> Path:
    target = Path(f"{name}{SUFFIX}") if out is None else out / f"{name}{SUFFIX}" if out.is_dir() else out
    target = target.absolute()
    if target.exists():
        raise ValueError(f"{target} exists already; remove it, or {_ELSEWHERE}")
    return target


def _roots(working: Sequence[str], places: Mapping[Path, str], stage: Path) -> dict[str, str]:
    """Return what takes the place of known folders. Paths of the first sweep's working directory become relative."""
    started = {
        folder: f"<started-in-{number}>" if number else "" for number, folder in enumerate(dict.fromkeys(working))
    }
    return home_roots() | started | {str(path): place for path, place in places.items()} | {str(stage): ""}


def _stage_run(run: LoadedRun, folder: Path, redactor: Redactor, choice: Choice) -> None:
    """Write what is published of a run, except for its rollouts, to its folder in the bundle."""
    source = RunDirectory(_path(run))
    folder.mkdir(parents=True)
    if run.config:
        write_config_copy(source.config, folder, redactor, keep_machine=choice.with_machine)
    if run.record is not None:
        write_run_copy(source, folder, redactor, keep_machine=choice.with_machine)
    for name in _FILES:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, folder / name)
    for path in source.evaluations.glob("*.json"):
        (folder / "evaluations").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "evaluations" / path.name)
    if choice.weights is not None:
        from igrpo.tools.export import export

        alone = _adapters_suffice(run.config)
        export(source.path, checkpoint=choice.weights, out=folder / WEIGHTS, adapters=alone, dtype=None)
        redact_weights(folder / WEIGHTS, redactor)


def _adapters_suffice(config: Mapping[str, Any]) -> bool:
    """True if the run trained adapters of a model that others can load by its name on the hub."""
    base = config["model"].get("name_or_path")
    return bool(config["lora"]["rank"]) and base is not None and not Path(base).expanduser().exists()


def _link_rollouts(runs: Iterable[LoadedRun], places: Mapping[Path, str], stage: Path) -> None:
    """Link the rollout files, which are large, to where they are. The report shows examples of them."""
    from igrpo.runs.rollout_log import rollout_files

    for path in map(_path, runs):
        folder = RunDirectory(stage / places[path]).rollouts
        folder.mkdir()
        for file in rollout_files(RunDirectory(path).rollouts):
            (folder / file.name).symlink_to(file)


def _status(copy: Path) -> str:
    """Return the status in the published run.json, which is that of a run that ended."""
    directory = RunDirectory(copy)
    return directory.read_record().status if directory.record_file.exists() else "UNKNOWN"


def _write_report(stage: Path, name: str, created: str, redactor: Redactor) -> list[str]:
    """Write the report of the staged runs; return a warning if there is none."""
    from igrpo.report.compare import build_report
    from igrpo.report.write import write_report

    try:
        report = build_report(find_runs([stage]), title=None, sources=(name,))
    except ValueError as error:
        return [f"no report is in the bundle: {redactor.text(str(error))}"]
    entries = tuple(
        entry.model_copy(update={"excluded": entry.excluded and redactor.text(entry.excluded)}) for entry in report.runs
    )
    write_report(report.model_copy(update={"created": created, "runs": entries}), stage / "report")
    return []


def _refuse_secrets(stage: Path, redactor: Redactor) -> None:
    """Check that no literal secret is in a copied file. Rollouts and weights are not searched."""
    secrets = [secret.encode() for secret in redactor.secrets]
    for path in sorted(stage.rglob("*")) if secrets else ():
        name = path.relative_to(stage)
        if path.is_file() and WEIGHTS not in name.parts and any(secret in path.read_bytes() for secret in secrets):
            raise ValueError(f"{name} holds a password or key of the settings or the environment: remove it from there")


def _left_out(runs: Iterable[LoadedRun], choice: Choice) -> tuple[str, ...]:
    taken = {"rollouts"} if choice.rollouts else set()
    return tuple(name for name in _LEFT_OUT if name not in taken and any(_has(_path(run) / name) for run in runs))


def _has(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _path(run: LoadedRun) -> Path:
    assert run.path is not None, "find_runs returns folders"
    return run.path


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "runs"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
