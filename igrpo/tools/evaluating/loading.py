"""The model of an evaluation: its weights, and a record of what they are."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from igrpo.assembly import Policy, build_device, build_policy
from igrpo.config import config_hash
from igrpo.models.weights import fingerprint, named_weights
from igrpo.runs.evaluation_directory import EvaluatedModel
from igrpo.runs.fingerprints import kept_date
from igrpo.runs.run_directory import RunDirectory
from igrpo.tools.evaluating.request import Request
from igrpo.tools.exported import read_record
from igrpo.tools.trained import load_trained, run_config

#: Name of the untrained model among the checkpoints of a run.
_START = "start"


def load_model(request: Request, console: Console) -> tuple[Policy, EvaluatedModel]:
    """Load the model, in eval mode and on its device.

    Raises:
        ValueError: it does not exist, or its tokenizer does not support the prompts.
    """
    policy, step, run = _of_run(request, console) if request.source == "run" else _of_model(request, console)
    policy.model.eval()
    policy.model.to(build_device(request.config.trainer))
    record = EvaluatedModel(
        source=request.source,
        path=request.path,
        checkpoint=request.checkpoint,
        step=step,
        weights=weights_digest(policy.model),
        dtype=str(next(policy.model.parameters()).dtype).removeprefix("torch."),
        parameters=sum(parameter.numel() for parameter in policy.model.parameters()),
        run=run,
    )
    return policy, record


def model_date(request: Request) -> date | None:
    """Return the date that the prompts of the run had, for chat templates with a date; None if none is known."""
    if request.source == "run":
        return kept_date(RunDirectory(request.path))
    record = read_record(Path(request.path)) if request.source == "directory" else None
    return None if record is None else record.date


def weights_digest(model: Any) -> str:
    """Return sixteen hexadecimal digits of all weights with their names, equal on every device."""
    prints = (f"{name}:{fingerprint(weight, weight.dtype)}" for name, weight in named_weights(model))
    return hashlib.sha256("\n".join(sorted(prints)).encode()).hexdigest()[:16]


def _of_run(request: Request, console: Console) -> tuple[Policy, int | None, dict[str, Any]]:
    path = Path(request.path)
    own = run_config(path)
    run = {
        "name": own.run_name,
        "condition": own.condition,
        "algorithm": own.algorithm.name,
        "seed": own.seed,
        "config_hash": config_hash(own),
    }
    if request.checkpoint == _START:
        return build_policy(own, console), 0, run
    trained = load_trained(path, request.checkpoint or "last", console, others=(_START,))
    return trained.policy, trained.checkpoint.step, run


def _of_model(request: Request, console: Console) -> tuple[Policy, int | None, dict[str, Any] | None]:
    record = read_record(Path(request.path)) if request.source == "directory" else None
    if record is None:
        return build_policy(request.config, console), None, None
    run = {
        "name": record.run_name,
        "condition": record.condition,
        "algorithm": record.algorithm,
        "seed": record.seed,
    }
    return build_policy(request.config, console), record.step, run
