"""What an evaluation is asked to measure, and its settings: those of the run or model, with changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from igrpo.config import ConfigError, RunConfig, config_values, read_config
from igrpo.config.checks import missing_files
from igrpo.config.composing.changing import SettingsChanger
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import dotted_keys, quoted
from igrpo.runs.evaluation_directory import EvaluationDirectory
from igrpo.settings.judge import JUDGE_SERVICE
from igrpo.tools.evaluating.prompt_sets import prompt_sets
from igrpo.tools.exported import read_record

Measured = Literal["test", "benchmarks"]
Source = Literal["run", "directory", "hub"]

#: Settings of an evaluation: all of them may differ from the run's.
_ALLOWED = (
    "evaluation",
    "rollout",
    "reward",
    "prompt",
    "data",
    "seed",
    "sampling.max_completion_tokens",
    "trainer.device",
    "trainer.threads",
    "trainer.precision",
)
#: Further settings for a model without a run.
_OF_A_MODEL = ("model.dtype", "model.attention", "model.revision", "model.gguf_file", "model.trust_remote_code")

#: Settings that a resumed evaluation may change: they do not change what is measured.
_AT_RESUME = (
    "evaluation.sensitivity",  # further samples beside the others
    "evaluation.contamination",
    "trainer.device",
    "rollout.url",
    "rollout.host",
    "rollout.port",
    "rollout.concurrency",
    "rollout.gpu_memory_utilization",
    "rollout.request_timeout_s",
    "rollout.ready_timeout_s",
    "rollout.max_restarts",
)

#: Settings of evaluation that `igrpo eval` does not use.
_OF_TRAINING = ("every", "interval_width", "reuse_first")

#: One process evaluates, whatever trained the model.
_ONE_PROCESS = {"devices": 1, "nodes": 1, "strategy": "single"}


@dataclass(frozen=True, slots=True)
class Request:
    """An evaluation to make.

    Attributes:
        source: kind of ``path``: a run directory, a model's directory, or a name on the hub.
        path: absolute, or the name.
        checkpoint: ``best``, ``last``, ``start`` or a step, for a run; None for a model.
        measured: the test split of the data, or the benchmarks of the settings.
        limit: maximum number of questions per benchmark; None: all.
        config: the settings.
        replaced: settings of the run's evaluation that a file (``evaluation=NAME``) has replaced, each as a text with
            both values. They were not asked for one by one.
    """

    source: Source
    path: str
    checkpoint: str | None
    measured: Measured
    limit: int | None
    config: RunConfig
    replaced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the evaluation in its directory's name."""
        return self.config.run_name if self.source == "run" else Path(self.path).name


def new_request(model: str, settings: Sequence[str], checkpoint: str | None, limit: int | None) -> Request:
    """Compose and check the settings of a new evaluation.

    Args:
        model: a run directory, a model's directory, or a name on the hub.
        settings: changes, as on the command line.
        checkpoint: that of a run; None: ``last``.
        limit: maximum number of questions per benchmark; None: all.

    Raises:
        ConfigError: lists the problems found.
    """
    source = _source(model)
    if source != "run" and checkpoint is not None:
        raise ConfigError([f"--checkpoint {checkpoint}: {model} is a model, not a run"])
    path = model if source == "hub" else str(Path(model).expanduser().absolute())
    values = _values_of_run(Path(path)) if source == "run" else _values_of_model(source, path)
    allowed = _ALLOWED if source == "run" else (*_ALLOWED, *_OF_A_MODEL)
    config = _changed(values, settings, allowed, f"not a setting of the evaluation of a {_NOUNS[source]}")
    measured: Measured = "benchmarks" if _asks_for("evaluation", settings) and config.evaluation.benchmarks else "test"
    if measured == "test" and source != "run" and not _asks_for("data", settings):
        what = "is a model" if source == "directory" else "is no directory here, so it is a model of the hub"
        raise ConfigError(
            [
                f"{model} {what}, which has no test split: give benchmarks, such as evaluation=paper, or data, such as "
                "data=jsonl data.path=FILE data.test=FILE"
            ]
        )
    missing = [text for text in missing_files(config) if measured == "test" or not text.startswith("data.")]
    if missing:
        raise ConfigError(missing)
    replaced = tuple(_replaced(values, config, settings)) if source == "run" else ()
    return Request(source, path, (checkpoint or "last") if source == "run" else None, measured, limit, config, replaced)


