"""Floating-point operations, from the shape of a model: plain arithmetic on what was sampled and trained.

A multiply-add counts as 2. Counted are the matrix products that the tokens need: projections, attention (scores and
values, over the tokens that a token may see), MLP, and the output head at the positions whose logits are used. Left out
are look-ups, norms, activations, softmax, rotary positions and the optimizer (no matrix products), and what depends on
the implementation rather than on the work: padding, scores that a kernel computes and masks, logits made twice to save
memory. So the number is the same for every batch size, kernel and machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A backward pass is two matrix products for each one of the forward pass: by the inputs, and by the weights.
FORWARD_AND_BACKWARD = 3

#: Families (``model_type``) of Llama's layout: q, k, v and o projections, and an MLP of three matrices (gated).
_GATED = frozenset({"gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})


@dataclass(frozen=True, slots=True)
class Work:
    """What went forward once: ``tokens`` through the layers, the tokens that they attended to (each token sees those
    before it and itself), and the positions (``logits``) that went through the output head."""

    tokens: int = 0
    attended: int = 0
    logits: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.attended + other.attended, self.logits + other.logits)


def prefill_work(prompt: int) -> Work:
    """A prompt of so many tokens, up to the logits that follow it. Samples that share it need it once."""
    return Work(prompt, _triangle(prompt), 1)


def decode_work(prompt: int, new: int) -> Work:
    """``new`` tokens after a prefilled prompt. The first comes from the prefill's logits, and the last is fed to
    nobody: ``new - 1`` tokens go through the model, one at a time."""
    return Work(new - 1, _triangle(prompt + new - 1) - _triangle(prompt), new - 1)


def row_work(prompt: int, completion: int) -> Work:
    """A prompt and its completion in one pass, with log-probs of the completion alone."""
    return Work(prompt + completion, _triangle(prompt + completion), completion)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Multiply-adds of one forward pass.

    Attributes:
        layers: a token, in the matrices of all layers.
        attention: a token and a token that it sees, in all layers: scores and values.
        head: a position, in the output head.
        exact: False for a family that is not known here, whose ``layers`` are its non-embedding parameters.
    """

    layers: int
    attention: int
    head: int
    exact: bool = True

    def flops(self, work: Work) -> int:
        """Floating-point operations of a forward pass."""
        return 2 * (self.layers * work.tokens + self.attention * work.attended + self.head * work.logits)


def known_shape(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape of a decoder, from the values of its Hugging Face configuration.

    Returns:
        None for a family that is not known here, and for sliding-window attention: ``unknown_shape`` is for those.
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
    """2 operations for each non-embedding parameter and token, and the output head; no term for the context.

    It is too low for long contexts (attention is left out), and too high where not every parameter is used for each
    token (mixtures of experts)."""
    return ModelShape(non_embedding_parameters, 0, head_parameters, exact=False)


def _shape(hidden: int, layers: int, *, queries: int, keys: int, mlp: int, vocabulary: int) -> ModelShape:
    """``queries`` and ``keys``: the width of all query heads, and of all key (and of all value) heads, of a layer."""
    projections = hidden * (queries + 2 * keys) + queries * hidden
    return ModelShape(layers * (projections + mlp), layers * 2 * queries, hidden * vocabulary)


def _triangle(n: int) -> int:
    """1 + 2 + ... + n."""
    return n * (n + 1) // 2
