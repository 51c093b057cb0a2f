"""Floating-point operations, computed from the shape of a model and the tokens that were sampled and trained.

A multiply-add counts as 2. The matrix products that the tokens need are counted: projections, attention (scores and
values, over the tokens that a token may attend to), MLP, and the output head at the positions whose logits are used.
Look-ups, norms, activations, softmax, rotary positions and the optimizer are left out, as they are not matrix products.
Costs of the implementation are left out too: padding, scores that a kernel computes and masks, and logits that are
computed twice to save memory. So the number is the same for every batch size, kernel and machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Per matrix product of the forward pass, a backward pass has two: gradients of the inputs and of the weights.
FORWARD_AND_BACKWARD = 3

#: Families (``model_type``) of Llama's layout: q, k, v and o projections, and an MLP of three matrices (gated).
_GATED = frozenset({"gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})


@dataclass(frozen=True, slots=True)
class Work:
    """Amount of forward computation.

    ``tokens`` is the number of tokens through the layers. ``attended`` is the number of (token, attended token) pairs;
    each token attends to itself and those before it. ``logits`` is the number of positions through the output head.
    """

    tokens: int = 0
    attended: int = 0
    logits: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.attended + other.attended, self.logits + other.logits)


def prefill_work(prompt: int) -> Work:
    """Return the work of a prompt of ``prompt`` tokens, including the logits that follow it.

    Samples that share the prompt need this work only once.
    """
    return Work(prompt, _triangle(prompt), 1)


def decode_work(prompt: int, new: int) -> Work:
    """Return the work of decoding ``new`` tokens after a prefilled prompt.

    The first token comes from the prefill's logits, and the last one is not fed to the model. So ``new - 1`` tokens go
    through the model, one at a time.
    """
    return Work(new - 1, _triangle(prompt + new - 1) - _triangle(prompt), new - 1)


def row_work(prompt: int, completion: int) -> Work:
    """Return the work of a prompt and its completion in one pass, with log-probs of the completion only."""
    return Work(prompt + completion, _triangle(prompt + completion), completion)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Multiply-adds of one forward pass.

    Attributes:
        layers: per token, in the matrices of all layers.
        attention: per pair of a token and a token that it attends to, in all layers: scores and values.
        head: per position, in the output head.
        exact: False for an unknown family, whose ``layers`` is its number of non-embedding parameters.
    """

    layers: int
    attention: int
    head: int
    exact: bool = True

    def flops(self, work: Work) -> int:
        """Return the floating-point operations of a forward pass."""
        return 2 * (self.layers * work.tokens + self.attention * work.attended + self.head * work.logits)


def model_shape(model: Any) -> ModelShape:
    """Return the shape of a Hugging Face causal language model.

    A family that `known_shape` does not know is estimated as 2 operations per non-embedding parameter and token,
    plus the output head (``exact`` is then False).
    """
    known = known_shape(model.config.get_text_config(decoder=True).to_dict())
    if known is not None:
        return known
    head = model.get_output_embeddings().weight
    embeddings = {id(weight): weight.numel() for weight in (model.get_input_embeddings().weight, head)}  # tied: once
    everything = sum(parameter.numel() for parameter in model.parameters())
    return unknown_shape(everything - sum(embeddings.values()), head.numel())


def known_shape(config: Mapping[str, Any]) -> ModelShape | None:
    """Return the shape of a decoder, from the values of its Hugging Face configuration.

    Returns:
        None for an unknown family, and for sliding-window attention: use ``unknown_shape`` for those.
    """
    family = config["model_type"]
    if family == "gpt2":
        hidden, layers = config["n_embd"], config["n_layer"]
        mlp = 2 * hidden * (config["n_inner"] or 4 * hidden)
        return _shape(hidden, layers, queries=hidden, keys=hidden, mlp=mlp, vocabulary=config["vocab_size"])
    if family not in _GATED or config.get("sliding_window"):
        return None
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    key_heads = config["num_key_value_heads"] or heads
    mlp = 3 * hidden * config["intermediate_size"]
    return _shape(
        hidden,
        config["num_hidden_layers"],
        queries=heads * head_dim,
        keys=key_heads * head_dim,
        mlp=mlp,
        vocabulary=config["vocab_size"],
    )


def unknown_shape(non_embedding_parameters: int, head_parameters: int) -> ModelShape:
    """Estimate 2 operations per non-embedding parameter and token, plus the output head, with no term for the context.

    The estimate is too low for long contexts (attention is left out), and too high where not every parameter is used
    for each token (mixtures of experts).
    """
    return ModelShape(non_embedding_parameters, 0, head_parameters, exact=False)


def _shape(hidden: int, layers: int, *, queries: int, keys: int, mlp: int, vocabulary: int) -> ModelShape:
    """Build a shape. ``queries`` and ``keys`` are the total widths of a layer's query heads and of its key heads.

    The value heads have the same total width as the key heads.
    """
    projections = hidden * (queries + 2 * keys) + queries * hidden
    return ModelShape(layers * (projections + mlp), layers * 2 * queries, hidden * vocabulary)


def _triangle(n: int) -> int:
    """Return 1 + 2 + ... + n."""
    return n * (n + 1) // 2
