"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) instead of full fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from igrpo.models.weights import adapted_layers


def add_adapters(model: Any, rank: int, alpha: float, targets: str | Sequence[str], seed: int) -> None:
    """Freeze the model and add trainable adapters to its linear layers, in place.

    The policy is unchanged at first: B starts at zero, and A at random numbers that are a function of ``seed``.

    Raises:
        ValueError: ``targets`` names layers other than linear ones, names the output head, or no linear layers exist.
    """
    from peft import LoraConfig, inject_adapter_in_model

    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    names = sorted(linear) if targets == "all-linear" else list(targets)
    wrong = [name for name in names if name not in linear]
    if wrong or not names:
        # adapters of the output head or of other kinds of layers would be trained but not merged
        raise ValueError(
            f"lora.targets={wrong or targets}: adapters can only be added to linear layers other than the "
            f"output head; this model has {sorted(linear) or 'none, set lora=none'}"
        )
    model.requires_grad_(requires_grad=False)
    # no dropout: the trained policy must be the one that sampled
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=names)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, model)
    for module in adapted_layers(model).values():
        for part in (module.lora_A, module.lora_B):
            part.requires_grad_(requires_grad=True)
            if model.dtype == torch.bfloat16:
                part.float()  # small updates would be lost in the rounding
