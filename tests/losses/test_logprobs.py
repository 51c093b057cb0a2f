from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from igrpo.losses import entropy_from_logits, token_logprobs

from .golden import assert_matches, load, tensor

M, H, V = 11, 5, 13


def inputs(dtype: torch.dtype = torch.float64, rows: int = M) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, H, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(V, H, generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(V, generator=generator, dtype=torch.float64).to(dtype)
    return hidden, weight, torch.randint(0, V, (rows,), generator=generator), bias


def naive(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, *, temperature: float, cap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    logits = hidden @ weight.T + (0 if bias is None else bias)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    p, q = (logits / temperature).softmax(-1), logits.softmax(-1)
    return p[torch.arange(len(targets)), targets].log(), -(p * p.log()).sum(-1), -(q * q.log()).sum(-1)


@pytest.mark.parametrize("chunk", [1, 3, 11, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("entropy_grad", [True, False])
def test_values_and_gradients_equal_the_full_logits(
    chunk: int, temperature: float, cap: float | None, entropy_grad: bool
) -> None:
    hidden, weight, targets, bias = inputs()
    ups = torch.randn(3, M, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def run(naively: bool) -> tuple[list[Tensor], list[Tensor]]:
        leaves = [leaf.clone().requires_grad_() for leaf in (hidden, weight, bias)]
        h, w, b = leaves
        if naively:
            values = list(naive(h, w, targets, b, temperature=temperature, cap=cap))
        else:
            stats = token_logprobs(
                h, w, targets, head_bias=b, temperature=temperature, chunk=chunk,
                logit_softcap=cap, with_entropy=True, entropy_grad=entropy_grad,
            )  # fmt: skip
            assert stats.sampling_entropies is not None
            assert stats.policy_entropies is not None
            assert not stats.sampling_entropies.requires_grad
            assert stats.policy_entropies.requires_grad == entropy_grad
            values = [stats.logprobs, stats.sampling_entropies, stats.policy_entropies]
        total = (values[0] * ups[0]).sum() + (values[2] * ups[2]).sum() * entropy_grad
        return [value.detach() for value in values], list(torch.autograd.grad(total, leaves))

    for actual, expected in zip(run(naively=False), run(naively=True), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradcheck(temperature: float) -> None:
    hidden, weight, targets, bias = inputs(rows=4)

    def both(h: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        stats = token_logprobs(
            h, w, targets, head_bias=b, temperature=temperature, chunk=3,
            logit_softcap=5.0, with_entropy=True, entropy_grad=True,
        )  # fmt: skip
        assert stats.policy_entropies is not None
        return stats.logprobs, stats.policy_entropies

    assert torch.autograd.gradcheck(both, [leaf.requires_grad_() for leaf in (hidden, weight, bias)])


class LargestTensor(TorchDispatchMode):
    """Records the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                self.numel = max(self.numel, value.numel())
        return out


def largest_tensor(chunk: int) -> int:
    rows, vocabulary, width = 96, 256, 4
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).requires_grad_()
    with LargestTensor() as largest:
        stats = token_logprobs(
            hidden, weight, torch.arange(rows), temperature=0.7, chunk=chunk, with_entropy=True, entropy_grad=True
        )
        assert stats.policy_entropies is not None
        (stats.logprobs.sum() + stats.policy_entropies.sum()).backward()
    assert hidden.grad is not None
    return largest.numel


def test_no_tensor_of_all_logits_exists_forward_or_backward() -> None:
    assert largest_tensor(chunk=8) == max(8 * 256, 256 * 4)
    assert largest_tensor(chunk=96) == 96 * 256, "the recorder sees full logits where they are"


def test_no_logits_are_kept_for_the_backward_pass() -> None:
    saved: list[int] = []
    hidden, weight, targets, _ = inputs()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        stats = token_logprobs(hidden.requires_grad_(), weight, targets, temperature=1.0, chunk=4, with_entropy=True)
    assert stats.logprobs.requires_grad
    assert max(saved, default=0) < 4 * V


def test_tied_embeddings_gather_both_gradients() -> None:
    _, weight, targets, _ = inputs()
    grads = []
    for chunk in (3, 100):
        table = weight.clone().requires_grad_()
        hidden = table[targets] * 2
        token_logprobs(
            hidden, table, targets, temperature=0.7, chunk=chunk, with_entropy=False
        ).logprobs.sum().backward()
        grads.append(table.grad)
    table = weight.clone().requires_grad_()
    naive(table[targets] * 2, table, targets, None, temperature=0.7, cap=None)[0].sum().backward()
    torch.testing.assert_close(grads, [table.grad, table.grad], atol=1e-12, rtol=1e-10)


def test_statistics_are_float32_for_bfloat16_inputs() -> None:
    hidden, weight, targets, _ = inputs(torch.bfloat16)
    hidden.requires_grad_()
    stats = token_logprobs(hidden, weight, targets, temperature=0.7, chunk=4, with_entropy=True)
    for values in (stats.logprobs, stats.sampling_entropies, stats.policy_entropies):
        assert values is not None
        assert values.dtype == torch.float32
    expected = (hidden @ weight.T).float().div(0.7).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(stats.logprobs, expected, atol=1e-6, rtol=0)
    stats.logprobs.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16


def test_no_grad_and_frozen_head() -> None:
    hidden, weight, targets, _ = inputs()
    with torch.no_grad():
        stats = token_logprobs(hidden.requires_grad_(), weight, targets, temperature=1.0, chunk=2, with_entropy=True)
    assert not stats.logprobs.requires_grad
    stats = token_logprobs(hidden, weight, targets, temperature=1.0, chunk=2, with_entropy=False)
    stats.logprobs.sum().backward()
    assert weight.grad is None
    assert stats.sampling_entropies is None
    assert stats.policy_entropies is None


def test_no_tokens() -> None:
    hidden, weight, targets, _ = inputs(rows=0)
    stats = token_logprobs(hidden.requires_grad_(), weight, targets, temperature=1.0, chunk=2, with_entropy=True)
    assert stats.logprobs.shape == (0,)
    stats.logprobs.sum().backward()
    assert hidden.grad is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be positive"),
        ({"chunk": 0}, "chunk is 0"),
        ({"logit_softcap": -1.0}, "logit_softcap is -1.0"),
        ({"entropy_grad": True}, "entropy_grad=True needs with_entropy=True"),
    ],
)
def test_errors_name_the_setting(changes: dict[str, Any], message: str) -> None:
    hidden, weight, targets, _ = inputs()
    with pytest.raises(ValueError, match=message):
        token_logprobs(hidden, weight, targets, **({"temperature": 1.0, "chunk": 2, "with_entropy": False} | changes))


def test_entropy_from_logits() -> None:
    # uniform over 4: ln 4; a token of probability 0 adds nothing; a certain token: 0
    uniform = torch.zeros(4, dtype=torch.float64)
    assert entropy_from_logits(uniform).item() == pytest.approx(torch.log(torch.tensor(4.0)).item(), abs=1e-7)
    masked = torch.tensor([1.0, 1.0, -torch.inf], dtype=torch.float64, requires_grad=True)
    entropy = entropy_from_logits(masked)
    assert entropy.item() == pytest.approx(0.6931471805599453, abs=1e-15)
    entropy.backward()
    assert masked.grad is not None
    assert torch.isfinite(masked.grad).all()
    assert entropy_from_logits(torch.tensor([0.0, -torch.inf])).item() == 0.0


TRL = load("trl_logprob_entropy")


@pytest.mark.parametrize("case", TRL["cases"], ids=lambda case: f"{case['kind']}-{case['temperature']}")
def test_trl(case: dict[str, Any]) -> None:
    temperature = case["temperature"]
    if case["kind"] == "full_logits":
        # An identity as head makes the hidden states the logits.
        logits, targets = tensor(TRL["logits"]).flatten(0, 1), torch.tensor(TRL["index"]).flatten()
        stats = token_logprobs(
            logits, torch.eye(11, dtype=torch.float64), targets, temperature=temperature, chunk=3, with_entropy=True
        )
        assert_matches(stats.logprobs, torch.tensor(case["logps"]).flatten().tolist(), 1e-6)
        assert_matches(entropy_from_logits(logits / temperature), tensor(case["entropy"]).flatten().tolist(), 1e-6)
        assert stats.sampling_entropies is not None
        assert_matches(stats.sampling_entropies, tensor(case["entropy"]).flatten().tolist(), 1e-6)
        return
    cap = case["final_logit_softcapping"]
    hidden, weight = tensor(TRL["hidden"]).requires_grad_(), tensor(TRL["weight"]).requires_grad_()
    targets, keys = torch.tensor(TRL["targets"]), {"chunk": 4, "with_entropy": True}
    stats = token_logprobs(hidden, weight, targets, temperature=temperature, logit_softcap=cap, **keys)
    assert_matches(stats.logprobs.detach(), case["logps"], 1e-5)
    assert stats.sampling_entropies is not None
    assert_matches(stats.sampling_entropies, case["entropy"], 1e-5)
    # TRL's entropy gradient is that of the sampling distribution; ours flows through the policy's own entropy. They
    # are the same with the temperature moved into the head.
    stats = token_logprobs(
        hidden, weight / temperature, targets, temperature=1.0,
        logit_softcap=None if cap is None else cap / temperature, entropy_grad=True, **keys,
    )  # fmt: skip
    assert stats.policy_entropies is not None
    (stats.logprobs @ tensor(TRL["up_logps"]) + stats.policy_entropies @ tensor(TRL["up_entropy"])).backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert_matches(hidden.grad, case["grad_hidden"], 1e-5)
    assert_matches(weight.grad, case["grad_weight"], 1e-5)


def test_verl() -> None:
    golden = load("verl_entropy")
    logits, targets = tensor(golden["logits"]), torch.tensor(golden["index"])
    assert_matches(entropy_from_logits(logits), golden["entropy"])
    stats = token_logprobs(
        logits.flatten(0, 1), torch.eye(11, dtype=torch.float64), targets.flatten(),
        temperature=1.0, chunk=4, with_entropy=True,
    )  # fmt: skip
    assert_matches(stats.logprobs.view_as(targets), golden["logps_v2"])
    assert stats.policy_entropies is not None
    mask = tensor(golden["mask"]).bool()
    mean = stats.policy_entropies.view_as(targets)[mask].mean().item()
    assert mean == pytest.approx(golden["compute_entropy_loss"]["token-mean"], abs=1e-7)
