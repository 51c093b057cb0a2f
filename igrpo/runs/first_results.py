"""Evaluations before training in the user's cache directory, for runs that would make the same one again.

The runs of a sweep start from the same weights, as the small model's warm start is cached: without this, each would
evaluate them anew. A kept result is bit-equal to a new one, since all that decides it is in its file's name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from igrpo.assembly import Parts, build_device
from igrpo.config import RunConfig
from igrpo.config.facts import evaluated_tokens
from igrpo.evaluation.result import EvaluationResult
from igrpo.files import write_text_atomic
from igrpo.models.cache import cache_root
from igrpo.models.weights import named_weights
from igrpo.runs.file_prints import file_print
from igrpo.runs.fingerprints import Fingerprints
from igrpo.runs.versions import versions
from igrpo.settings.rollout import LocalRolloutConfig
from igrpo.shipped import PACKAGE

log = logging.getLogger(__name__)

_FOLDER = "first_evaluations"
_RESULT = TypeAdapter(EvaluationResult)

#: Outcomes that depend on the load of the machine, or on another one.
_UNREPEATABLE = ("timed_out", "crashed", "unscored")


class FirstResults:
    """Kept results of the evaluations before training, by split.

    Args:
        decisive: all that decides the results; only its hash, ``digest``, is kept.
        folder: where the results are.
    """

    def __init__(self, decisive: Mapping[str, Any], folder: Path) -> None:
        text = json.dumps(decisive, sort_keys=True)
        self._folder, self.digest = folder, hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, split: str) -> EvaluationResult | None:
        """Return the kept result; None if there is none, or (with a warning) if it is broken."""
        path = self._path(split)
        try:
            result = _RESULT.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the kept evaluation %s is broken (%s): evaluating again", path, str(error).partition("\n")[0])
            return None
        log.info("the %s split's evaluation before training is that of an earlier run: %s", split, path)
        return result

    def save(self, split: str, result: EvaluationResult) -> None:
        """Keep a result, unless a verdict in it may come out differently the next time."""
        if any(result.outcomes.get(outcome) for outcome in _UNREPEATABLE):
            return
        try:
            write_text_atomic(self._path(split), _RESULT.dump_json(result).decode())
        except OSError as error:
            log.warning("the evaluation before training is not kept for later runs: %s", error)

    def _path(self, split: str) -> Path:
        return self._folder / f"{split}-{self.digest}.json"


def first_results(config: RunConfig, parts: Parts, prints: Fingerprints) -> FirstResults | None:
    """Return the kept results for a run before its first step; None if ``evaluation.reuse_first`` is off.

    Where the evaluation cannot be repeated bit by bit, the result is None, too, and the log says why.
    """
    if not config.evaluation.reuse_first:
        return None
    obstacle = _obstacle(config)
    if obstacle is not None:
        log.info("evaluation.reuse_first=true has no effect: %s", obstacle)
        return None
    decisive = {
        "weights": _weights_digest(parts.policy.model),
        "settings": {
            "evaluation": config.evaluation.model_dump(mode="json", exclude={"every", "reuse_first"}),
            "tokens": evaluated_tokens(config),
            "trainer": [config.trainer.threads, config.trainer.precision],
            **{name: getattr(config, name).model_dump(mode="json") for name in ("rollout", "prompt", "model", "lora")},
            "seed": config.seed,
        },
        "prints": prints.model_dump(mode="json", exclude={"schema_version", "changes", "questions"}),
        "questions": {name: dict(kept) for name, kept in prints.questions.items() if name != "train"},
        "source": _source_digest(),
        "versions": versions(),
        "machine": [platform.node(), platform.machine(), torch.backends.cpu.get_cpu_capability()],
    }
    return FirstResults(decisive, cache_root() / _FOLDER)


def _obstacle(config: RunConfig) -> str | None:
    """Return why an evaluation of this run cannot be repeated to the last bit, or None."""
    rollout = config.rollout
    if not isinstance(rollout, LocalRolloutConfig) or rollout.pipeline:
        return "only rollout=local with rollout.pipeline=false samples the same tokens each time"
    if build_device(config.trainer).type != "cpu" or config.processes > 1:
        return "only one process on the CPU samples the same tokens each time"
    changing = [path for path, part in config.single_rewards.items() if not part.repeatable]
    return f"{changing[0]} may score an answer differently each time" if changing else None


def _weights_digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, weight in named_weights(model):
        digest.update(f"{name}:{weight.dtype}:{tuple(weight.shape)}:".encode())
        digest.update(weight.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source_digest() -> str:
    """Return a hash of igrpo's own source, which makes the samples and the verdicts."""
    files = sorted(PACKAGE.rglob("*.py"))
    return hashlib.sha256(
        "".join(f"{path.relative_to(PACKAGE)}:{file_print(path)}" for path in files).encode()
    ).hexdigest()
