"""The shape of a policy, used to count FLOPs."""

from __future__ import annotations

from typing import Any

from igrpo.models.flops import ModelShape, known_shape, unknown_shape


def model_shape(model: Any) -> ModelShape:
    """Return the shape of a Hugging Face causal language model.

    A family that `igrpo.models.flops` does not know is estimated as 2 operations per non-embedding parameter and token,
    plus the output head (``exact`` is then False).
    """
    known = known_shape(model.config.get_text_config(decoder=True).to_dict())
    if known is not None:
        return known
    head = model.get_output_embeddings().weight
    embeddings = {id(weight): weight.numel() for weight in (model.get_input_embeddings().weight, head)}  # tied: once
    everything = sum(parameter.numel() for parameter in model.parameters())
    return unknown_shape(everything - sum(embeddings.values()), head.numel())