def resumed_request(directory: EvaluationDirectory, settings: Sequence[str]) -> Request:
    """Return what the evaluation in a directory measures. The checkpoint is the one that it has measured so far.

    Raises:
        ConfigError: a change of what is measured.
        ValueError: there is no evaluation.
    """
    record = directory.read_record()
    reason = "resuming may not change what is measured; with another setting it is another evaluation"
    config = read_config(directory.config)
    values = config_values(config)
    judges = [f"{path}.{name}" for path in config.single_rewards for name in JUDGE_SERVICE]
    known = set(dotted_keys(values))
    allowed = [key for key in (*_AT_RESUME, *judges) if key in known]
    config = _changed(values, settings, allowed, reason)
    model = record.model
    checkpoint = "start" if model.checkpoint == "start" else None if model.step is None else str(model.step)
    return Request(model.source, model.path, checkpoint, record.measured, record.limit, config)


_NOUNS: Mapping[Source, str] = {"run": "run", "directory": "model", "hub": "model"}


def _source(model: str) -> Source:
    path = Path(model).expanduser()
    if EvaluationDirectory(path).exists:
        raise ConfigError([f"{model} is an evaluation; to continue it: igrpo eval resume={model}"])
    if (path / "config.yaml").is_file():
        return "run"
    if (path / "config.json").is_file():
        return "directory"
    if (path / "adapter_config.json").is_file():
        raise ConfigError([f"{model} contains only adapters; export the run again without --adapters"])
    parts = model.split("/")
    is_name = len(parts) == 2 and all(parts) and parts[0] not in {".", "..", "~"}
    if is_name and not path.exists() and not Path(parts[0]).is_dir():
        return "hub"
    return "run"  # with a message about what is there


def _values_of_run(path: Path) -> dict[str, Any]:
    if not (path / "config.yaml").is_file():
        from igrpo.tools.trained import run_config

        run_config(path)
    values = config_values(read_config(path / "config.yaml"))
    return values | {"trainer": values["trainer"] | _ONE_PROCESS, "profile": False}


def _values_of_model(source: Source, path: str) -> dict[str, Any]:
    name = f"model.name_or_path={quoted(path)}"
    # a model without a run has no data of its own: any that reads no file
    lines = ["experiment=math_local", "algorithm=grpo", "data=times_tables", "model=huggingface", name]
    with Composer("train") as composer:
        values = config_values(composer.check_run(lines).config)
    record = read_record(Path(path)) if source == "directory" else None
    if record is None:
        return values
    sampling = record.sampling.model_dump(mode="json")
    return values | {
        "seed": record.seed,
        "prompt": record.prompt.model_dump(mode="json"),
        "reward": record.reward.model_dump(mode="json"),
        "evaluation": values["evaluation"] | sampling,
        "sampling": values["sampling"] | {"max_completion_tokens": sampling["max_completion_tokens"]},
    }


def _changed(values: Mapping[str, Any], settings: Sequence[str], allowed: Sequence[str], reason: str) -> RunConfig:
    with SettingsChanger("train") as changer:
        config = changer.changed(values, settings, allowed, reason)
    prompt_sets(config.evaluation.sensitivity.prompts, config.prompt)  # a name that does not exist is an error now
    return config


def _asks_for(section: str, settings: Sequence[str]) -> bool:
    """True if a setting chooses a file of this section, or is about the benchmarks in it."""
    keys = [text.lstrip("+~").partition("=")[0] for text in settings]
    return any(key == section or f"{section}.benchmarks" in key for key in keys)


def _replaced(values: Mapping[str, Any], config: RunConfig, settings: Sequence[str]) -> Iterator[str]:
    """Yield the settings of the section ``evaluation`` that are other than in the run only because of a file's."""
    keys = [text.lstrip("+~").partition("=")[0] for text in settings]
    if "evaluation" not in keys:
        return
    before, after = values["evaluation"], config_values(config)["evaluation"]
    for name, value in after.items():
        is_plain = not isinstance(value, dict | list) and name not in _OF_TRAINING
        if is_plain and f"evaluation.{name}" not in keys and before.get(name) != value:
            yield f"{name} {_shown(before.get(name))} -> {_shown(value)}"


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
