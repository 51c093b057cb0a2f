"""Per-token estimators of KL(policy || reference) from samples of the policy (http://joschu.net/blog/kl-approx.html)."""

from jaxtyping import Float
from torch import Tensor

from igrpo.settings.objective import KLEstimator


def kl_estimate(
    logprobs: Float[Tensor, "*dims"], ref_logprobs: Float[Tensor, "*dims"], estimator: KLEstimator
) -> Float[Tensor, "*dims"]:
    """Return the estimate at each token, in nats, differentiable in both arguments.

    With ``rho = exp(ref_logprobs - logprobs)``: k1 is ``-ln rho``, k2 is ``(ln rho)^2 / 2``, k3 is
    ``rho - ln rho - 1`` (GRPO, arXiv 2402.03300, Eq. 4, and iGRPO; its gradient in ``logprobs`` is ``1 - rho``).
    Nothing is clamped: verl clamps ``|ln rho|`` at 20 and k3 at 10, TRL does not.
    """
    log_rho = ref_logprobs - logprobs
    if estimator == "k1":
        return -log_rho
    if estimator == "k2":
        return 0.5 * log_rho.square()
    # expm1 computes rho - 1 without losing digits where the two policies nearly agree.
    return log_rho.expm1() - log_rho
