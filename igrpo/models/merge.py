"""Export of LoRA adapters: merged into the model's weights, or separately in peft's own format."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import Tensor

from igrpo.models.weights import adapted_layers, named_weights, whole

if TYPE_CHECKING:
    from peft.tuners.lora import LoraConfig

#: peft's names start at its own wrapper, which holds the model as `model`.
_WRAPPER = "base_model.model."
_ADAPTER = "default"


def merge_adapters(model: Any) -> None:
    """Replace the adapted layers by plain ones with the weights of `named_weights`, so that the model is a plain one.

    A model without adapters is unchanged.
    """
    adapted = adapted_layers(model)
    merged = {name: weight for name, weight in named_weights(model) if name.removesuffix(".weight") in adapted}
    for name, module in adapted.items():
        base = module.get_base_layer()
        base.weight.data = merged[f"{name}.weight"]
        model.set_submodule(name, base)
    if adapted:
        del model.peft_config


def adapter_tensors(model: Any) -> dict[str, Tensor]:
    """Return the adapters' tensors, unsharded and on the CPU, by their names in peft's adapter_model.safetensors."""
    return {
        _WRAPPER + name.replace(f".{_ADAPTER}.", "."): whole(parameter.detach()).cpu().contiguous()
        for name, parameter in model.named_parameters()
        if ".lora_" in name
    }


def adapter_config(model: Any, base_model: str | None) -> LoraConfig:
    """Return the adapters' settings in peft's format; ``base_model`` is the name or path of the base model."""
    config: LoraConfig = copy.copy(model.peft_config[_ADAPTER])
    config.task_type = "CAUSAL_LM"
    config.inference_mode = True
    config.base_model_name_or_path = base_model
    config.target_modules = sorted(config.target_modules or ())
    return config
