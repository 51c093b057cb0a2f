"""Token log-probs and entropies from hidden states, computed in chunks without an [M, V] tensor.

The vocabulary projection is by far the largest tensor of a training step. Here a chunk's logits are freed once its
statistics are computed, and recomputed in the backward pass.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from igrpo.settings.trainer import rows_of_logits


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Statistics of M tokens in nats, float32 (float64 from float64 inputs).

    ``sampling_entropies`` are those of the distribution at the sampling temperature, without top-k and top-p.
    ``policy_entropies`` are those of the policy at temperature 1 (iGRPO, Eq. 7). Both are None if not requested.
    """

    logprobs: Float[Tensor, "M"]
    sampling_entropies: Float[Tensor, "M"] | None
    policy_entropies: Float[Tensor, "M"] | None


def entropy_from_logits(logits: Float[Tensor, "*M V"]) -> Float[Tensor, "*M"]:
    """Return the Shannon entropy of softmax(logits) in nats. A logit of -inf has probability 0, and adds 0."""
    return _entropy(logits.log_softmax(dim=-1))


def token_logprobs(
    hidden: Float[Tensor, "M H"],
    head_weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "M"],
    *,
    head_bias: Float[Tensor, "V"] | None = None,
    temperature: float,
    chunk: int | None,
    logit_scale: float = 1.0,
    logit_softcap: float | None = None,
    with_entropy: bool,
    entropy_grad: bool = False,
) -> TokenStats:
    """Compute log-probs of ``targets`` at the sampling temperature, and entropies, in chunks of logits.

    At most ``chunk`` rows of logits exist at once.

    Args:
        hidden: final hidden states of the M positions that predict ``targets``; pass valid tokens only.
        head_weight: output embedding, tied or not: pass the parameter itself, so that gradients accumulate in it.
        temperature: divides the logits, after ``logit_scale`` has multiplied them and ``logit_softcap`` capped them
            (``cap * tanh(logits / cap)``, as in Gemma 2).
        chunk: number of rows of logits that exist at once; None: `rows_of_logits`.
        with_entropy: compute both entropies.
        entropy_grad: let gradients flow through ``policy_entropies`` (for an entropy bonus). They never flow through
            ``sampling_entropies``.

    Gradients flow to ``hidden``, ``head_weight`` and ``head_bias`` through ``logprobs``. Under ``torch.no_grad``
    nothing is kept for a backward pass.

    Raises:
        ValueError: ``temperature``, ``chunk``, ``logit_scale`` or ``logit_softcap`` is not positive, or
            ``entropy_grad`` is set without ``with_entropy``.
    """
    chunk = rows_of_logits(head_weight.shape[0]) if chunk is None else chunk
    limits = {"chunk": chunk, "logit_scale": logit_scale, "logit_softcap": logit_softcap}
    for name, value in {"temperature": temperature, **limits}.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; it must be positive (greedy decoding has no log-probs)")
    if entropy_grad and not with_entropy:
        raise ValueError("entropy_grad=True needs with_entropy=True")

    def statistics(hidden_CH: Tensor, targets_C: Tensor) -> tuple[Tensor, ...]:
        logits_CV = functional.linear(hidden_CH, head_weight, head_bias)
        logits_CV = logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32))
        if logit_scale != 1:
            logits_CV = logits_CV * logit_scale
        if logit_softcap is not None:
            logits_CV = logit_softcap * torch.tanh(logits_CV / logit_softcap)
        sampling_CV = (logits_CV / temperature).log_softmax(dim=-1)
        logprobs_C = sampling_CV.gather(-1, targets_C.unsqueeze(-1)).squeeze(-1)
        if not with_entropy:
            return (logprobs_C,)
        with torch.no_grad():
            sampling_C = _entropy(sampling_CV)
        with torch.set_grad_enabled(entropy_grad and torch.is_grad_enabled()):
            policy_C = sampling_C
            if temperature != 1 or entropy_grad:
                policy_C = _entropy(sampling_CV if temperature == 1 else logits_CV.log_softmax(dim=-1))
        return logprobs_C, sampling_C, policy_C

    # A single chunk is already within the bound, so recomputing its logits would save nothing.
    recompute = hidden.shape[0] > chunk and torch.is_grad_enabled()
    parts = []
    for start in range(0, max(hidden.shape[0], 1), chunk):
        rows = (hidden[start : start + chunk], targets[start : start + chunk])
        if recompute:
            parts.append(checkpoint(statistics, *rows, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(statistics(*rows))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    logprobs, sampling, policy = columns if with_entropy else (columns[0], None, None)
    return TokenStats(logprobs=logprobs, sampling_entropies=sampling, policy_entropies=policy)


def _entropy(logprobs: Tensor) -> Tensor:
    """Return -sum p ln p over the last dimension, with 0 ln 0 = 0 in value and gradient."""
    finite = logprobs.masked_fill(logprobs == -torch.inf, 0.0)
    return -(logprobs.exp() * finite).sum(dim=-1)
