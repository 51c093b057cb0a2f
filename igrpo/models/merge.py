"""LoRA adapters taken out of a model: merged into its weights, or apart in peft's own format."""

from __future__ import annotations

import copy
from typing import Any

from peft.tuners.lora import LoraConfig, LoraLayer
from torch import Tensor

from igrpo.models.weights import named_weights, whole

#: peft's names start at its own wrapper, the model inside it is `model`.
_WRAPPER = "base_model.model."
_ADAPTER = "default"


def merge_adapters(model: Any) -> None:
    """Put the weights that `named_weights` gives in place of the adapted layers, so that the model is a plain one.

    A model without adapters stays as it is.
    """
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    merged = {name: weight for name, weight in named_weights(model) if name.removesuffix(".weight") in adapted}
    for name, module in adapted.items():
        base = module.get_base_layer()
        base.weight.data = merged[f"{name}.weight"]
        model.set_submodule(name, base)
    if adapted:
        del model.peft_config


def adapter_tensors(model: Any) -> dict[str, Tensor]:
    """The adapters' tensors, whole and on the CPU, by the names that peft gives them in adapter_model.safetensors."""
    return {
        _WRAPPER + name.replace(f".{_ADAPTER}.", "."): whole(parameter.detach()).cpu().contiguous()
        for name, parameter in model.named_parameters()
        if ".lora_" in name
    }


def adapter_config(model: Any, base_model: str | None) -> LoraConfig:
    """The adapters' settings as peft keeps them; ``base_model`` is where their model comes from."""
    config: LoraConfig = copy.copy(model.peft_config[_ADAPTER])
    config.task_type = "CAUSAL_LM"
    config.inference_mode = True
    config.base_model_name_or_path = base_model
    config.target_modules = sorted(config.target_modules or ())
    return config
