"""Export of a run's weights as a plain Hugging Face directory, or of its adapters in peft's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig

from igrpo.config import RunConfig
from igrpo.disk import disk_errors, require_free
from igrpo.files import atomic_directory
from igrpo.models.merge import adapter_config, adapter_tensors, merge_adapters
from igrpo.runs.console import get_console
from igrpo.runs.fingerprints import kept_date
from igrpo.runs.run_directory import RunDirectory
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.tools.exported import ExportRecord, evaluation_sampling, export_record, write_record
from igrpo.tools.model_card import model_card
from igrpo.tools.trained import Trained, find_checkpoint, load_trained, run_config

DTypeName = Literal["float32", "bfloat16"]

#: Maximum size of a weight file.
SHARD_SIZE = "4GB"

_ELSEWHERE = "choose another place with --out"


def export(
    run_dir: Path,
    *,
    checkpoint: str,
    out: Path | None,
    adapters: bool,
    dtype: DTypeName | None,
    shard_size: str = SHARD_SIZE,
) -> Path:
    """Write the directory atomically and return its path.

    Args:
        checkpoint: ``best``, ``last`` or a step's number.
        out: path of the directory; None: RUN_DIR/export/step-NUMBER (with ``-adapters`` for adapters).
        adapters: export the LoRA adapters only; otherwise, they are merged into the weights.
        dtype: type of the exported weights; None: as trained.

    Raises:
        ValueError: the run or checkpoint does not exist, the run has no adapters, the directory is not empty, or the
            disk is full.
    """
    config = run_config(run_dir)
    if adapters and not config.lora.rank:
        raise ValueError(f"--adapters: {run_dir} was trained without adapters (lora.rank=0); leave it out")
    chosen = find_checkpoint(run_dir, checkpoint)
    name = f"step-{chosen.step:06d}" + ("-adapters" if adapters else "")
    target = (out or run_dir / "export" / name).absolute()
    _refuse_full(target)
    trained = load_trained(run_dir, str(chosen.step), get_console())
    require_free(target, _size_mib(trained.policy.model, dtype), _ELSEWHERE)
    record = _record(run_dir, trained)
    with disk_errors(target), atomic_directory(target, _ELSEWHERE) as folder:
        if adapters:
            _write_adapters(trained, folder, dtype)
        else:
            _write_model(trained, folder, dtype, shard_size)
            write_record(folder, record)
        trained.policy.tokenizer.save_pretrained(folder)
        card = model_card(record, base_model(config), adapters=adapters)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return target


def base_model(config: RunConfig) -> str | None:
    """Return the Hugging Face name or path of the model that the run started from; None for igrpo's own models."""
    return config.model.name_or_path if isinstance(config.model, HuggingFaceModelConfig) else None


def _write_model(trained: Trained, folder: Path, dtype: DTypeName | None, shard_size: str) -> None:
    policy = trained.policy
    merge_adapters(policy.model)
    if dtype is not None:
        policy.model.to(getattr(torch, dtype))
    policy.model.generation_config = _generation(trained)
    policy.model.save_pretrained(folder, max_shard_size=shard_size)


def _write_adapters(trained: Trained, folder: Path, dtype: DTypeName | None) -> None:
    model = trained.policy.model
    tensors = adapter_tensors(model)
    if dtype is not None:
        tensors = {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter_config(model, base_model(trained.config)).save_pretrained(str(folder))


def _generation(trained: Trained) -> GenerationConfig:
    """Return the sampling settings of the run's evaluations, since those of the base model may differ."""
    sampling, tokenizer = evaluation_sampling(trained.config), trained.policy.tokenizer
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_completion_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(trained.policy.stop_token_ids),
        pad_token_id=tokenizer.pad_token_id,
    )


def _record(run_dir: Path, trained: Trained) -> ExportRecord:
    """Return the record, with the accuracies of the evaluations after the exported step."""
    evaluations, step = RunDirectory(run_dir).evaluations, trained.checkpoint.step

    def accuracy(split: str) -> float | None:
        path = evaluations / f"{split}-{step:06d}.json"
        if not path.exists():
            return None
        estimate = json.loads(path.read_text(encoding="utf-8"))["single_shot"]
        return None if estimate is None else float(estimate["value"])

    return export_record(
        trained.config,
        step,
        development_accuracy=accuracy("development"),
        test_accuracy=accuracy("test"),
        date=kept_date(RunDirectory(run_dir)),
    )


def _refuse_full(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not empty; choose another place with --out, or remove it")


def _size_mib(model: Any, dtype: DTypeName | None) -> float:
    size = None if dtype is None else getattr(torch, dtype).itemsize
    needed: int = sum(p.numel() * (size or p.element_size()) for p in model.parameters())
    return needed / 2**20
