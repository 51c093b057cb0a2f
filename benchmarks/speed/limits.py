"""The time that the matrix products of a step need at least: their operations at the rate of these very products.

Operations are those of `igrpo.models.flops` for a GRPO step. Distinct work has the prompt of a group once: a prefill,
and one forward and backward pass in training (``train``); completions are a row each. ``train_unshared`` has the prompt
in every row. The products of attention are counted at the rate of the projections, although no kernel reaches that with
one query a row; padding, masks and memory traffic count as nothing. So no implementation gets down to the limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from benchmarks.speed.workload import SHAPES, Case, Meter
from igrpo.models.flops import FORWARD_AND_BACKWARD, Work, decode_work, known_shape, prefill_work, row_work

_TOKENS = 1024  # of a micro-batch: with more the rate is the same
_SECONDS = 1.0  # a rate is the median of passes that take so long together


def flops(case: Case) -> dict[str, int]:
    """Return the operations of a GRPO step of the case, by part (see the module's text)."""
    shape = known_shape({"model_type": "qwen2", **SHAPES[case.size]})
    assert shape is not None
    prompts = case.prompt_lengths()
    rows = [(prompts[i % case.questions], tokens) for i, tokens in enumerate(case.completion_lengths())]
    unshared = sum((row_work(*row) for row in rows), Work())
    repeated = sum((row_work(prompt, 0) for prompt in prompts), Work())  # by each row of a group but one
    return {
        "prefill": shape.flops(sum((prefill_work(prompt) for prompt in prompts), Work())),
        "decode": shape.flops(sum((decode_work(*row) for row in rows), Work())),
        "train": FORWARD_AND_BACKWARD * (shape.flops(unshared) - (case.group - 1) * shape.flops(repeated)),
        "train_unshared": FORWARD_AND_BACKWARD * shape.flops(unshared),
    }


def matrices(size: str) -> list[tuple[int, int]]:
    """Return [outputs, inputs] of all matrices that a token goes through, in order; the head is the last."""
    values = SHAPES[size]
    hidden, mlp = values["hidden_size"], values["intermediate_size"]
    keys = hidden // values["num_attention_heads"] * values["num_key_value_heads"]
    layer = [(hidden, hidden), (keys, hidden), (keys, hidden), (hidden, hidden), (mlp, hidden), (mlp, hidden)]
    return [*layer, (hidden, mlp)] * values["num_hidden_layers"] + [(values["vocab_size"], hidden)]


def rates(case: Case, device: str) -> dict[str, float]:
    """Measure operations per second of a case's products: ``decode`` with all rows, ``train`` with 1,024 tokens."""
    meter, dtype = Meter(device), torch.bfloat16 if device == "cuda" else torch.float32
    weights = [torch.randn(shape, device=device, dtype=dtype) for shape in matrices(case.size)]
    share = case.completion / (case.prompt + case.completion)
    tokens = [_TOKENS] * (len(weights) - 1) + [round(_TOKENS * share)]  # the head sees completions only
    inputs = [(torch.randn(n, w.shape[1], device=device, dtype=dtype), torch.randn(n, w.shape[0], device=device,
              dtype=dtype)) for n, w in zip(tokens, weights, strict=True)]  # fmt: skip
    rows = [torch.randn(case.rows, w.shape[1], device=device, dtype=dtype) for w in weights]

    def decode() -> None:
        for x, weight in zip(rows, weights, strict=True):
            torch.nn.functional.linear(x, weight)

    def train() -> None:
        for (x, gradient), weight in zip(inputs, weights, strict=True):
            torch.nn.functional.linear(x, weight)
            torch.mm(gradient, weight)
            torch.mm(gradient.T, x)

    trained = sum(n * w.numel() for n, w in zip(tokens, weights, strict=True))
    with torch.inference_mode():
        return {
            "decode": 2 * case.rows * sum(w.numel() for w in weights) / _median(decode, meter),
            "train": 2 * FORWARD_AND_BACKWARD * trained / _median(train, meter),
        }


def _median(work: Callable[[], None], meter: Meter) -> float:
    work()
    seconds: list[float] = []
    while sum(seconds) < _SECONDS or len(seconds) < 3:
        start = meter.now()
        work()
        seconds.append(meter.now() - start)
    return statistics.median(seconds)
